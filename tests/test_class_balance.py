"""Balancing: refused where it would happen twice; what a training believes in is known and taken back."""

from typing import get_args, get_type_hints

import numpy as np
import pytest

from pipeline.class_balance import SAMPLER_POWERS, check_balance, reweights, trained_power
from pipeline.config_train import Train
from pipeline.errors import UsageError

HINTS = get_type_hints(Train)
BALANCING = {"class-weighted", "balanced-softmax", "logit-adjusted", "ldam"}


def test_every_sampler_has_its_power():
    assert set(SAMPLER_POWERS) == set(get_args(HINTS["sampler"]))


@pytest.mark.parametrize("loss", get_args(HINTS["loss"]))
@pytest.mark.parametrize("sampler", SAMPLER_POWERS)
def test_balanced_twice_is_refused(loss, sampler):
    train = Train(loss=loss, sampler=sampler)
    if loss in BALANCING and sampler != "natural":
        with pytest.raises(UsageError) as error:
            check_balance(train)
        text = str(error.value)
        assert f'train.sampler = "{sampler}"' in text
        assert f'train.loss = "{loss}"' in text
        assert "train.sampler=natural" in text
    else:
        check_balance(train)


@pytest.mark.parametrize(
    ("way_out", "field", "value"),
    [
        ("train.logit_tau=0", {"loss": "logit-adjusted"}, {"logit_tau": 0.0}),
        ("train.reweight_share=1", {"loss": "ldam"}, {"reweight_share": 1.0}),
        ("train.loss=cross-entropy", {"loss": "class-weighted"}, {"loss": "cross-entropy"}),
        ("train.loss=cross-entropy", {"loss": "balanced-softmax"}, {"loss": "cross-entropy"}),
    ],
)
def test_the_message_names_a_way_out_that_is_one(way_out, field, value):
    with pytest.raises(UsageError, match=way_out):
        check_balance(Train(sampler="square-root", **field))
    check_balance(Train(sampler="square-root", **field | value))
    assert trained_power(Train(**field | value)) == 1


def test_effective_numbers_that_are_all_one_balance_nothing():
    train = Train(loss="class-weighted", class_beta=0.0, sampler="class-balanced")
    check_balance(train)
    assert trained_power(train) == 0


@pytest.mark.parametrize(
    ("recipe", "power"),
    [
        ({}, 1),
        ({"loss": "focal"}, 1),
        ({"loss": "bce"}, 1),
        ({"loss": "bce", "sampler": "square-root"}, 0.5),
        ({"sampler": "class-balanced"}, 0),
        ({"loss": "balanced-softmax"}, 0),
        ({"loss": "class-weighted"}, 0),
        ({"loss": "logit-adjusted"}, 0),
        ({"loss": "logit-adjusted", "logit_tau": 1.5}, -0.5),
        ({"loss": "logit-adjusted", "logit_tau": 0.0, "sampler": "square-root"}, 0.5),
        ({"loss": "ldam"}, 0),
        ({"loss": "ldam", "class_beta": 0.0}, 1),
        ({"loss": "ldam", "epochs": 5}, 0),
        ({"loss": "ldam", "epochs": 4}, 1),  # its last epoch begins before .8 are over
        ({"loss": "ldam", "reweight_share": 0.0, "epochs": 1}, 0),
        ({"loss": "ldam", "reweight_share": 1.0, "sampler": "square-root"}, 0.5),
    ],
)
def test_trained_power(recipe, power):
    assert trained_power(Train(**recipe)) == power


def test_ldam_is_refused_beside_a_sampler_however_few_the_epochs():
    with pytest.raises(UsageError, match="reweight_share"):
        check_balance(Train(loss="ldam", epochs=1, sampler="square-root"))


@pytest.mark.parametrize("epochs", [1, 3, 7, 10, 49, 100])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_reweighting_lasts_for_the_share_that_is_left(epochs, share):
    train = Train(loss="ldam", epochs=epochs, reweight_share=share)
    weighted = [reweights(train, epoch / epochs) for epoch in range(epochs)]
    assert weighted == sorted(weighted)
    assert np.mean(weighted) == pytest.approx(1 - share, abs=1 / epochs)
    assert trained_power(train) == 1 - max(weighted)
