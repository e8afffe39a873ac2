"""Losses: other implementations' values, the optima that theory promises, nothing infinite anywhere."""

from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.loss import BinaryCrossEntropy
from torch import nn
from torch.nn import functional

from pipeline.class_balance import trained_power
from pipeline.config import Train
from pipeline.dataset.lookalike_plan import training_counts
from pipeline.learn.losses import LOSSES, Loss, build_loss, effective_weights, ldam_margins

COUNTS = np.array([500, 80, 20, 3])
EACH = pytest.mark.parametrize("name", LOSSES)
SMOOTHINGS = pytest.mark.parametrize("smoothing", [0.0, 0.1])


def recipe(name: str, **fields) -> Train:
    return Train(loss=name, **fields)  # type: ignore[arg-type]


def batch(rows: int = 64, classes: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (rows,), generator=draw)
    return 3 * torch.randn(rows, classes, generator=draw), targets


def numpy_probs(logits: torch.Tensor) -> np.ndarray:
    powers = np.exp(logits.double().numpy())
    return powers / powers.sum(1, keepdims=True)


def optimum(loss: Loss, joint: np.ndarray) -> np.ndarray:
    """Probs [cells, C] of least mean loss where rows of each cell and class are as frequent as `joint`."""
    cells, classes = joint.shape
    logits = torch.zeros(cells, classes, requires_grad=True)
    spread, targets = np.divmod(np.arange(cells * classes), classes)
    weights = torch.tensor(joint.ravel(), dtype=torch.float32)
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=500, tolerance_grad=1e-8, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        mean = (weights * loss(logits[spread], torch.tensor(targets))).sum()
        mean.backward()
        return mean

    optimizer.step(closure)
    return numpy_probs(logits.detach())


def test_every_loss_of_the_configuration_is_there():
    assert tuple(LOSSES) == get_args(get_type_hints(Train)["loss"])


@SMOOTHINGS
def test_cross_entropy_is_torchs(smoothing):
    logits, targets = batch()
    rows = build_loss(recipe("cross-entropy", label_smoothing=smoothing), COUNTS)(logits, targets)
    assert rows.shape == (64,)
    torch.testing.assert_close(rows.mean(), nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, targets),
                               rtol=1e-6, atol=1e-6)  # fmt: skip


@SMOOTHINGS
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_is_its_formula(gamma, smoothing):
    logits, targets = batch()
    found = build_loss(recipe("focal", focal_gamma=gamma, label_smoothing=smoothing), COUNTS)(logits, targets)
    log_probs = np.log(numpy_probs(logits))
    own = log_probs[np.arange(64), targets]
    expected = -((1 - np.exp(own)) ** gamma) * ((1 - smoothing) * own + smoothing * log_probs.mean(1))
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5, atol=1e-7)


def test_focal_without_a_power_is_cross_entropy():
    logits, targets = batch()
    focal = build_loss(recipe("focal", focal_gamma=0.0), COUNTS)
    torch.testing.assert_close(focal(logits, targets), build_loss(Train(), COUNTS)(logits, targets))


def test_class_weighted_is_torchs_weight():
    logits, targets = batch()
    weights = effective_weights(COUNTS, 0.999)
    expected = functional.cross_entropy(logits, targets, torch.tensor(weights).float(), reduction="none")
    found = build_loss(recipe("class-weighted", label_smoothing=0.0), COUNTS)(logits, targets)
    torch.testing.assert_close(found, expected)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=30).filter(any), st.floats(0, 1 - 1e-9))
def test_effective_weights_are_one_on_average_and_fall_with_the_rows(counts, beta):
    counts = np.array(counts)
    weights = effective_weights(counts, beta)
    assert np.isfinite(weights).all()
    assert (weights > 0).all()
    assert counts @ weights / counts.sum() == pytest.approx(1)
    assert (np.diff(weights[np.argsort(counts)]) <= 1e-9 * weights.max()).all()


