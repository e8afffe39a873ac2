"""The cross-fitted score is the truth's, whatever was fitted and however much it flatters itself."""

from dataclasses import dataclass

import numpy as np
import pytest

from pipeline.score.calibrate import apply_temperature, softmax
from pipeline.score.chain import Candidate, candidates_for, fit_chain, fit_chains
from pipeline.score.crossfit import choose, cross_fitted, cross_predict
from pipeline.score.metrics import METRICS, find_metric

MACRO_F1 = METRICS["macro-f1"]


def simulated(seed, n, members=3, n_classes=12, skill=1.6):
    """Members' probs float32 [M, n, C] and targets [n]: a long tail, errors partly shared."""
    draw = np.random.default_rng(seed)
    log_prior = 0.25 * -np.arange(n_classes)
    targets = draw.choice(n_classes, size=n, p=softmax(log_prior))
    signal = skill * np.eye(n_classes)[targets] + 0.5 * draw.normal(size=(n, n_classes))
    noise = draw.normal(size=(members, n, n_classes)) * np.linspace(0.5, 1.0, members)[:, None, None]
    return softmax(log_prior + 1.6 * (signal + noise)).astype(np.float32), targets


def folds_of(n, count=5):
    return np.arange(n) % count


@dataclass(frozen=True)
class Averaged:
    """A blend by the mean of picked members, with repetition."""

    picked: tuple

    def apply(self, probs):
        blended = probs[list(self.picked)].mean(0)
        return blended, blended.argmax(1)


def greedy_on_f1(oof, targets, rounds=12):
    """Caruana's selection on macro-F1: the flattering kind of fit."""
    total, picked = np.zeros(oof.shape[1:]), []
    for _ in range(rounds):
        scores = [MACRO_F1.function(targets, (total + member).argmax(1), oof.shape[2]) for member in oof]
        picked.append(int(np.argmax(scores)))
        total += oof[picked[-1]]
    return {"greedy": Averaged(tuple(picked)), "all": Averaged(tuple(range(len(oof))))}


def test_greedy_selection_is_seen_through():
    flattered, missed = [], []
    for seed in range(30):
        oof, targets = simulated(seed, 1200 + 6000, members=16, skill=1.1)
        rows, new = slice(0, 1200), slice(1200, None)
        delivered = greedy_on_f1(oof[:, rows], targets[rows])
        pooled = cross_predict(greedy_on_f1, oof[:, rows], targets[rows], folds_of(1200))
        truth, honest, in_sample = {}, {}, {}
        for name, fit in delivered.items():
            truth[name] = MACRO_F1.function(targets[new], fit.apply(oof[:, new])[1], 12)
            in_sample[name] = MACRO_F1.function(targets[rows], fit.apply(oof[:, rows])[1], 12)
            honest[name] = MACRO_F1.function(targets[rows], pooled[name][1], 12)
        # what the plain mean, fitted on nothing, misses by is the luck of these rows
        luck = honest["all"] - truth["all"]
        missed.append(honest["greedy"] - truth["greedy"] - luck)
        flattered.append(in_sample["greedy"] - truth["greedy"] - luck)
    assert abs(np.mean(missed)) < 0.006
    assert np.mean(flattered) > 0.015


def test_the_cross_fitted_score_of_the_chain_is_the_truth():
    missed = []
    for seed in range(30):
        oof, targets = simulated(seed, 1200 + 6000)
        rows, new = slice(0, 1200), slice(1200, None)
        found = cross_fitted(oof[:, rows], targets[rows], folds_of(1200), "macro-f1", seed=seed)
        truth = MACRO_F1.function(targets[new], found.chain.apply(oof[:, new])[1], 12)
        plain = oof.mean(0).argmax(1)
        luck = MACRO_F1.function(targets[rows], plain[rows], 12) - MACRO_F1.function(
            targets[new], plain[new], 12
        )
        missed.append(found.score - truth - luck)
    assert abs(np.mean(missed)) < 0.006


