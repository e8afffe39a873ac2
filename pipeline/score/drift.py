"""Does the blend behave on the test rows as it did out of fold? How sure it is, and how far folds agree."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.score.calibrate import log_probs

ALARM_ERRORS, ALARM_SHARE = 5.0, 0.1  # an entropy this many standard errors and this share away is called far


def entropy(probs: np.ndarray) -> np.ndarray:
    """Shannon entropy [n] of probs [n, C] in nats.

    >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).round(4)
    array([0.6931, 0.    ])
    """
    return (probs * -log_probs(probs)).sum(1)


def check_test(
    oof: np.ndarray, by_fold: Sequence[np.ndarray], labels_by_fold: Sequence[np.ndarray], labels: np.ndarray
) -> dict[str, Any]:
    """Compare blended probs of scored rows, oof [n, C], with the test rows' by each fold's models, [m, C].

    One fold's models on both sides: the mean over folds is less sure by itself. `labels` int [m] are the
    delivered ones, `labels_by_fold` each fold's. Returns JSON values: rows, the mean entropies,
    standard_errors (of the test's entropy from the OOF's), fold_disagreement (the share of a fold's labels
    that aren't the delivered ones) and alarms, texts for people.
    """
    known, new = entropy(oof), np.mean([entropy(probs) for probs in by_fold], axis=0)
    error = float(np.hypot(_standard_error(known), _standard_error(new)))
    gap = float(new.mean() - known.mean())
    errors = gap / error if error > 0 else 0.0
    alarms = []
    if abs(errors) > ALARM_ERRORS and abs(gap) > ALARM_SHARE * known.mean():
        alarms.append(
            f"the blend is {'less' if gap > 0 else 'more'} sure of test images than of those held out: "
            f"entropy {new.mean():.3f}, out of fold {known.mean():.3f} ({errors:+.0f} standard errors)"
        )
    return {
        "rows": len(labels),
        "oof_entropy": float(known.mean()),
        "test_entropy": float(new.mean()),
        "standard_errors": errors,
        "fold_disagreement": float(np.mean([(own != labels).mean() for own in labels_by_fold])),
        "alarms": alarms,
    }


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0
