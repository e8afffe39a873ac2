"""What a warm process has imported before it forks: everything that is slow, nothing that computes."""

import pandas
import pyarrow.parquet
import sklearn.model_selection
import timm

import pipeline.dataset.sample
import pipeline.learn.job
import pipeline.page.build
import pipeline.score.crossfit

__all__ = ["pandas", "pipeline", "pyarrow", "sklearn", "timm"]
