"""The cross-fitted score is the truth's, whatever was fitted and however much it flatters itself."""

import numpy as np
import pytest
from scipy.stats import norm

from pipeline.score.blends.greedy import greedy_on_metric
from pipeline.score.calibrate import apply_temperature, softmax
from pipeline.score.chain import plan_for
from pipeline.score.choice import choose
from pipeline.score.crossfit import cross_fitted, cross_predict, fit_chain
from pipeline.score.metrics import METRICS, find_metric
from pipeline.score.oof import fit_folds, rule_labels, scored_rows
from tests.simulated_members import folds_of, rows_of, simulated

MACRO_F1 = METRICS["macro-f1"]


def greedy_on_f1(members, targets):
    """Caruana's selection on macro-F1: the flattering kind of fit."""
    weights = greedy_on_metric(np.stack([member[0] for member in members]), targets, MACRO_F1, rounds=12)
    return lambda others: np.tensordot(weights, np.stack([own[0] for own in others]), 1).argmax(1)


def plain_mean(members, targets):
    return lambda others: np.mean([own[0] for own in others], axis=0).argmax(1)


def test_greedy_selection_is_seen_through():
    flattered, missed = [], []
    for seed in range(30):
        oof, targets = simulated(seed, 1200 + 6000, members=16, skill=1.1)
        seen, new = slice(0, 1200), slice(1200, None)
        rows = rows_of(oof[:, :, seen], targets[seen])
        truth, honest, in_sample = {}, {}, {}
        for fit in (greedy_on_f1, plain_mean):
            delivered = fit(rows.members, rows.targets)
            truth[fit] = MACRO_F1.function(targets[new], delivered(oof[:, :, new]), 12)
            in_sample[fit] = MACRO_F1.function(rows.targets, delivered(rows.members), 12)
            honest[fit] = MACRO_F1.function(rows.targets, cross_predict(fit, rows), 12)
        # what the plain mean, fitted on nothing, misses by is the luck of these rows
        luck = honest[plain_mean] - truth[plain_mean]
        missed.append(honest[greedy_on_f1] - truth[greedy_on_f1] - luck)
        flattered.append(in_sample[greedy_on_f1] - truth[greedy_on_f1] - luck)
    assert abs(np.mean(missed)) < 0.006
    assert np.mean(flattered) > 0.015


def test_the_cross_fitted_score_of_the_chain_is_the_truth():
    missed = []
    for seed in range(30):
        oof, targets = simulated(seed, 1200 + 6000)
        seen, new = slice(0, 1200), slice(1200, None)
        found = cross_fitted(rows_of(oof[:, :, seen], targets[seen]), "macro-f1", seed=seed)
        truth = MACRO_F1.function(targets[new], found.chain.apply(oof[:, :, new])[1], 12)
        plain = oof.mean((0, 1)).argmax(1)
        luck = MACRO_F1.function(targets[seen], plain[seen], 12) - MACRO_F1.function(
            targets[new], plain[new], 12
        )
        missed.append(found.score - truth - luck)
    assert abs(np.mean(missed)) < 0.006


def test_twenty_members_of_noise_score_like_chance():
    draw = np.random.default_rng(0)
    oof = draw.dirichlet(np.ones(2), size=(20, 1, 1000))
    targets = draw.integers(0, 2, 1000)
    rows = rows_of(oof, targets)
    auc = cross_fitted(rows, "auc")
    assert abs(auc.score - 0.5) < 2 * auc.standard_error
    loss = cross_fitted(rows, "log-loss")
    assert loss.score == pytest.approx(np.log(2), abs=0.005)
    assert MACRO_F1.function(targets, greedy_on_f1(oof, targets)(oof), 2) > 0.53
    assert abs(MACRO_F1.function(targets, cross_predict(greedy_on_f1, rows), 2) - 0.5) < 0.03


