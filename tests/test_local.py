"""The sample's leaderboard: scores agree with scikit-learn, rows join by id, the ledger gets one line."""

import pytest
from sklearn.metrics import f1_score, log_loss

from pipeline import config as configuration
from pipeline.artifacts import paths
from pipeline.errors import DataError
from pipeline.leaderboard import ledger, local

CLASSES = ["ant", "bee", "cicada"]
SOLUTION = "id,label,clean_label\n01,ant,ant\n02,bee,bee\n03,bee,cicada\n04,ant,ant\n05,cicada,cicada\n"
SUBMISSION = b"id,label\n05,cicada\n04,bee\n03,cicada\n02,bee\n01,ant\n"


@pytest.fixture
def solution(tmp_path):
    path = tmp_path / "solution.csv"
    path.write_text(SOLUTION)
    return path


def test_scores_agree_with_scikit_learn(solution):
    found = local.score_solution(SUBMISSION, solution, "macro-f1", CLASSES)
    predicted = ["ant", "bee", "cicada", "bee", "cicada"]
    given = f1_score(["ant", "bee", "bee", "ant", "cicada"], predicted, average="macro")
    clean = f1_score(["ant", "bee", "cicada", "ant", "cicada"], predicted, average="macro")
    assert found == {"true_score": pytest.approx(given), "true_score_clean": pytest.approx(clean), "rows": 5}


def test_probabilities_are_scored_in_any_column_order(solution):
    rows = "".join(f"0{i},0.5,0.2,0.3\n" for i in (5, 4, 3, 2, 1))
    found = local.score_solution(f"id,bee,ant,cicada\n{rows}".encode(), solution, "log-loss", CLASSES)
    assert found["true_score"] == pytest.approx(log_loss([0, 1, 1, 0, 2], [[0.2, 0.5, 0.3]] * 5))


def test_other_ids_or_labels_are_refused(solution):
    with pytest.raises(DataError, match="4 ids"):
        local.score_solution(SUBMISSION.replace(b"05,cicada\n", b""), solution, "accuracy", CLASSES)
    with pytest.raises(DataError, match="'wasp'"):
        local.score_solution(SUBMISSION.replace(b"bee", b"wasp"), solution, "accuracy", CLASSES)
    with pytest.raises(DataError, match="log-loss scores probabilities"):
        local.score_solution(SUBMISSION, solution, "log-loss", CLASSES)
    solution.write_text("id,label\n01,ant\n")
    with pytest.raises(DataError, match="clean_label"):
        local.score_solution(SUBMISSION, solution, "accuracy", CLASSES)


def test_the_ledger_gets_one_line_for_a_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = configuration.load("sample")
    path = tmp_path / "best.csv"
    path.write_bytes(SUBMISSION)
    facts = {"cv": 0.8, "se": 0.01, "members": {"lite0": 0.7, "lite1": 0.3}}
    for _ in range(2):
        local.record(config, path, 0.75, facts)
    [entry] = ledger.read(paths.ledger(config))
    assert (entry["event"], entry["public"], entry["cv"], entry["rows"]) == ("scored locally", 0.75, 0.8, 5)
    local.record(config, path, 0.75, facts | {"cv": 0.81})
    assert len(ledger.read(paths.ledger(config))) == 2
