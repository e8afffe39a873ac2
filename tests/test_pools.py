"""The pools, greedy selection, and the table of blends."""

import numpy as np
import pytest

from pipeline.score.blends.greedy import greedy_on_log_loss, greedy_on_metric, greedy_weights
from pipeline.score.blends.kinds import BLENDS
from pipeline.score.blends.pools import build_rank_pool, pool_arithmetic, pool_geometric
from pipeline.score.metrics import METRICS
from tests.simulated_members import simulated

POOLS = {"arithmetic": pool_arithmetic, "geometric": pool_geometric}


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_pools_are_normalised_ignore_weight_zero_and_keep_what_all_agree_on(pool):
    probs = np.random.default_rng(0).dirichlet(np.ones(4), size=(3, 20)).astype(np.float32)
    pooled = pool(probs, np.array([0.6, 0.4, 0.0]))
    assert pooled.sum(1) == pytest.approx(np.ones(20))
    assert pooled == pytest.approx(pool(probs[:2], np.array([0.6, 0.4])))
    assert pool(probs[[0, 0]], np.array([0.3, 0.7])) == pytest.approx(probs[0], abs=1e-6)


def test_pools_by_hand():
    probs, weights = np.array([[[0.9, 0.1]], [[0.5, 0.5]]]), np.array([0.25, 0.75])
    assert pool_arithmetic(probs, weights) == pytest.approx(np.array([[0.6, 0.4]]))
    odds = 9**0.25
    assert pool_geometric(probs, weights) == pytest.approx(np.array([[odds / (1 + odds), 1 / (1 + odds)]]))


def test_the_rank_pool_counts_sharp_and_dull_members_alike():
    oof, targets = simulated(0, 2000, members=2, n_classes=2)
    dull = oof[:, 0].copy()
    dull[0] = 0.5 + 0.02 * (dull[0] - 0.5)  # the better one
    auc, weights = METRICS["auc"], np.array([0.5, 0.5])
    ranked = build_rank_pool(dull)(dull, weights)
    assert ranked.sum(1) == pytest.approx(np.ones(2000))
    assert auc.function(targets, ranked, 2) == pytest.approx(
        auc.function(targets, build_rank_pool(oof[:, 0])(oof[:, 0], weights), 2), abs=1e-3
    )
    assert auc.function(targets, ranked, 2) > auc.function(targets, pool_arithmetic(dull, weights), 2)


def test_greedy_selection_takes_the_best_member_first_and_counts_repetitions():
    oof, targets = simulated(1, 1500, members=4)
    probs = oof[:, 0]
    weights = greedy_on_log_loss(probs, targets, rounds=20)
    losses = [METRICS["log-loss"].function(targets, p, 12) for p in probs]
    assert weights.sum() == pytest.approx(1.0)
    assert greedy_on_log_loss(probs, targets, rounds=1).argmax() == int(np.argmin(losses))
    blended = METRICS["log-loss"].function(targets, np.tensordot(weights, probs, 1), 12)
    assert blended < min(losses)


@pytest.mark.parametrize("name", ["macro-f1", "log-loss"])
def test_greedy_selection_on_a_metric_is_that_of_plain_python(name):
    oof, targets = simulated(2, 300, members=3, n_classes=4)
    metric, probs = METRICS[name], oof[:, 0].astype(np.float64)
    taken, scores = [], []
    for _ in range(6):
        tried = [
            metric.of_probs(targets, np.mean([probs[m] for m in [*taken, new]], axis=0)) for new in range(3)
        ]
        best = max(tried) if metric.greater_is_better else min(tried)
        equals = [m for m in range(3) if abs(tried[m] - best) < 1e-12]
        taken.append(next((m for m in equals if m in taken), equals[0]))
        scores.append(tried[taken[-1]])
    end = scores.index(max(scores) if metric.greater_is_better else min(scores)) + 1
    expected = np.bincount(taken[:end], minlength=3) / end
    assert greedy_on_metric(probs, targets, metric, rounds=6) == pytest.approx(expected)


def test_greedy_ties_go_to_a_member_that_is_in_already():
    answers = {0: [1.0, 1.0, 0.0], 1: [2.0, 2.0, 2.0], 2: [2.0, 2.0, 2.0]}
    assert greedy_weights(lambda taken: np.array(answers[len(taken)]), rounds=3).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("name", BLENDS)
def test_every_blend_has_weights_on_the_simplex_and_probabilities(name):
    oof, targets = simulated(3, 200, members=3, n_classes=4)
    probs = oof[:, 0]
    weights = BLENDS[name].fit_weights(probs, targets, METRICS["macro-f1"], 50.0)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= 0).all()
    pooled = BLENDS[name].build_pool(probs)(probs, weights)
    assert pooled.sum(1) == pytest.approx(np.ones(200))
    assert (pooled >= 0).all()
    assert BLENDS[name].explanation.format(pull=50.0)
