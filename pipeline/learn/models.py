"""Models: any timm architecture with its initial weights, a fresh classifier, and its own normalisation."""

from collections.abc import Mapping
from typing import Any

import timm
import timm.data
import torch
from torch import nn

from pipeline.errors import DataError, UsageError
from pipeline.learn import weights
from pipeline.learn.cosine import with_cosine_classifier
from pipeline.learn.weights import Source


def build_model(
    model_name: str,
    classes: int,
    source: Source,
    *,
    seed_key: int,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    size: int = 0,
    cosine_scale: float = 0.0,
) -> nn.Module:
    """Make a model on the CPU whose bits depend on the arguments alone; the classifier is always fresh.

    `size` is the side in pixels of the images it will see: models whose weights depend on it (ViT, Swin …)
    are made for it; 0 leaves timm's. With a `cosine_scale` the classifier gives that times cosines. Every
    tensor of a file must find its place and the other way round. Raises UsageError for an unknown model, a
    size that it can't take or a stochastic depth that it doesn't have, DataError for weights that don't fit.
    """
    weights.check_model(model_name)
    arguments: dict[str, Any] = {"drop_rate": drop_rate, **_size_argument(model_name, size)}
    if drop_path_rate:
        arguments["drop_path_rate"] = _known_drop_path(model_name, drop_path_rate)
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would reseed the GPUs' generators as well.
        torch.default_generator.manual_seed(seed_key)
        if source.kind == "random":
            model: Any = timm.create_model(model_name, num_classes=classes, **arguments)
        else:
            model = _loaded(model_name, source, arguments)
            torch.default_generator.manual_seed(seed_key)
            model.reset_classifier(classes)
        if cosine_scale:
            with_cosine_classifier(model, classes, cosine_scale)
    if size:
        check_size(model, model_name, size)
    return model


def data_config(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std, of the RGB values in [0, 1], that the model's weights were trained with.

    They are the checkpoint's own: EfficientNet tf_* has .5, most others have ImageNet's.
    """
    config = timm.data.resolve_data_config({}, model=model)
    return tuple(config["mean"]), tuple(config["std"])


def _loaded(model_name: str, source: Source, arguments: Mapping[str, Any]) -> nn.Module:
    """Return the model with the file's tensors and the file's own classifier, loaded by timm, strictly."""
    state = weights.state_dict(source)
    found = timm.get_pretrained_cfg(model_name)
    cfg = found.to_dict() if found is not None else {}
    classes = _file_classes(state, cfg)
    overlay = {"state_dict": state, "custom_load": False, "num_classes": classes}
    try:
        model: Any = timm.create_model(
            model_name, pretrained=True, num_classes=classes, pretrained_cfg_overlay=overlay, **arguments
        )
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{source.name} doesn't fit {model_name}: {reason[:300]}") from error
    model.pretrained_cfg = model.default_cfg = cfg  # without the state dict, which would stay in memory
    return model


def _file_classes(state: Mapping[str, torch.Tensor], cfg: Mapping[str, Any]) -> int:
    names = cfg.get("classifier") or ()
    first = names if isinstance(names, str) else next(iter(names), "")
    weight = state.get(f"{first}.weight")
    return 0 if weight is None else weight.shape[0] - (cfg.get("label_offset") or 0)


def _size_argument(model_name: str, size: int) -> dict[str, int]:
    cfg = timm.get_pretrained_cfg(model_name)
    return {"img_size": size} if size and cfg is not None and cfg.fixed_input_size else {}


def _known_drop_path(model_name: str, rate: float) -> float:
    try:
        with torch.device("meta"):
            timm.create_model(model_name, drop_path_rate=rate)
    except TypeError as error:
        raise UsageError(f"{model_name} has no stochastic depth: leave out train.drop_path.") from error
    return rate


def check_size(model: nn.Module, model_name: str, size: int) -> None:
    """Raise UsageError where the model, on the CPU, can't take images of `size` pixels a side."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError, ZeroDivisionError) as error:
        raise UsageError(f"{model_name} can't take images of {size} px: {error}") from error
    model.train(was_training)
