"""The classifier's start: trained alone on features that were computed before, in seconds, not epochs.

What it gains is a first step of the whole model that isn't spent on a classifier that knows nothing (Kumar et
al. 2022, "Fine-tuning can distort pretrained features and underperform out-of-distribution",
arXiv:2202.10054).
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from pipeline.config import Train
from pipeline.dataset.loader import count_steps
from pipeline.dataset.sampling import draw_rows, sampler_of
from pipeline.learn.losses import build_loss
from pipeline.learn.optim import build_optimizer, set_rate
from pipeline.learn.schedule import half_cosine


class Features(NamedTuple):
    """Features of n training rows: `rows` int [n] of a `table` float32 [m, F], which may lie in a file."""

    table: np.ndarray
    rows: np.ndarray


def train_head(
    model: Any, features: Features, targets: np.ndarray, classes: int, train: Train, fold: int | None
) -> None:
    """Train the model's classifier, in place, on features of n rows and their targets int [n].

    train.head_epochs passes with the recipe's batch, sampler, optimizer and loss; the rate falls from
    train.lr in half a cosine. The same arguments give the same bits.
    """
    classifier = model.get_classifier()
    device = next(classifier.parameters()).device
    optimizer = build_optimizer(classifier, replace(train, layer_decay=1.0))
    loss_of = build_loss(train, np.bincount(targets, minlength=classes), device=str(device))
    rows, steps = np.arange(len(targets)), count_steps(len(targets), train.batch)
    for step in range(train.head_epochs * steps):
        epoch, position = divmod(step, steps)
        if position == 0:
            # epochs count up to −1 here: no later one has these draws
            own = epoch - train.head_epochs
            drawn = draw_rows(rows, targets, sampler_of(train, own), train.seed, fold, own)
            batches = np.array_split(drawn, steps)
        set_rate(optimizer, train.lr * half_cosine(step / (train.head_epochs * steps)))
        batch = batches[position]
        inputs = torch.from_numpy(features.table[features.rows[batch]]).to(device)
        loss_of(classifier(inputs), torch.from_numpy(targets[batch]).to(device)).mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
