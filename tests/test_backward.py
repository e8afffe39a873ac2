"""A step's gradients in pieces: those of the whole batch, also after running out of memory."""

import pytest
import torch
from torch import nn

from pipeline.learn.backward import Gradients
from pipeline.learn.mixing import Mixed
from pipeline.learn.runtime import Choice, Runtime

RUNTIME = Runtime("cpu", 0, Choice(1, "float32", "float32", "contiguous"))
IMAGES = torch.randn(11, 3, 8, 8, generator=torch.Generator().manual_seed(0))
TARGETS = torch.arange(11) % 3


class Model(nn.Module):
    """Dropout and a BatchNorm; runs out of memory over `most` images, after its BatchNorm has seen them."""

    def __init__(self, norm: bool, most: int = 99):
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.BatchNorm2d(3) if norm else nn.Identity()
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5 if norm else 0.0), nn.Linear(192, 3))
        self.most = most
        self.seen: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        normed = self.norm(images)
        self.seen.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("no memory left")
        return self.head(normed)


def rows_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(logits, targets, reduction="none")


def gradients(model: Model, micro: int, mixed: Mixed | None = None, told: list[int] | None = None):
    made = Gradients(model, RUNTIME, torch.amp.GradScaler("cpu", enabled=False), micro)
    loss = made.add(IMAGES, TARGETS, mixed, rows_loss, 7, (told if told is not None else []).append)
    return float(loss), [p.grad for p in model.parameters()], made


@pytest.mark.parametrize("micro", [1, 2, 3, 5, 11, 40])
def test_pieces_add_up_to_the_whole(micro):
    others = TARGETS.roll(1)
    mixed = Mixed(IMAGES, others, torch.linspace(0.1, 0.9, 11))
    for mixing in (None, mixed):
        whole, pieces = (gradients(Model(norm=False), size, mixing) for size in (0, micro))
        assert pieces[0] == pytest.approx(whole[0], rel=1e-5)
        for one, other in zip(whole[1], pieces[1], strict=True):
            assert torch.allclose(one, other, atol=1e-6)
    model = Model(norm=False)
    gradients(model, micro)
    assert max(model.seen) <= micro
    assert max(model.seen) - min(model.seen) <= 1


def test_mixed_rows_count_with_their_shares():
    share = torch.linspace(0.1, 0.9, 11)
    others, model = TARGETS.roll(1), Model(norm=False)
    loss, found, _ = gradients(model, 0, Mixed(IMAGES, others, share))
    logits = model(IMAGES)
    soft = share[:, None] * torch.eye(3)[TARGETS] + (1 - share)[:, None] * torch.eye(3)[others]
    golden = nn.functional.cross_entropy(logits, soft)
    assert loss == pytest.approx(golden.item(), rel=1e-5)
    for one, other in zip(found, torch.autograd.grad(golden, list(model.parameters())), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_out_of_memory_halves_until_it_fits_and_ends_as_if_it_had_begun_so():
    told: list[int] = []
    small = Model(norm=True, most=3)
    loss, found, made = gradients(small, 0, told=told)
    assert told == [6, 3]
    assert made.micro == 3
    golden_model = Model(norm=True)
    golden_loss, golden, _ = gradients(golden_model, 3)
    assert loss == golden_loss
    assert all(map(torch.equal, found, golden))
    assert all(map(torch.equal, small.state_dict().values(), golden_model.state_dict().values()))


def test_one_image_that_does_not_fit_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        gradients(Model(norm=True, most=0), 0)
