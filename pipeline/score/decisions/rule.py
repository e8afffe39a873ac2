"""A decision rule: what turns a row of probabilities into a label, row by row."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Rule:
    """Labels row by row: argmax_k (scale_k x_k − offset_k), with scale and offset float [C].

    x is the row's probs or, where `by_grade`, its expected grade Σ_k k p_k for every k. `fitted` says where
    the two come from, in the words of the rule: f and share (P + N over the rows) [C] for the F1 rules; tau
    and prior [C] for logit adjustment; thresholds [C − 1] of the expected grade. `label_free` rules were
    solved on probabilities alone.
    """

    name: str
    scale: np.ndarray
    offset: np.ndarray
    fitted: dict[str, np.ndarray | float] = field(default_factory=dict)
    by_grade: bool = False
    label_free: bool = False

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Labels int64 [n] for probs [n, C]; of equal classes the first."""
        x = np.asarray(probs, np.float64)
        if self.by_grade:
            x = expected_grades(x)[:, None]
        return np.argmax(x * self.scale - self.offset, axis=1)


def expected_grades(probs: np.ndarray) -> np.ndarray:
    """Expected grades Σ_k k p_k, float64 [n], of probs [n, C], the grades being 0 … C−1.

    >>> expected_grades(np.array([[0.5, 0.0, 0.5]]))
    array([1.])
    """
    return np.asarray(probs, np.float64) @ np.arange(probs.shape[1])
