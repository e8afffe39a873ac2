"""Losses: from the configuration to a function of (logits [B, C], targets [B]): the batch's mean loss."""

from torch import nn

from pipeline.config import Train


def build_loss(train: Train) -> nn.Module:
    """Make the cross-entropy with label smoothing (Szegedy et al. 2016, arXiv:1512.00567)."""
    return nn.CrossEntropyLoss(label_smoothing=train.label_smoothing)
