"""What each choice is worth: the signs are right, nothing else is changed, every part is there."""

import numpy as np
import pytest

from pipeline.score.calibrate import softmax
from pipeline.score.chain import plan_for
from pipeline.score.crossfit import cross_fitted
from pipeline.score.gains import choice_gains
from pipeline.score.intervals import paired_difference
from pipeline.score.metrics import METRICS
from tests.simulated_members import rows_of, simulated

MACRO_F1 = METRICS["macro-f1"]


def gains_of(rows, metric, plan=None):
    found = cross_fitted(rows, metric, plan=plan)
    return found, {(gain.choice, gain.instead): gain for gain in choice_gains(found, rows)}


def test_every_alternative_is_compared_once():
    oof, targets = simulated(0, 600)
    found, gains = gains_of(rows_of(oof, targets), "macro-f1")
    blend, rule = found.chain.blend.name, found.chain.rule.name
    others = [("blend", name) for name in found.blend_scores if name != blend]
    others += [("rule", name) for name in found.rule_scores if name != rule]
    assert list(gains) == [*others, ("prior power", "none"), ("temperatures", "none")]
    assert all(list(gain.gains) == ["macro-f1", "log-loss"] for gain in gains.values())


def test_temperatures_pay_where_members_are_too_sure():
    oof, targets = simulated(1, 1500)
    surer = oof**3 / (oof**3).sum(-1, keepdims=True)
    _, gains = gains_of(rows_of(surer, targets), "log-loss", plan_for(METRICS["log-loss"], ("arithmetic",)))
    assert list(gains) == [("prior power", "none"), ("temperatures", "none")]
    found = gains["temperatures", "none"].gains["log-loss"]
    assert found.low > 0


def test_a_second_view_pays_where_its_errors_are_its_own():
    draw = np.random.default_rng(2)
    targets = draw.integers(0, 6, 1500)
    views = softmax(2 * np.eye(6)[targets] + draw.normal(size=(1, 2, 1500, 6)))  # one member, two views
    _, gains = gains_of(rows_of(views, targets), "log-loss")
    assert gains["views", "the plain image alone"].gains["log-loss"].low > 0


def test_a_blend_is_compared_by_its_cross_fitted_rows():
    oof, targets = simulated(3, 500)
    rows = rows_of(oof, targets)
    found, gains = gains_of(rows, "log-loss")
    blend = found.chain.blend.name
    for (choice, other), gain in gains.items():
        if choice == "blend":
            probs = found.fits.probs
            own = paired_difference(
                targets, probs[blend], probs[other], METRICS["log-loss"], 12, resamples=50
            )
            assert gain.gains["log-loss"].gain == pytest.approx(own.gain)
            scores = found.blend_scores
            assert gain.gains["log-loss"].gain == pytest.approx(scores[other] - scores[blend])


def test_equal_members_gain_nothing_from_weights():
    oof, targets = simulated(4, 400, members=1)
    same = np.concatenate([oof, oof])
    found, gains = gains_of(rows_of(same, targets), "macro-f1")
    assert found.chain.blend.name == "uniform"
    assert gains["blend", "arithmetic"].gains["log-loss"].gain == pytest.approx(0.0, abs=1e-6)
