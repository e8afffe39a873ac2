"""The score on a data set's official test or validation split, where its labels are known.

Those labels train nothing and choose nothing: they are read here, once the ensemble is fitted.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.dataset.layouts.image_files import LABELLED
from pipeline.score.metrics import all_metrics

SPLITS = ("test", "val")
SHOWN = ("accuracy", "macro-f1", "geometric-mean-recall")


def predicted_rows(audit: pd.DataFrame) -> pd.DataFrame:
    """Return the test and val rows of the audit table: id, split, label, and twin, whether training saw it.

    An image is a twin when its picture, the very file or a near-duplicate, is in the training rows.

    >>> audit = pd.DataFrame({"id": ["a", "b", "c"], "split": ["train", "test", "test"], "label": "ant"})
    >>> predicted_rows(audit.assign(picture=[0, 0, 1]))["twin"].tolist()
    [True, False]
    """
    trained = audit.loc[audit["split"].isin(LABELLED) & (audit["picture"] >= 0), "picture"]
    rows = audit.loc[audit["split"].isin(SPLITS), ["id", "split", "label", "picture"]]
    return rows.assign(twin=rows["picture"].isin(trained)).drop(columns="picture").reset_index(drop=True)


def official_scores(
    rows: pd.DataFrame, ids: Sequence[str], probs: np.ndarray, predictions: np.ndarray, classes: Sequence[str]
) -> dict[str, Any]:
    """Score predictions int [n] and probs [n, C] of `ids` on each split of `rows` that has labels.

    `rows` come from `predicted_rows`. A split's value holds rows, scores (accuracy, macro-F1, the geometric
    mean of recalls), and without_twins, the same on the images that have no twin in training; {} where no
    label is known. A split counts only with all its labels: some are no official test.
    """
    place = {name: i for i, name in enumerate(ids)}
    number = {name: i for i, name in enumerate(classes)}
    found: dict[str, Any] = {}
    for split in SPLITS:
        own = rows[rows["split"] == split]
        if own.empty or not own["label"].isin(number).all():
            continue
        targets = own["label"].map(number).to_numpy(np.int64)
        at = own["id"].map(place).to_numpy(np.int64)
        new = ~own["twin"].to_numpy(bool)
        found[split] = _scores(targets, probs[at], predictions[at])
        if new.any() and not new.all():
            found[split]["without_twins"] = _scores(targets[new], probs[at][new], predictions[at][new])
    return found


def _scores(targets: np.ndarray, probs: np.ndarray, predictions: np.ndarray) -> dict[str, Any]:
    values = all_metrics(targets, probs, predictions)
    return {"rows": len(targets), "scores": {name: values[name] for name in SHOWN}}
