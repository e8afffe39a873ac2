"""MixUp and CutMix: pixels and shares agree, the key decides, and the last epochs are left alone."""

import numpy as np
import pytest
import torch

from pipeline.config import Train
from pipeline.learn.mixing import mix

BATCH = 16


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Images of one value each, that of their row, and as target the row."""
    rows = torch.arange(BATCH)
    return rows.float()[:, None, None, None].expand(-1, 3, 12, 20).clone(), rows


def mixed(train: Train, step: int = 0, epoch: int = 0, fold: int = 0):
    images, targets = batch()
    return mix(images, targets, train, fold, step, epoch)


@pytest.mark.parametrize("recipe", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_an_image_has_as_much_of_each_as_its_loss_has(recipe):
    for step in range(40):
        found = mixed(Train(epochs=3, **recipe), step)
        expected = found.share * torch.arange(BATCH) + (1 - found.share) * found.others
        assert found.images.mean((1, 2, 3)) == pytest.approx(expected, abs=1e-4)
        assert ((found.share >= 0) & (found.share <= 1)).all()


def test_cutmix_pastes_one_rectangle():
    found = mixed(Train(epochs=3, cutmix=1.0), step=3)
    own = found.images == torch.arange(BATCH)[:, None, None, None]
    pasted = found.images == found.others[:, None, None, None]
    assert (own | pasted).all()
    changed = [row for row in range(BATCH) if found.others[row] != row]
    for row in changed:
        ys, xs = np.nonzero(~own[row, 0].numpy())
        assert len(ys) == (np.ptp(ys) + 1) * (np.ptp(xs) + 1)


def test_fold_and_step_decide_it():
    train = Train(epochs=3, mixup=0.4, cutmix=1.0)
    again, other_step, other_fold = mixed(train, 5), mixed(train, 6), mixed(train, 5, fold=1)
    assert torch.equal(mixed(train, 5).images, again.images)
    assert not torch.equal(other_step.images, again.images)
    assert not torch.equal(other_fold.images, again.images)


def test_both_are_used_about_equally_and_a_share_of_steps_is_left_alone():
    found = [mixed(Train(epochs=3, mixup=0.4, cutmix=1.0, mix_share=0.5), step) for step in range(400)]
    left_alone = sum(one is None for one in found)
    pasted = sum(bool((one.images == one.images.round()).all()) for one in found if one is not None)
    assert 150 <= left_alone <= 250
    assert 60 <= pasted <= 140


def test_off_is_off():
    assert mixed(Train()) is None
    train = Train(epochs=5, mixup=0.4, unmixed_epochs=2)
    assert [mixed(train, epoch=epoch) is None for epoch in range(5)] == [False] * 3 + [True] * 2
