"""How alike members are: who fails on the same rows, and how often two of them say different labels."""

from collections.abc import Sequence

import numpy as np


def agreement(members: Sequence[np.ndarray], targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlation and disagreement float64 [M, M] of members' probs, each [V, n, C], for targets int [n].

    Correlated is the true class's probability over the rows, the mean of the views (0 where one never
    varies); disagreement is the share of rows whose most probable classes differ.

    >>> a = np.array([[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]])
    >>> correlation, disagreement = agreement([a, 1 - a], np.array([0, 0, 0]))
    >>> correlation.round(2).tolist(), disagreement.tolist()
    ([[1.0, -1.0], [-1.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]])
    """
    means = [member.mean(0) for member in members]
    true_class = np.stack([probs[np.arange(len(targets)), targets] for probs in means]).astype(np.float64)
    centred = true_class - true_class.mean(1, keepdims=True)
    length = np.sqrt((centred**2).sum(1, keepdims=True))
    unit = centred / np.where(length > 1e-12, length, 1.0)
    labels = np.stack([probs.argmax(1) for probs in means])
    disagreement = np.stack([(labels != own).mean(1) for own in labels])
    return np.clip(unit @ unit.T, -1, 1), disagreement