def test_effective_weights_between_equal_and_inverse():
    assert effective_weights(COUNTS, 0.0) == pytest.approx(np.ones(4))
    assert effective_weights(COUNTS, 1 - 1e-9) * COUNTS == pytest.approx(
        np.full(4, COUNTS.sum() / 4), rel=1e-5
    )
    ratios = effective_weights(COUNTS, 0.99) / ((1 - 0.99) / (1 - 0.99**COUNTS))
    assert ratios == pytest.approx(np.full(4, ratios[0]))


@pytest.mark.parametrize("tau", [0.3, 1.0, 2.0])
def test_logit_adjusted_is_torchs_cross_entropy_of_adjusted_logits(tau):
    logits, targets = batch()
    shares = torch.tensor(COUNTS / COUNTS.sum()).float()
    expected = functional.cross_entropy(logits + tau * shares.log(), targets, reduction="none")
    adjusted = recipe("logit-adjusted", logit_tau=tau, label_smoothing=0.0)
    torch.testing.assert_close(build_loss(adjusted, COUNTS)(logits, targets), expected)
    if tau == 1:
        balanced = build_loss(recipe("balanced-softmax", label_smoothing=0.0), COUNTS)(logits, targets)
        torch.testing.assert_close(balanced, expected)


@SMOOTHINGS
def test_classes_of_one_size_have_nothing_to_balance(smoothing):
    logits, targets = batch()
    plain = build_loss(Train(label_smoothing=smoothing), COUNTS)(logits, targets)
    for name in ("class-weighted", "balanced-softmax", "logit-adjusted"):
        found = build_loss(recipe(name, label_smoothing=smoothing), np.full(4, 7))(logits, targets)
        torch.testing.assert_close(found, plain)


def test_ldam_is_its_formula_and_weighs_classes_late():
    logits, targets = batch()
    logits = 30 * torch.tanh(logits)
    train = recipe("ldam", label_smoothing=0.0)
    margins = 0.5 * (3 / COUNTS) ** 0.25
    powers = np.exp(logits.double().numpy())
    own = powers[np.arange(64), targets]
    lowered = own * np.exp(-30 * margins[targets])
    expected = -np.log(lowered / (powers.sum(1) - own + lowered))
    early, late = (build_loss(train, COUNTS, progress)(logits, targets) for progress in (0.79, 0.8))
    np.testing.assert_allclose(early.numpy(), expected, rtol=1e-4, atol=1e-5)
    weights = effective_weights(COUNTS, 0.999)[targets]
    np.testing.assert_allclose(late.numpy(), weights * early.numpy(), rtol=1e-5)


def test_ldams_margins():
    margins = ldam_margins(np.array([16, 0, 1, 81]), 0.6)
    assert margins == pytest.approx([0.3, 0.6, 0.6, 0.2])


@SMOOTHINGS
def test_bce_is_timms(smoothing):
    logits, targets = batch()
    found = build_loss(recipe("bce", label_smoothing=smoothing), COUNTS)(logits, targets)
    timms = BinaryCrossEntropy(smoothing=smoothing, sum_classes=True)
    torch.testing.assert_close(found.mean(), timms(logits, targets))


@pytest.mark.parametrize("name", ["cross-entropy", "bce"])
def test_mixing_losses_is_mixing_targets(name):
    logits, targets = batch()
    others = targets.roll(1)
    loss = build_loss(recipe(name, label_smoothing=0.0), COUNTS)
    mixed = 0.3 * functional.one_hot(targets, 4) + 0.7 * functional.one_hot(others, 4)
    if name == "bce":
        expected = functional.binary_cross_entropy_with_logits(logits, mixed, reduction="none").sum(1)
    else:
        expected = functional.cross_entropy(logits, mixed, reduction="none")
    torch.testing.assert_close(0.3 * loss(logits, targets) + 0.7 * loss(logits, others), expected)


# Two cells of rows that look alike, three classes; the shares differ much.
JOINT = np.array([[0.60, 0.08, 0.01], [0.20, 0.07, 0.04]])
SHARES = JOINT.sum(0)


