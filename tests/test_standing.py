"""The leaderboard is a noisy measurement: errors, ladder and proposal by hand, and against a known truth."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import config as configuration
from pipeline.errors import PipelineError
from pipeline.leaderboard import ledger
from pipeline.leaderboard.check import prediction_digest
from pipeline.leaderboard.ledger import Entry
from pipeline.leaderboard.standing import (
    Gap,
    Passed,
    Scored,
    Standing,
    final_two,
    ladder,
    rank_correlation,
    standing,
)
from pipeline.score.metrics import METRICS

ACCURACY, LOG_LOSS = METRICS["accuracy"], METRICS["log-loss"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def entry(name: str, public: float | None, cv: float | None = None, **fields: Any) -> Entry:
    """A line of the ledger: CV ± .01 on 4000 rows, 1000 test rows, no file."""
    known = {"se": 0.01, "cv_rows": 4000} if cv is not None else {}
    line = {"event": "scored", "ref": name, "public": public, "cv": cv, "rows": 1000, "metric": "accuracy"}
    return dict.fromkeys(ledger.FIELDS) | line | known | fields


def with_file(labels: str, public: float, **fields: Any) -> Entry:
    """An entry whose file has a row a letter, and that letter as its label."""
    data = ("id,label\n" + "".join(f"{i:04},{label}\n" for i, label in enumerate(labels))).encode()
    digest = hashlib.sha256(data).hexdigest()
    path = Path(f"{digest[:8]}.csv")
    path.write_bytes(data)
    sent = {"file": str(path), "sha256": digest, "predictions": prediction_digest(data), "rows": len(labels)}
    return entry("r", public, **{**sent, **fields})


def found(entries: list[Entry], share: float = 0.0, metric: str = "accuracy") -> Standing:
    result = standing(entries, METRICS[metric], share)
    assert result is not None
    return result


def verdicts(entries: list[Entry], share: float = 0.0, metric: str = "accuracy") -> list[str]:
    return [step.verdict for step in found(entries, share, metric).steps]


def test_errors_gap_and_combined_score_by_hand():
    # A quarter of the test rows is public: 250 rows have √(4000 / 250) = 4 times the error of 4000.
    result = found([entry("a", 0.76, 0.80), entry("b", 0.80, 0.82)], share=0.25)
    a, b = result.submissions
    assert (a.public_rows, a.cv_se, a.lb_se) == (250, 0.01, pytest.approx(0.04))
    assert result.gap == Gap(pytest.approx(-0.03), pytest.approx(0.01), 2)
    # Weights 16 : 1; the CVs moved by the gap are .77 and .79.
    assert a.combined == pytest.approx((16 * 0.77 + 0.76) / 17)
    assert b.combined == pytest.approx((16 * 0.79 + 0.80) / 17)
    assert a.combined_se == pytest.approx(0.04 / math.sqrt(17))
    assert result.rank_correlation is None


def test_an_unknown_share_means_all_test_rows():
    [item] = found([entry("a", 0.76, 0.80)]).submissions
    assert (item.public_rows, item.lb_se) == (1000, pytest.approx(0.02))


def test_rank_correlation_needs_three_that_vary():
    assert rank_correlation([(1, 5), (2, 7), (3, 6)]) == pytest.approx(0.5)
    assert rank_correlation([(1, 5), (2, 5), (3, 5)]) is None
    assert rank_correlation([(1, 5), (1, 6), (1, 7)]) is None
    entries = [entry("a", 0.5, 0.5), entry("b", 0.6, 0.6), entry("c", 0.7)]
    assert found(entries).rank_correlation is None
    assert found([*entries, entry("d", 0.55, 0.7)]).rank_correlation == pytest.approx(0.5)


def test_what_is_unknown_is_none_and_said():
    old = entry("old", 0.7, 0.8, cv_rows=None)
    other = entry("other", 0.7, 0.8, metric="macro-f1")
    certain = entry("certain", 1.0, 1.0, se=0.0)
    foreign = entry("foreign", 0.9, rows=None)
    result = found([old, other, certain, foreign])
    assert [item.lb_se for item in result.submissions] == [None] * 4
    assert [item.cv for item in result.submissions] == [0.8, None, 1.0, None]
    assert [item.remark for item in result.submissions] == [
        "the ledger lacks the number of rows of its CV",
        "its CV is of macro-f1, so it doesn't count",
        "the ledger lacks the standard error of its CV",
        "the ledger has no CV of it",
    ]
    # Without LB's error the CV counts alone, without both errors LB does.
    assert [item.combined for item in result.submissions] == [pytest.approx(0.75), 0.7, 1.0, 0.9]
    assert [step.verdict for step in result.steps] == ["first", "unknown", "unknown", "unknown"]


def test_the_ladder_climbs_only_by_more_than_noise():
    # 9 changed rows of 900: √9 / 900 = .00333; the step is measured from the last that improved.
    first, nine, others = "a" * 900, "b" * 9 + "a" * 891, "b" * 9 + "c" * 9 + "a" * 882
    entries = [with_file(first, 0.800), with_file(nine, 0.803), with_file(others, 0.8048)]
    steps = found(entries).steps
    assert [step.verdict for step in steps] == ["first", "within noise", "improved"]
    assert [step.changed for step in steps] == [None, 9, 18]
    assert [step.needed for step in steps[1:]] == [pytest.approx(3 / 900), pytest.approx(math.sqrt(18) / 900)]
    entries[1]["public"] = 0.8034
    assert verdicts(entries) == ["first", "improved", "within noise"]
    entries[1]["public"] = 0.796
    assert verdicts(entries) == ["first", "worse", "improved"]


def test_the_ladder_on_a_public_part():
    # Of 9 changed rows a quarter, 2.25, are expected among the 225 public ones: √2.25 / 225 = .00667.
    entries = [with_file("a" * 900, 0.8), with_file("b" * 9 + "a" * 891, 0.8066)]
    assert verdicts(entries, share=0.25) == ["first", "within noise"]
    entries[1]["public"] = 0.8067
    assert verdicts(entries, share=0.25) == ["first", "improved"]


def test_lower_is_better_for_some_metrics():
    fields = {"metric": "log-loss", "se": 0.01, "cv_rows": 900}
    entries = [
        with_file("a" * 900, 0.50, cv=0.52, **fields),
        with_file("b" * 9 + "a" * 891, 0.45, cv=0.47, **fields),
        with_file("c" * 9 + "a" * 891, 0.55, cv=0.57, **fields),
    ]
    result = found(entries, metric="log-loss")
    assert [step.verdict for step in result.steps] == ["first", "improved", "worse"]
    assert result.steps[1].gain == pytest.approx(0.05)
    assert result.gap.mean == pytest.approx(-0.02)
    assert result.rank_correlation == 1
    best, second = (Path(entries[i]["file"]).name for i in (1, 0))
    assert result.final.chosen == (f"{best} (r)", f"{second} (r)")


def test_without_a_file_the_step_is_that_of_two_standard_errors():
    entries = [entry("a", 0.80, 0.80), entry("b", 0.82, 0.80), entry("c", 0.83, 0.80)]
    steps = found(entries).steps
    assert [step.verdict for step in steps] == ["first", "within noise", "improved"]
    assert steps[1].needed == pytest.approx(0.02 * math.sqrt(2))
    assert [(step.by, step.changed) for step in steps[1:]] == [("standard errors", None)] * 2


def test_equal_scores_and_equal_predictions():
    same = [with_file("ab" * 100, 0.8, ref=ref) for ref in ("1", "2")]
    name = Path(same[0]["file"]).name
    result = found(same)
    assert result.steps[1].verdict == "within noise"
    assert (result.steps[1].changed, result.steps[1].needed) == (0, 0)
    assert result.final.chosen == (f"{name} (1)",)
    assert result.final.passed == (Passed(f"{name} (2)", 0.0),)
    other = with_file("ac" * 100, 0.8, ref="3")
    result = found([*same, other])
    assert result.steps[2].verdict == "within noise"
    assert result.final.chosen == (f"{name} (1)", f"{Path(other['file']).name} (3)")
    assert result.final.share == 0.5


def test_the_second_must_differ_in_one_row_of_a_hundred():
    items = [
        Scored(name, 0.8, rows=1000, combined=score) for name, score in zip("abc", (3, 2, 1), strict=True)
    ]
    counts: dict[int, float | None] = {1: 9, 2: 10}
    result = final_two(items, ACCURACY, lambda i, j: counts[j])
    assert (result.chosen, result.share, result.passed) == (("a", "c"), 0.01, (Passed("b", 0.009),))
    counts[2] = None
    result = final_two(items, ACCURACY, lambda i, j: counts[j])
    assert (result.chosen, result.share) == (("a",), None)
    assert result.passed == (Passed("b", 0.009), Passed("c", None))


def test_luck_on_the_leaderboard_ranks_behind_what_has_a_cv():
    entries = [entry("a", 0.7, 0.8), entry("lucky", 0.9), entry("b", 0.6, 0.7)]
    result = standing(entries, ACCURACY, 0.0, lambda i, j: 500.0)
    assert result is not None
    assert result.final.chosen == ("a", "b")
    result = standing(entries[:2], ACCURACY, 0.0, lambda i, j: 500.0)
    assert result is not None
    assert result.final.chosen == ("a", "lucky")


def test_one_submission_and_none():
    assert standing([], ACCURACY) is None
    assert standing([entry("a", None, 0.8)], ACCURACY) is None
    result = found([entry("a", 0.78, 0.80)])
    assert (result.final.chosen, result.final.passed) == (("a",), ())
    assert result.gap == Gap(pytest.approx(-0.02), None, 1)
    assert result.submissions[0].combined == pytest.approx(0.78)
    assert found([entry("a", 0.78)]).gap == Gap(None, None, 0)


def test_a_share_is_between_0_and_1():
    raw = {"data": {"name": "pets"}, "members": [{"name": "m", "model": "resnet18"}]}
    assert configuration.resolve(raw, {}, "test").data.public_share == 0
    raw["data"] = {"name": "pets", "public_share": 0.3}
    assert configuration.resolve(raw, {}, "test").data.public_share == 0.3
    for wrong in (-0.1, 1.1):
        raw["data"] = {"name": "pets", "public_share": wrong}
        with pytest.raises(PipelineError, match="public_share"):
            configuration.resolve(raw, {}, "test")


def regrets(metric_sign: float, rounds: int) -> tuple[float, float, float]:
    """Mean regret ×10⁴ of the better final one: the proposal, best CV + best LB, the two best LBs.

    20 submissions whose true scores have σ = .003; CV errs by .003, LB on an eighth of the rows by √8 times
    as much and by a gap that all share. Everything differs in all rows.
    """
    draw = np.random.default_rng(0)
    metric = ACCURACY if metric_sign > 0 else LOG_LOSS
    total = np.zeros(3)
    for _ in range(rounds):
        truth = draw.normal(0.5, 0.003, 20)
        cvs = truth + draw.normal(0, 0.003, 20)
        lbs = truth - 0.02 + draw.normal(0, 0.003 * math.sqrt(8), 20)
        entries = [
            entry(str(i), lbs[i], cvs[i], se=0.003, cv_rows=4000, metric=metric.name) for i in range(20)
        ]
        result = standing(entries, metric, 0.5, lambda i, j: 1000.0)
        assert result is not None
        order = np.argsort(-metric_sign * lbs)
        pairs = [
            np.array(result.final.chosen, int),
            np.array([np.argmax(metric_sign * cvs), order[0]]),
            order[:2],
        ]
        worth = metric_sign * truth
        total += [worth.max() - worth[pair].max() for pair in pairs]
    return tuple(1e4 * total / rounds)


@pytest.mark.parametrize("metric_sign", [1.0, -1.0])
def test_precision_weights_regret_less_than_the_leaderboard(metric_sign):
    proposal, cv_and_lb, lb_alone = regrets(metric_sign, rounds=300)
    assert proposal < cv_and_lb < lb_alone
    assert proposal < 0.6 * lb_alone


def test_a_change_without_worth_seldom_climbs():
    """100 of 2000 predictions are others, as often right (80 %) as before: under 5 % count as improved."""
    draw = np.random.default_rng(1)
    gains = (draw.binomial(100, 0.8, 1000) - draw.binomial(100, 0.8, 1000)) / 2000
    first = Scored("first", 0.8, rows=2000, public_rows=2000)
    climbs = [
        ladder([first, replace(first, lb=0.8 + gain)], ACCURACY, lambda i, j: 100.0)[1].verdict
        for gain in gains
    ]
    assert 10 < climbs.count("improved") < 50
