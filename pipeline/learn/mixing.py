"""MixUp and CutMix: images of a batch made of two, with the share that the first one's class gets."""

from typing import NamedTuple

import numpy as np
import torch

from pipeline.config import Train
from pipeline.randomness import generator


class Mixed(NamedTuple):
    """Images [B, 3, H, W]; a row's loss is share · loss(its target) + (1 − share) · loss(its other)."""

    images: torch.Tensor
    others: torch.Tensor
    share: torch.Tensor


def mix(
    images: torch.Tensor, targets: torch.Tensor, train: Train, fold: int | None, step: int, epoch: int
) -> Mixed | None:
    """Mix a batch on its device, images float [B, 3, H, W] in place; None where the recipe leaves it alone.

    One draw a batch, decided by fold and step: which of the two (evenly, where both are on), the partners, a
    share from Beta(alpha, alpha), for CutMix of the area that stays (Zhang et al. 2018, arXiv:1710.09412; Yun
    et al. 2019, arXiv:1905.04899). Nothing is mixed in the last train.unmixed_epochs.
    """
    kinds = [(alpha, apply) for alpha, apply in ((train.mixup, _mixup), (train.cutmix, _cutmix)) if alpha]
    if not kinds or epoch >= train.epochs - train.unmixed_epochs:
        return None
    draw = generator(train.seed, "mix", fold, step)
    if draw.random() >= train.mix_share:
        return None
    alpha, apply = kinds[draw.integers(len(kinds))]
    partner = torch.from_numpy(draw.permutation(len(images))).to(images.device)
    share = apply(images, images[partner], float(draw.beta(alpha, alpha)), draw)
    return Mixed(images, targets[partner], torch.full((len(images),), share, device=images.device))


def _mixup(images: torch.Tensor, partners: torch.Tensor, share: float, draw: np.random.Generator) -> float:
    images.mul_(share).add_(partners, alpha=1 - share)
    return share


def _cutmix(images: torch.Tensor, partners: torch.Tensor, share: float, draw: np.random.Generator) -> float:
    """Paste a rectangle of the image's aspect, its centre anywhere; what the border cuts off stays."""
    height, width = images.shape[2:]
    half_height, half_width = (round(side * (1 - share) ** 0.5 / 2) for side in (height, width))
    y, x = int(draw.integers(height)), int(draw.integers(width))
    top, bottom = max(0, y - half_height), min(height, y + half_height)
    left, right = max(0, x - half_width), min(width, x + half_width)
    images[:, :, top:bottom, left:right] = partners[:, :, top:bottom, left:right]
    return 1.0 - (bottom - top) * (right - left) / (height * width)
