"""A classifier of cosines, which LDAM's margins are measured in; put where a timm model has its own."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pipeline.errors import UsageError

SHORTEST = 1e-6  # features shorter than this aren't stretched to length 1: no bound would hold their gradient


class CosineClassifier(nn.Module):
    """Logits scale · cos(features, class): both have length 1 (Cao et al. 2019, arXiv:1906.07413)."""

    def __init__(self, features: int, classes: int, scale: float):
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(classes, features))
        nn.init.normal_(self.weight, std=features**-0.5)  # any direction, a length of about 1

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features float [B, F], or [B, F, 1, 1], to logits float32 [B, C] within ±scale, under autocast too.

        bfloat16 knows cosines to 1/256 only, which the scale would make steps of an eighth.
        """
        with torch.autocast(features.device.type, enabled=False):
            directions = functional.normalize(features.flatten(1).float(), dim=1, eps=SHORTEST)
            classes = functional.normalize(self.weight.float(), dim=1, eps=SHORTEST)
            return self.scale * functional.linear(directions, classes)

    def extra_repr(self) -> str:
        """Show the sizes where the model is printed."""
        return f"features={self.weight.shape[1]}, classes={self.weight.shape[0]}, scale={self.scale:g}"


def with_cosine_classifier(model: nn.Module, classes: int, scale: float) -> nn.Module:
    """Give a timm model classifiers of cosines, in place, and return it; distilled ones have two.

    The new weights come from torch's default generator. `model.get_classifier()` returns the new layers, or
    what holds them. Raises UsageError where one is neither a Linear layer nor a 1 × 1 convolution.
    """
    for path in _classifier_paths(model):
        old = model.get_submodule(path)
        features = _features(old)
        if not features:
            raise UsageError(
                f"{type(model).__name__}'s classifier {path} is a {type(old).__name__}, which can't be one "
                "of cosines: choose another model, or another train.loss than ldam."
            )
        model.set_submodule(path, CosineClassifier(features, classes, scale))
    return model


def _classifier_paths(model: Any) -> tuple[str, ...]:
    """Return where the classifiers are, as "fc", "classifier", "head.fc": timm says so."""
    names = model.pretrained_cfg.get("classifier")
    if not names:
        raise UsageError(f"timm doesn't say where {type(model).__name__} has its classifier: leave out ldam.")
    return (names,) if isinstance(names, str) else tuple(names)


def _features(classifier: nn.Module) -> int:
    """Return how many features a classifier takes; 0 for one that isn't linear in them."""
    if isinstance(classifier, nn.Linear):
        return classifier.in_features
    if isinstance(classifier, nn.Conv2d) and classifier.kernel_size == (1, 1) and classifier.groups == 1:
        return classifier.in_channels
    return 0