def test_choosing_among_equals_does_not_flatter():
    draw = np.random.default_rng(1)
    plan, scores = plan_for(METRICS["macro-f1"]), []
    assert len(plan.blends) + len(plan.rules) == 6
    for seed in range(40):
        oof = draw.dirichlet(np.ones(4), size=(3, 1, 200))
        found = cross_fitted(rows_of(oof, draw.integers(0, 4, 200)), "accuracy", seed=seed, plan=plan)
        scores.append(found.score)
    assert abs(np.mean(scores) - 0.25) < 3 * np.std(scores) / np.sqrt(40)


def test_labels_of_a_fold_do_not_touch_its_predictions():
    oof, targets = simulated(1, 300)
    other = targets.copy()
    other[folds_of(300) == 2] = (other[folds_of(300) == 2] + 5) % 12
    plan, changed_elsewhere = plan_for(MACRO_F1), False
    fits = [fit_folds(rows_of(oof, labels), MACRO_F1, plan) for labels in (targets, other)]
    for blend in plan.blends:
        labels = [
            [rule_labels(one, dict.fromkeys(range(5), blend), rows_of(oof, y), MACRO_F1, rule, plan)
             for rule in plan.rules]
            for one, y in zip(fits, (targets, other), strict=True)
        ]  # fmt: skip
        for before, after in zip(
            (fits[0].probs[blend], *labels[0]), (fits[1].probs[blend], *labels[1]), strict=True
        ):
            assert (before[folds_of(300) == 2] == after[folds_of(300) == 2]).all()
            changed_elsewhere |= bool((before[folds_of(300) != 2] != after[folds_of(300) != 2]).any())
    assert changed_elsewhere


