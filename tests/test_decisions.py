"""The decision rules: the F1 rule against brute force, and the edges of all."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import f1_score

from pipeline.score.calibrate import softmax
from pipeline.score.decisions.expected_f1 import solve_expected_f1
from pipeline.score.decisions.kinds import RULES, fit_rule, offered_rules
from pipeline.score.metrics import METRICS

ALL_RULES = np.eye(3)[np.array(list(itertools.product(range(3), repeat=8)))]  # one-hot [3⁸, 8, 3]
EQUAL = np.full(3, 1 / 3)


def best_by_brute_force(probs, omega):
    hits, predicted = np.einsum("rik,ik->rk", ALL_RULES, probs), ALL_RULES.sum(1)
    return float((2 * hits / (predicted + probs.sum(0)) @ omega).max())


def expected_score(probs, labels, omega):
    chosen = np.eye(probs.shape[1])[labels]
    return float(omega @ (2 * (chosen * probs).sum(0) / (chosen.sum(0) + probs.sum(0))))


def long_tail(seed, n, n_classes=20, noise=1.6):
    """Calibrated probs with a long tail, and targets drawn from them."""
    draw = np.random.default_rng(seed)
    probs = softmax(np.log(0.8 ** np.arange(n_classes)) + noise * draw.normal(size=(n, n_classes)))
    return probs, (probs.cumsum(1) < draw.random((n, 1))).sum(1).clip(max=n_classes - 1)


@pytest.mark.parametrize("metric", ["macro-f1", "weighted-f1"])
def test_expected_f1_against_every_rule_of_300_problems(metric):
    draw = np.random.default_rng(0)
    gaps = []
    for _ in range(300):
        probs = draw.dirichlet(np.ones(3), size=8)
        omega = EQUAL if metric == "macro-f1" else probs.mean(0)
        found = solve_expected_f1(probs, omega)
        assert found.score == pytest.approx(expected_score(probs, found.labels, omega))
        gaps.append(best_by_brute_force(probs, omega) - found.score)
    assert np.mean(np.array(gaps) < 1e-9) >= 0.95
    assert np.mean(gaps) < 0.001


def test_no_single_row_can_be_moved_to_gain():
    probs, _ = long_tail(1, 120, n_classes=5)
    omega = np.full(5, 0.2)
    found = solve_expected_f1(probs, omega)
    for row, label in itertools.product(range(120), range(5)):
        moved = found.labels.copy()
        moved[row] = label
        assert expected_score(probs, moved, omega) <= found.score + 1e-12


UNORDERED = [name for name in RULES if name != "quadratic-kappa"]


@pytest.mark.parametrize("name", UNORDERED)
def test_permuted_classes_permute_the_labels(name):
    probs, targets = long_tail(2, 400, n_classes=6)
    order = np.array([5, 2, 0, 1, 4, 3])
    metric = name if name in METRICS else "macro-f1"
    plain = fit_rule(probs, metric, targets, name).apply(probs)
    permuted = fit_rule(probs[:, order], metric, np.argsort(order)[targets], name).apply(probs[:, order])
    assert (order[permuted] == plain).all()


def test_the_rule_beats_argmax_on_the_rows_it_never_saw():
    probs, targets = long_tail(3, 12_000)
    seen, new = slice(0, 6000), slice(6000, None)
    scores = {
        name: METRICS["macro-f1"].function(
            targets[new], fit_rule(probs[seen], "macro-f1", rule=name).apply(probs[new]), 20
        )
        for name in ("argmax", "macro-f1")
    }
    assert scores["macro-f1"] > scores["argmax"] + 0.01


def test_the_rule_row_by_row_agrees_with_the_rows_it_was_solved_on():
    probs, _ = long_tail(4, 5000)
    solved = solve_expected_f1(probs, np.full(20, 0.05))
    rule = fit_rule(probs, "macro-f1")
    assert (rule.apply(probs) == solved.labels).mean() > 0.99
    share = (np.bincount(solved.labels, minlength=20) + probs.sum(0)) / 5000
    assert rule.fitted["share"] == pytest.approx(share)
    assert rule.fitted["f"] == pytest.approx(solved.f)


@pytest.mark.parametrize("name", RULES)
def test_an_empty_class_is_never_predicted_and_breaks_nothing(name):
    probs, targets = long_tail(5, 300, n_classes=5)
    with_empty = np.column_stack([np.zeros(300), probs])
    metric = name if name in METRICS else "macro-f1"
    rule = fit_rule(with_empty, metric, targets + 1, name)
    assert np.isfinite(rule.scale).all()
    assert np.isfinite(rule.offset).all()
    labels = rule.apply(with_empty)
    assert labels.min() >= (1 if name in UNORDERED else 0)  # an empty grade may be the right compromise
    if name in ("argmax", "macro-f1"):
        assert (labels - 1 == fit_rule(probs, metric, targets, name).apply(probs)).all()


def test_a_class_with_less_than_half_an_expected_row_is_not_guessed_at():
    draw = np.random.default_rng(6)
    probs = softmax(np.column_stack([2 * draw.normal(size=(200, 4)), np.full(200, -8.0)]))
    assert probs[:, 4].sum() < 0.5
    assert 4 not in fit_rule(probs, "macro-f1").apply(probs)
    targets = (probs.cumsum(1) < draw.random((200, 1))).sum(1).clip(max=3)
    one_guess = solve_expected_f1(probs, np.full(5, 0.2)).labels
    without = f1_score(targets, one_guess, average="macro")
    one_guess[probs[:, 4].argmax()] = 4
    assert f1_score(targets, one_guess, average="macro", zero_division=0) < without - 0.05


@pytest.mark.parametrize("name", RULES)
def test_one_row_is_enough_and_gets_its_most_probable_class(name):
    probs = np.array([[0.2, 0.45, 0.35]])
    rule = fit_rule(probs, name if name in METRICS else "macro-f1", np.array([1]), name)
    labels = rule.apply(probs)
    assert labels.shape == (1,)
    if name != "balanced-accuracy":  # every class is as probable as its prior there
        assert labels[0] == 1


def test_balanced_accuracy_divides_by_the_prior():
    probs, targets = long_tail(7, 6000)
    rule = fit_rule(probs, "balanced-accuracy")
    assert (rule.apply(probs) == (probs / probs.mean(0)).argmax(1)).all()
    score = METRICS["balanced-accuracy"].function
    assert score(targets, rule.apply(probs), 20) > score(targets, probs.argmax(1), 20) + 0.05


def test_logit_adjustment_takes_the_best_tau_and_the_smaller_of_equals():
    probs, targets = long_tail(8, 2000)
    scores = {}
    for tau in (0.0, 0.25, 0.5, 0.75, 1.0):
        labels = (np.log(probs) - tau * np.log(probs.mean(0))).argmax(1)
        scores[tau] = METRICS["macro-f1"].function(targets, labels, 20)
    assert fit_rule(probs, "macro-f1", targets, "logit-adjustment").fitted["tau"] == max(
        scores, key=scores.get
    )
    sure = np.eye(3)[[0, 1, 2, 0]]
    assert fit_rule(sure, "macro-f1", np.array([0, 1, 2, 0]), "logit-adjustment").fitted["tau"] == 0.0


def test_every_offered_rule_exists_and_the_metrics_own_comes_first():
    for name in METRICS:
        assert offered_rules(name)[0] == (name if name in RULES else "argmax")
        assert "argmax" in offered_rules(name)
        assert set(offered_rules(name)) <= set(RULES)
    probs, _ = long_tail(9, 50)
    assert (fit_rule(probs, "accuracy").apply(probs) == probs.argmax(1)).all()


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match="targets are missing"):
        fit_rule(np.full((2, 2), 0.5), "macro-f1", rule="logit-adjustment")
    with pytest.raises(ValueError, match="unknown decision rule 'best', known: argmax"):
        fit_rule(np.full((2, 2), 0.5), "macro-f1", rule="best")
    with pytest.raises(ValueError, match="at least one row"):
        solve_expected_f1(np.zeros((0, 3)), EQUAL)
