"""The official splits' scores: scikit-learn's numbers, twins of training left out, all labels known."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from pipeline.dataset.official import official_scores, predicted_rows

CLASSES = ["ant", "bee", "moth"]


def audit_of(splits: list[str], labels: list[str], pictures: list[int]) -> pd.DataFrame:
    ids = [f"{split}{i}" for i, split in enumerate(splits)]
    return pd.DataFrame({"id": ids, "split": splits, "label": labels, "picture": pictures})


@pytest.fixture
def drawn():
    """Three training rows, then 30 test rows of which the first six are twins of the first training row."""
    draw = np.random.default_rng(0)
    labels = [*CLASSES, *(CLASSES[i % 3] for i in range(30))]
    splits = ["train", "train", "extra"] + ["test"] * 30
    audit = audit_of(splits, labels, [0, 1, 2, *[0] * 3, *[2] * 3, *range(3, 27)])
    rows = predicted_rows(audit)
    probs = draw.dirichlet(np.ones(3), 30)
    order = draw.permutation(30)  # predictions come in another order than the rows
    ids = [rows["id"][i] for i in order]
    return rows, ids, probs, order


def test_scores_are_those_of_scikit_learn(drawn):
    rows, ids, probs, order = drawn
    predictions = probs.argmax(1)
    found = official_scores(rows, ids, probs, predictions, CLASSES)["test"]
    targets = np.array([CLASSES.index(rows["label"][i]) for i in order])
    for part, kept in ((found, np.full(30, True)), (found["without_twins"], order >= 6)):
        true, said = targets[kept], predictions[kept]
        recalls = recall_score(true, said, average=None)
        assert part["rows"] == kept.sum()
        assert part["scores"]["accuracy"] == pytest.approx(accuracy_score(true, said))
        assert part["scores"]["macro-f1"] == pytest.approx(f1_score(true, said, average="macro"))
        assert part["scores"]["geometric-mean-recall"] == pytest.approx(np.prod(recalls) ** (1 / 3))


def test_a_twin_of_an_external_row_counts_as_seen(drawn):
    rows = drawn[0]
    assert rows["twin"].tolist() == [True] * 6 + [False] * 24


def test_images_that_cannot_be_used_are_nobodys_twin():
    rows = predicted_rows(audit_of(["train", "test"], ["ant", "ant"], [-1, -1]))
    assert rows["twin"].tolist() == [False]


def test_without_twins_there_is_no_second_table(drawn):
    rows, ids, probs, _ = drawn
    found = official_scores(rows.assign(twin=False), ids, probs, probs.argmax(1), CLASSES)
    assert "without_twins" not in found["test"]


@pytest.mark.parametrize("label", ["", "wasp"])
def test_a_split_with_a_row_whose_label_is_unknown_has_no_score(drawn, label):
    rows, ids, probs, _ = drawn
    rows.loc[4, "label"] = label
    assert official_scores(rows, ids, probs, probs.argmax(1), CLASSES) == {}