def scaled(values: np.ndarray) -> np.ndarray:
    return values / values.sum(1, keepdims=True)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("cross-entropy", {}),
        ("balanced-softmax", {}),
        ("logit-adjusted", {"logit_tau": 0.5}),
        ("logit-adjusted", {"logit_tau": 1.5}),
        ("class-weighted", {"class_beta": 1 - 1e-9}),
    ],
)
def test_the_optimum_is_the_posterior_for_the_shares_that_the_training_believes_in(name, fields):
    train = recipe(name, label_smoothing=0.0, **fields)
    found = optimum(build_loss(train, (10_000 * SHARES).round().astype(int)), JOINT)
    power = trained_power(train)
    np.testing.assert_allclose(found, scaled(JOINT * SHARES ** (power - 1)), atol=2e-3)
    np.testing.assert_allclose(scaled(found * SHARES ** (1 - power)), scaled(JOINT), atol=2e-3)


def test_smoothing_is_uniform_where_the_classes_are_balanced():
    found = optimum(build_loss(recipe("balanced-softmax"), (10_000 * SHARES).round().astype(int)), JOINT)
    posterior = scaled(JOINT)
    np.testing.assert_allclose(found, scaled(0.9 * posterior / SHARES + 0.1), atol=2e-3)


def test_smoothing_leaves_a_certain_row_to_its_class_in_ip102():
    counts = training_counts()
    certain = np.zeros((1, len(counts)))
    certain[0, counts.argmax()] = 1
    found = optimum(build_loss(recipe("balanced-softmax"), counts), certain)[0]
    assert found.max() == pytest.approx(0.54, abs=0.005)  # .29 with a uniform smoothing
    assert found.argmax() == counts.argmax()


@EACH
@pytest.mark.parametrize("height", [1.0, 30.0, 1e4])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_all_is_finite_with_classes_without_rows_and_rows_that_are_certain(name, height, gamma):
    logits = (height * torch.cat([torch.eye(4), -torch.eye(4), torch.zeros(4, 4)])).requires_grad_()
    counts = np.array([40, 0, 1, 0])
    train = recipe(name, focal_gamma=gamma)
    for target in range(4):
        rows = build_loss(train, counts, 0.9)(logits, torch.full((12,), target))
        assert rows.dtype == torch.float32
        assert torch.isfinite(rows).all()
        assert (rows >= -1e-6).all()
        (gradient,) = torch.autograd.grad(rows.sum(), logits)
        assert torch.isfinite(gradient).all()


@EACH
@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    counts=st.lists(st.integers(0, 1000), min_size=2, max_size=8).filter(any),
    seed=st.integers(0, 1000),
    smoothing=st.sampled_from([0.0, 0.1]),
)
def test_classes_in_another_order_have_the_same_loss(name, counts, seed, smoothing):
    logits, targets = batch(16, len(counts), seed)
    order = np.random.default_rng(seed).permutation(len(counts))
    train = recipe(name, label_smoothing=smoothing)
    found = build_loss(train, np.array(counts), 0.9)(logits, targets)
    placed = torch.tensor(np.argsort(order))[targets]
    permuted = build_loss(train, np.array(counts)[order], 0.9)(logits[:, order], placed)
    torch.testing.assert_close(permuted, found, rtol=1e-4, atol=1e-5)


@EACH
def test_a_row_has_its_own_loss_whatever_is_beside_it(name):
    logits, targets = batch()
    loss = build_loss(recipe(name), COUNTS, 0.9)
    alone = torch.cat([loss(logits[i : i + 1], targets[i : i + 1]) for i in range(64)])
    torch.testing.assert_close(alone, loss(logits, targets))


@EACH
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_logits_lose_nothing_more(name, dtype):
    logits, targets = batch()
    low = logits.to(dtype)
    loss = build_loss(recipe(name), COUNTS, 0.9)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(low, targets)
    assert found.dtype == torch.float32
    assert torch.equal(found, loss(low.float(), targets))


@EACH
def test_constants_are_on_the_device(name):
    loss = build_loss(recipe(name), COUNTS, 0.9, device="meta")
    rows = loss(torch.zeros(5, 4, device="meta"), torch.zeros(5, dtype=torch.int64, device="meta"))
    assert rows.device.type == "meta"
    assert rows.shape == (5,)
