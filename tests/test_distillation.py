"""A student's loss: the formula by hand, torch's own divergence, the optimum that its shares promise."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from pipeline.class_balance import power_at, trained_power
from pipeline.config import Train
from pipeline.learn.distillation import SoftTargets, student_loss
from pipeline.learn.losses import build_loss
from pipeline.learn.mixing import mix

COUNTS = np.array([60, 30, 10])
TARGETS = np.array([0, 1, 2, 0, -1, -1])
DRAW = np.random.default_rng(0)
PROBS = DRAW.dirichlet(np.ones(3), 6).astype(np.float32)
LOGITS = torch.from_numpy(3 * DRAW.normal(size=(6, 3))).float()
PLACES = torch.tensor([4, 0, 2, 5, 1, 3])


def soft_of(probs=PROBS, power=1.0):
    return SoftTargets(np.arange(len(probs)) * 2 + 1, probs, power, "digest")


def losses(train, soft=None, targets=TARGETS, epoch=0):
    own = build_loss(train, COUNTS)
    return own, student_loss(own, soft or soft_of(), targets, COUNTS, train, epoch, "cpu")


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("name", ["cross-entropy", "focal", "bce"])
def test_by_hand(name, share, temperature):
    train = Train(loss=name, teacher_share=share, teacher_temperature=temperature)
    own, loss = losses(train)
    logits = LOGITS.double().numpy()
    believed = softmax(np.log(PROBS.astype(np.float64))[PLACES] / temperature)
    taught = -(temperature**2) * (believed * np.log(softmax(logits / temperature))).sum(1)
    labels = TARGETS[PLACES]
    of_label = own(LOGITS, torch.from_numpy(np.maximum(labels, 0))).numpy()
    wanted = np.where(labels < 0, taught, (1 - share) * of_label + share * taught)
    np.testing.assert_allclose(loss(LOGITS, PLACES).numpy(), wanted, rtol=1e-5)


def test_its_gradient_is_that_of_the_divergence_of_both_softened():
    temperature = 3.0
    loss = losses(Train(teacher_share=1.0, teacher_temperature=temperature))[1]
    ours, golden = (LOGITS.clone().requires_grad_() for _ in range(2))
    loss(ours, PLACES).sum().backward()
    teacher = (torch.from_numpy(PROBS)[PLACES].log() / temperature).softmax(1)
    divergence = functional.kl_div((golden / temperature).log_softmax(1), teacher, reduction="sum")
    (temperature**2 * divergence).backward()
    assert ours.grad is not None
    assert golden.grad is not None
    torch.testing.assert_close(ours.grad, golden.grad, rtol=1e-5, atol=1e-6)


def test_a_label_that_isnt_there_has_no_say_nor_has_a_prob_of_zero_a_fault():
    probs = np.array([[1, 0, 0], [0.5, 0.5, 0]], np.float32)
    found = []
    for unlabelled in (0, 2):  # what stands in the label's place, if anything did
        targets = np.array([unlabelled, -1])
        loss = losses(Train(), soft_of(probs), targets)[1]
        logits = LOGITS[:2].clone().requires_grad_()
        value = loss(logits, torch.tensor([1, 1])).sum()
        value.backward()
        assert torch.isfinite(value)
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()
        found.append(value.item())
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        ({}, {"loss": "balanced-softmax"}),
        ({"loss": "balanced-softmax"}, {}),
        ({"sampler": "class-balanced"}, {"sampler": "square-root"}),
        ({}, {"loss": "logit-adjusted", "logit_tau": 0.5}),
        ({"loss": "bce"}, {"loss": "focal"}),
    ],
)
def test_the_teachers_shares_become_those_that_the_student_believes_in(teacher, student):
    posterior = DRAW.dirichlet(np.ones(3), 4)
    shares = COUNTS / COUNTS.sum()

    def believed(power):
        weighted = posterior * shares ** (power - 1)
        return weighted / weighted.sum(1, keepdims=True)

    power, train = trained_power(Train(**teacher)), Train(**student, teacher_share=1.0)
    soft = soft_of(believed(power).astype(np.float32), power)
    loss = losses(train, soft, np.full(4, -1))[1]
    logits = torch.from_numpy(np.log(believed(trained_power(train)))).requires_grad_()
    loss(logits, torch.arange(4)).sum().backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6  # they are the optimum


def test_the_epochs_of_one_training_may_believe_in_different_shares():
    train = Train(epochs=5, retrain_epochs=2, teacher_share=1.0)
    assert [power_at(train, epoch) for epoch in range(5)] == [1, 1, 1, 0, 0]
    values = [losses(train, epoch=epoch)[1](LOGITS, PLACES) for epoch in range(5)]
    assert torch.equal(values[0], values[2])
    assert not torch.allclose(values[2], values[3])
    late = Train(loss="ldam", epochs=5)
    assert [power_at(late, epoch) for epoch in range(5)] == [1, 1, 1, 1, 0]


def test_mixed_rows_have_both_soft_targets():
    train = Train(epochs=3, mixup=0.4)
    loss = losses(train)[1]
    mixed = mix(torch.zeros(6, 3, 4, 4), PLACES, train, 0, 0, 0)
    assert mixed is not None
    assert sorted(mixed.others.tolist()) == sorted(PLACES.tolist())
    rows = mixed.share * loss(LOGITS, PLACES) + (1 - mixed.share) * loss(LOGITS, mixed.others)
    share = float(mixed.share[0])
    one_hot = torch.full((6, 3), 0.1 / 3) + 0.9 * torch.eye(3)[torch.from_numpy(np.maximum(TARGETS, 0))]
    softened = (torch.from_numpy(PROBS).log() / 2).softmax(1)
    of_label, of_teacher = -LOGITS.log_softmax(1), -4 * (LOGITS / 2).log_softmax(1)
    part = torch.from_numpy(np.where(TARGETS < 0, 1.0, 0.5)).float()[:, None]

    def weights(places):
        return (1 - part[places]) * one_hot[places], part[places] * softened[places]

    hard, taught = (
        share * a + (1 - share) * b for a, b in zip(weights(PLACES), weights(mixed.others), strict=True)
    )
    wanted = (hard * of_label).sum(1) + (taught * of_teacher).sum(1)
    torch.testing.assert_close(rows, wanted, rtol=1e-5, atol=1e-6)


def test_places_are_found_by_a_rows_position():
    places = soft_of().places(14)
    assert [places[row] for row in soft_of().rows] == list(range(6))
    assert (places == -1).sum() == 8