def test_twenty_members_of_noise_score_like_chance():
    draw = np.random.default_rng(0)
    oof = draw.dirichlet(np.ones(2), size=(20, 1000))
    targets = draw.integers(0, 2, 1000)
    auc = cross_fitted(oof, targets, folds_of(1000), "auc")
    assert abs(auc.score - 0.5) < 2 * auc.standard_error
    loss = cross_fitted(oof, targets, folds_of(1000), "log-loss")
    assert loss.score == pytest.approx(np.log(2), abs=0.005)
    greedy = greedy_on_f1(oof, targets)["greedy"].apply(oof)[1]
    honest = cross_predict(greedy_on_f1, oof, targets, folds_of(1000))["greedy"][1]
    assert MACRO_F1.function(targets, greedy, 2) > 0.53
    assert abs(MACRO_F1.function(targets, honest, 2) - 0.5) < 0.03


def test_choosing_among_equals_does_not_flatter():
    draw = np.random.default_rng(1)
    six, scores = candidates_for(METRICS["macro-f1"]), []
    assert len(six) == 6
    for seed in range(40):
        oof = draw.dirichlet(np.ones(4), size=(3, 200))
        targets = draw.integers(0, 4, 200)
        found = cross_fitted(oof, targets, folds_of(200), "accuracy", seed=seed, candidates=six)
        scores.append(found.score)
    assert abs(np.mean(scores) - 0.25) < 3 * np.std(scores) / np.sqrt(40)


def test_labels_of_a_fold_do_not_touch_its_predictions():
    oof, targets = simulated(1, 300)
    fold_of = folds_of(300)
    other = targets.copy()
    other[fold_of == 2] = (other[fold_of == 2] + 5) % 12
    candidates = candidates_for(MACRO_F1)

    def fit(rows, labels):
        return fit_chains(rows, labels, MACRO_F1, candidates)

    plain, changed = (cross_predict(fit, oof, labels, fold_of) for labels in (targets, other))
    for candidate in candidates:
        for before, after in zip(plain[candidate], changed[candidate], strict=True):
            assert (before[fold_of == 2] == after[fold_of == 2]).all()
    assert any((plain[c][0][fold_of != 2] != changed[c][0][fold_of != 2]).any() for c in candidates)