def test_a_record_is_complete_and_consistent():
    oof, targets = simulated(2, 500)
    targets[targets == 11] = 0
    found = cross_fitted(rows_of(oof, targets, groups=np.arange(500) // 2), "macro-f1", seed=3)
    assert (found.n, found.groups, found.classes_without_support) == (500, 250, (11,))
    assert found.score == MACRO_F1.function(targets, found.predictions, 12)
    assert found.in_sample == MACRO_F1.function(targets, found.chain.apply(oof)[1], 12)
    assert found.optimism == found.in_sample - found.score
    assert found.interval.low < found.score < found.interval.high
    assert list(found.blend_scores) == ["uniform", "arithmetic", "geometric"]
    assert list(found.rule_scores) == ["macro-f1", "argmax", "logit-adjustment"]
    assert found.chain.blend.name in found.blend_scores
    assert found.chain.rule.name in found.rule_scores
    assert found.member_scores == tuple(MACRO_F1.function(targets, p[0].argmax(1), 12) for p in oof)
    assert found.probs.sum(1) == pytest.approx(np.ones(500), abs=1e-5)
    assert found.chain.blend.weights.sum() == pytest.approx(1.0)


def test_it_is_deterministic():
    oof, targets = simulated(3, 300)
    first, second = (cross_fitted(rows_of(oof, targets), "weighted-f1", seed=1) for _ in range(2))
    assert first.interval == second.interval
    assert (first.probs == second.probs).all()
    assert (first.predictions == second.predictions).all()
    assert first.chain.blend.weights.tolist() == second.chain.blend.weights.tolist()


def test_the_blend_beats_its_members_and_the_better_member_weighs_more():
    oof, targets = simulated(4, 2000)
    found = cross_fitted(rows_of(oof, targets), "log-loss")
    assert found.score < min(found.member_scores)
    assert (np.diff(found.chain.blend.weights) < 0).all()


def test_how_sure_a_member_was_made_does_not_matter():
    oof, targets = simulated(4, 500)
    plain = cross_fitted(rows_of(oof, targets), "log-loss")
    surer = np.stack([oof[0], apply_temperature(oof[1], 0.7), apply_temperature(oof[2], 1.5)])
    same = cross_fitted(rows_of(surer, targets), "log-loss")
    ratio = same.chain.blend.member_temperatures / plain.chain.blend.member_temperatures
    assert ratio == pytest.approx([1, 1 / 0.7, 1 / 1.5], rel=0.02)
    assert same.score == pytest.approx(plain.score, abs=0.002)


def test_rows_without_a_fold_are_neither_used_nor_scored():
    oof, targets = simulated(5, 400)
    fold_of = folds_of(400)
    fold_of[::10] = -1
    oof[:, :, ::10] = np.nan
    found = cross_fitted(scored_rows(oof, targets, fold_of, np.arange(400)), "macro-f1")
    assert found.n == found.groups == len(found.predictions) == 360
    kept = fold_of >= 0
    alone = cross_fitted(scored_rows(oof[:, :, kept], targets[kept], fold_of[kept]), "macro-f1")
    assert (found.predictions == alone.predictions).all()
    assert found.score == alone.score


def test_one_member_has_all_the_weight():
    oof, targets = simulated(6, 300, members=1)
    found = cross_fitted(rows_of(oof, targets), "macro-f1")
    assert found.chain.blend.weights.tolist() == [1.0]
    assert 0 < found.score <= 1


@pytest.mark.parametrize("name", [*METRICS, "map@3"])
def test_every_metric_has_at_most_six_candidates_and_a_score(name):
    oof, targets = simulated(7, 150, n_classes=5)
    plan = plan_for(find_metric(name))
    assert len(plan.blends) + len(plan.rules) <= 6
    found = cross_fitted(rows_of(oof, targets), name)
    low, high = METRICS[name].bounds if name in METRICS else (0.0, 1.0)
    assert low <= found.score <= high
    assert found.interval.low <= found.interval.high
    if find_metric(name).needs == "probs":
        assert list(found.rule_scores) == ["argmax"]


def test_a_binary_task():
    oof, targets = simulated(8, 400, n_classes=2)
    found = cross_fitted(rows_of(oof, targets), "auc")
    assert found.score > 0.8
    assert cross_fitted(rows_of(oof, targets), "macro-f1").score > 0.7


def graded(seed, n, cuts=(0.6, 1.0, 1.5, 1.9), noise=0.8):
    """Two members' calibrated probs [2, 1, n, 5] of grades cut from a hidden depth, and the grades [n]."""
    draw = np.random.default_rng(seed)
    depth = draw.normal(size=n)
    seen = depth + noise * draw.normal(size=(2, n))
    shrunk, spread = seen / (1 + noise**2), noise / (1 + noise**2) ** 0.5
    edges = np.array([-np.inf, *cuts, np.inf])
    below = norm.cdf((edges - shrunk[..., None]) / spread)
    return np.diff(below, axis=-1)[:, None], np.digitize(depth, cuts)


def test_an_ordinal_task_is_cut_where_kappa_is_best():
    oof, targets = graded(0, 6000)
    new = slice(2000, None)
    found = cross_fitted(rows_of(oof[:, :, :2000], targets[:2000]), "quadratic-kappa")
    kappa = METRICS["quadratic-kappa"]
    assert found.chain.rule.name == "quadratic-kappa"
    assert found.rule_scores["quadratic-kappa"] > found.rule_scores["argmax"] + 0.02
    probs, labels = found.chain.apply(oof[:, :, new])
    truth = kappa.function(targets[new], labels, 5)
    assert truth > kappa.function(targets[new], probs.argmax(1), 5) + 0.02
    assert abs(truth - found.score) < 2 * np.hypot(found.standard_error, found.standard_error / 2**0.5)


def test_the_simplest_within_one_standard_error_is_chosen():
    accuracy, targets, places = METRICS["accuracy"], np.zeros(1000, int), np.arange(1000)

    def right(first, last):
        """Labels that are right from row `first` to row `last`."""
        return np.where((first <= places) & (places < last), 0, 1)

    plain = right(0, 800)
    assert choose(accuracy, targets, {"plain": plain, "clever": right(20, 821)}, 2) == "plain"
    assert choose(accuracy, targets, {"plain": plain, "clever": right(20, 850)}, 2) == "clever"
    assert (
        choose(accuracy, targets, {"worse": right(0, 700), "plain": plain, "b": right(20, 821)}, 2) == "plain"
    )


def test_applying_a_chain_row_by_row_is_applying_it_at_once():
    oof, targets = simulated(9, 200)
    plan = plan_for(MACRO_F1, ("uniform", "arithmetic", "geometric", "greedy", "greedy-metric", "rank"))
    for blend in plan.blends:
        for rule in plan.rules:
            chain = fit_chain(oof, targets, MACRO_F1, plan, blend, rule)
            probs, labels = chain.apply(oof)
            parts = [chain.apply(oof[:, :, i : i + 1]) for i in range(200)]
            assert np.concatenate([part[0] for part in parts]) == pytest.approx(probs, abs=1e-9)
            assert (np.concatenate([part[1] for part in parts]) == labels).all()


def test_members_may_have_different_numbers_of_views():
    oof, targets = simulated(10, 300)
    mixed = [oof[0], np.concatenate([oof[1], oof[2]])]
    found = cross_fitted(rows_of(mixed, targets), "macro-f1")
    assert [len(views.weights) for views in found.chain.blend.views] == [1, 2]
    assert found.chain.blend.views[1].weights.sum() == pytest.approx(1.0)


def test_a_balanced_member_gets_its_prior_back():
    draw = np.random.default_rng(11)
    shares = softmax(-0.4 * np.arange(8))
    targets = draw.choice(8, size=4000, p=shares)
    logits = 1.5 * (1.5 * np.eye(8)[targets] + draw.normal(size=(2, 1, 4000, 8)))  # calibrated if balanced
    natural, mixed = softmax(np.log(shares) + logits), softmax(logits)
    mixed[0] = natural[0]
    losses = {
        name: cross_fitted(
            rows_of(oof, targets),
            "log-loss",
            plan=plan_for(METRICS["log-loss"], ("arithmetic",), powers=powers),
        ).score
        for name, oof, powers in (
            ("natural", natural, ()),
            ("undone", mixed, (1.0, 0.0)),
            ("left alone", mixed, ()),
        )
    }
    assert losses["undone"] == pytest.approx(losses["natural"], abs=0.01)  # shares are estimated
    assert losses["left alone"] > losses["undone"] + 0.02


def test_a_transductive_rule_is_solved_on_the_rows_that_it_labels():
    oof, targets = simulated(12, 2000)
    plan = plan_for(MACRO_F1, rules=("macro-f1",), transductive=True)
    fixed = plan_for(MACRO_F1, rules=("macro-f1",))
    moved, still = (cross_fitted(rows_of(oof, targets), "macro-f1", plan=p) for p in (plan, fixed))
    few = oof[:, :, targets != 0][:, :, :300]  # other shares of the classes than the rule was solved for
    assert (moved.chain.apply(few)[1] != still.chain.apply(few)[1]).any()
    assert moved.score == pytest.approx(still.score, abs=0.03)


def test_what_does_not_fit_is_refused_with_the_numbers():
    oof, targets = simulated(13, 60)
    with pytest.raises(ValueError, match="at least 2 folds, there are rows in 1"):
        scored_rows(oof, targets, np.zeros(60, int))
    with pytest.raises(ValueError, match=r"of member 0, got \(1, 60, 12\) for 59 targets"):
        scored_rows(oof, targets[:59], folds_of(60))
    with pytest.raises(ValueError, match="targets hold 0 to 12, the probs have 12 classes"):
        rows_of(oof, np.where(np.arange(60) == 3, 12, targets % 2))
    with pytest.raises(ValueError, match="fitted on 3 members, got probs of 2"):
        fit_chain(oof, targets, MACRO_F1, plan_for(MACRO_F1), "uniform", "argmax").apply(oof[:2])
    oof[1, 0, 5] = np.nan
    with pytest.raises(ValueError, match="member 1 has 1 scored rows with NaN"):
        rows_of(oof, targets)
