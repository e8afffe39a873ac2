"""Prediction: images read once for all models, each in its own size, every view of them kept apart."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import safetensors.torch
import torch
from torch import nn
from torch.utils.data import DataLoader

from pipeline.config import Train, predict_side
from pipeline.dataset.loader import Frame
from pipeline.learn.models import data_config
from pipeline.learn.runtime import FORMATS, Runtime, set_threads
from pipeline.learn.tta import VIEWS

Report = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class Predictor:
    """A model ready to predict: in evaluation mode on its device, with its normalisation and its frame."""

    model: nn.Module
    mean: torch.Tensor
    std: torch.Tensor
    frame: Frame
    runtime: Runtime


def build_predictor(model: nn.Module, train: Train, runtime: Runtime) -> Predictor:
    """Prepare a model for prediction with the side and crop of its recipe."""
    moved = model.to(runtime.device).to(memory_format=FORMATS[runtime.choice.memory_format]).eval()
    mean, std = normalisation(model, runtime.device)
    return Predictor(moved, mean, std, frame_of(train), runtime)


def frame_of(train: Train) -> Frame:
    """Return the side and crop fraction that a recipe predicts with."""
    return (predict_side(train), train.test_crop)


def normalisation(model: nn.Module, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the model's own mean and std as [3, 1, 1] tensors in units of pixel values (0–255)."""
    mean, std = data_config(model)
    return tuple(255 * torch.tensor(values, device=device)[:, None, None] for values in (mean, std))  # type: ignore[return-value]


def load_weights(model: nn.Module, data: bytes) -> None:
    """Fill a model with the tensors of a .safetensors file, strictly."""
    model.load_state_dict(safetensors.torch.load(data), strict=True)


@torch.inference_mode()
def predict_probs(
    predictors: Sequence[Predictor],
    loader: DataLoader,
    frames: Sequence[Frame],
    views: Sequence[str],
    report: Report | None = None,
    seconds: np.ndarray | None = None,
) -> np.ndarray:
    """Return probabilities float32 [models, views, n, C] of the loader's n images.

    The time that each forward pass takes is added to `seconds` float64 [models, views], where it is given.

    The loader gives a tuple of uint8 [B, side, side, 3], one for each of `frames`; a predictor takes its own.
    The identity view is what plain inference gives, bit for bit.
    """
    parts: list[list[list[np.ndarray]]] = [[[] for _ in views] for _ in predictors]
    done, total = 0, len(loader.dataset)  # type: ignore[arg-type]
    for batch in loader:
        for m, predictor in enumerate(predictors):
            set_threads(predictor.runtime.choice)
            pixels = batch[frames.index(predictor.frame)]
            images = predictor.runtime.inputs(pixels, predictor.mean, predictor.std)
            for v, view in enumerate(views):
                started = time.perf_counter()
                with predictor.runtime.autocast(predictor.runtime.choice.inference_dtype):
                    logits = predictor.model(VIEWS[view](images))
                parts[m][v].append(logits.float().softmax(dim=1).cpu().numpy())
                if seconds is not None:
                    seconds[m, v] += time.perf_counter() - started
        done += len(batch[0])
        if report is not None:
            report(done, total)
    return np.stack([np.stack([np.concatenate(view) for view in model]) for model in parts])