def test_a_record_is_complete_and_consistent():
    oof, targets = simulated(2, 500)
    targets[targets == 11] = 0
    found = cross_fitted(oof, targets, folds_of(500), "macro-f1", groups=np.arange(500) // 2, seed=3)
    assert (found.n, found.groups, found.classes_without_support) == (500, 250, (11,))
    assert found.score == MACRO_F1.function(targets, found.predictions, 12)
    assert found.in_sample == MACRO_F1.function(targets, found.chain.apply(oof)[1], 12)
    assert found.optimism == found.in_sample - found.score
    assert found.interval.low < found.score < found.interval.high
    assert found.chain.candidate in found.candidate_scores
    assert len(found.candidate_scores) == 6
    assert found.member_scores == tuple(MACRO_F1.function(targets, p.argmax(1), 12) for p in oof)
    assert found.probs.sum(1) == pytest.approx(np.ones(500), abs=1e-5)
    assert found.chain.weights.sum() == pytest.approx(1.0)


def test_it_is_deterministic():
    oof, targets = simulated(3, 300)
    first, second = (cross_fitted(oof, targets, folds_of(300), "weighted-f1", seed=1) for _ in range(2))
    assert first.interval == second.interval
    assert (first.probs == second.probs).all()
    assert (first.predictions == second.predictions).all()


def test_the_blend_beats_its_members_and_the_better_member_weighs_more():
    oof, targets = simulated(4, 2000)
    found = cross_fitted(oof, targets, folds_of(2000), "log-loss")
    assert found.score < min(found.member_scores)
    assert (np.diff(found.chain.weights) < 0).all()


def test_how_sure_a_member_was_made_does_not_matter():
    oof, targets = simulated(4, 500)
    plain = cross_fitted(oof, targets, folds_of(500), "log-loss")
    surer = np.stack([oof[0], apply_temperature(oof[1], 0.7), apply_temperature(oof[2], 1.5)])
    same = cross_fitted(surer, targets, folds_of(500), "log-loss")
    ratio = same.chain.member_temperatures / plain.chain.member_temperatures
    assert ratio == pytest.approx([1, 1 / 0.7, 1 / 1.5], rel=0.02)
    assert same.score == pytest.approx(plain.score, abs=0.002)


def test_rows_without_a_fold_are_neither_used_nor_scored():
    oof, targets = simulated(5, 400)
    fold_of = folds_of(400)
    fold_of[::10] = -1
    oof[:, ::10] = np.nan
    found = cross_fitted(oof, targets, fold_of, "macro-f1", groups=np.arange(400))
    assert found.n == found.groups == 360
    assert np.isnan(found.probs[::10]).all()
    assert (found.predictions[::10] == -1).all()
    kept = fold_of >= 0
    alone = cross_fitted(oof[:, kept], targets[kept], fold_of[kept], "macro-f1")
    assert (found.predictions[kept] == alone.predictions).all()
    assert found.score == alone.score


def test_one_member_has_all_the_weight():
    oof, targets = simulated(6, 300, members=1)
    found = cross_fitted(oof, targets, folds_of(300), "macro-f1")
    assert found.chain.weights.tolist() == [1.0]
    assert 0 < found.score <= 1


@pytest.mark.parametrize("name", [*METRICS, "map@3"])
def test_every_metric_has_at_most_six_candidates_and_a_score(name):
    oof, targets = simulated(7, 150, n_classes=5)
    assert 1 <= len(candidates_for(find_metric(name))) <= 6
    found = cross_fitted(oof, targets, folds_of(150), name)
    low, high = METRICS[name].bounds if name in METRICS else (0.0, 1.0)
    assert low <= found.score <= high
    assert found.interval.low <= found.interval.high
    if find_metric(name).needs == "probs":
        assert {candidate.rule for candidate in found.candidate_scores} == {"argmax"}


def test_a_binary_task():
    oof, targets = simulated(8, 400, n_classes=2)
    found = cross_fitted(oof, targets, folds_of(400), "auc")
    assert found.score > 0.8
    assert cross_fitted(oof, targets, folds_of(400), "macro-f1").score > 0.7


def outputs_of(targets, right, loss_of):
    """Of each candidate the first `right` rows are hits; loss_of gives the probability of the true class."""
    outputs = {}
    for candidate, hits in right.items():
        labels = np.where(np.arange(len(targets)) < hits, targets, 1 - targets)
        probs = np.full((len(targets), 2), loss_of.get(candidate, 0.5))
        probs[:, 1] = 1 - probs[:, 0]
        outputs[candidate] = probs, labels
    return outputs


def test_the_simplest_rule_within_one_standard_error_is_chosen_then_the_lower_log_loss():
    targets = np.zeros(1000, int)
    plain, geometric = Candidate("arithmetic", "argmax"), Candidate("geometric", "argmax")
    clever = Candidate("arithmetic", "macro-f1")
    close = outputs_of(targets, {plain: 800, geometric: 800, clever: 801}, {geometric: 0.6})
    assert choose(METRICS["accuracy"], targets, close) == geometric
    ahead = outputs_of(targets, {plain: 800, geometric: 800, clever: 830}, {geometric: 0.6})
    assert choose(METRICS["accuracy"], targets, ahead) == clever


def test_applying_a_chain_row_by_row_is_applying_it_at_once():
    oof, targets = simulated(9, 200)
    for candidate in candidates_for(MACRO_F1):
        chain = fit_chain(oof, targets, MACRO_F1, candidate)
        probs, labels = chain.apply(oof)
        parts = [chain.apply(oof[:, i : i + 1]) for i in range(200)]
        assert np.concatenate([part[0] for part in parts]) == pytest.approx(probs, abs=1e-9)
        assert (np.concatenate([part[1] for part in parts]) == labels).all()


def test_what_does_not_fit_is_refused_with_the_numbers():
    oof, targets = simulated(10, 60)
    with pytest.raises(ValueError, match="at least 2 folds, there are rows in 1"):
        cross_fitted(oof, targets, np.zeros(60, int), "accuracy")
    with pytest.raises(ValueError, match=r"got \(3, 60, 12\) for 59 targets"):
        cross_fitted(oof, targets[:59], folds_of(60), "accuracy")
    with pytest.raises(ValueError, match="targets hold 0 to 12, the probs have 12 classes"):
        cross_fitted(oof, np.where(np.arange(60) == 3, 12, targets % 2), folds_of(60), "accuracy")
    with pytest.raises(ValueError, match="fitted on 3 members, got probs of 2"):
        fit_chain(oof, targets, "accuracy", Candidate()).apply(oof[:2])
    oof[1, 5] = np.nan
    with pytest.raises(ValueError, match="member 1 has 1 scored rows with NaN"):
        cross_fitted(oof, targets, folds_of(60), "accuracy")
