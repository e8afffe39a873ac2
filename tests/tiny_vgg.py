"""A VGG of a few thousand weights: timm has tiny models of its other families only."""

from typing import Any

from timm.models import register_model
from timm.models.vgg import VGG
from torch import nn

NAME = "tiny_vgg"


@register_model
def tiny_vgg(
    pretrained: bool = False, num_classes: int = 1000, drop_rate: float = 0.0, **_: Any
) -> nn.Module:
    """Build VGG's layers, with BatchNorm, from 4 to 16 channels wide."""
    layers = [4, "M", 8, "M", 8, "M", 16, "M", 16, "M"]
    model: Any = VGG(layers, num_classes, norm_layer=nn.BatchNorm2d, mlp_ratio=1 / 128, drop_rate=drop_rate)
    model.pretrained_cfg = model.default_cfg = {
        "architecture": NAME, "classifier": "head.fc", "first_conv": "features.0", "num_classes": 1000,
        "input_size": (3, 224, 224), "pool_size": (7, 7), "interpolation": "bilinear", "crop_pct": 0.875,
        "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225),
    }  # fmt: skip
    return model
