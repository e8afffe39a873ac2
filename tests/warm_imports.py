"""What a warm process has imported before it forks: everything that is slow, nothing that computes."""

import pandas
import pyarrow.parquet
import sklearn.model_selection
import timm

import pipeline.dataset.sample
import pipeline.learn.job
import pipeline.page.build
import pipeline.score.crossfit
from tests import no_network

__all__ = ["no_network", "pandas", "pipeline", "pyarrow", "sklearn", "timm"]
