"""What all folds of a run share: config.toml and environment.json, written before the first step."""

import dataclasses
import json
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline import terminal
from pipeline.artifacts import lock, manifest, writer
from pipeline.config import Config, Member, final_side, predict_side, teachers, title
from pipeline.config_text import to_toml
from pipeline.errors import DataError
from pipeline.learn import weights
from pipeline.learn.models import build_model, check_size
from pipeline.learn.optim import build_optimizer
from pipeline.learn.runtime import Choice, find_device
from pipeline.learn.timing import choose
from pipeline.randomness import key


@dataclass(frozen=True)
class RunRecord:
    """The initial weights and the choices that change bits, the same for all folds, machines and resumes."""

    source: weights.Source
    choice: Choice


def open_run(config: Config, member: Member, folder: Path, classes: int) -> RunRecord:
    """Read what the run decided, or decide it now: weights resolved and dtype and format timed once a run.

    Raises LockedError when another process is deciding, DataError when the weights aren't those of the run.
    """
    recorded = _read(folder / "environment.json")
    if recorded is None:
        with lock.hold(folder / "environment.lock", f"the start of {folder.name}"):
            recorded = _read(folder / "environment.json") or _decide(config, member, folder, classes)
    found, choice = recorded
    source = weights.resolve(found["kind"] if found["kind"] != "file" else member.weights, member.model)
    if source.sha256 != found["sha256"]:
        raise DataError(
            f"{folder.name} began with {found['name']} (sha256 {found['sha256'][:12]}), now it is "
            f"{source.name} ({source.sha256[:12]}): remove {folder} to begin anew."
        )
    return RunRecord(source, choice)


def recorded_choice(folder: Path) -> Choice:
    """Return what the run decided when it began; raises DataError where its environment.json is missing."""
    recorded = _read(folder / "environment.json")
    if recorded is None:
        raise DataError(
            f"{folder / 'environment.json'} is missing: remove {folder} and train that member again."
        )
    return recorded[1]


def weights_name(folder: Path) -> str:
    """Return what the run's initial weights are called."""
    recorded = _read(folder / "environment.json")
    return recorded[0]["name"] if recorded else "unknown"


def initial_model(member: Member, source: weights.Source, classes: int) -> torch.nn.Module:
    """Build the model that every fold of the run starts from, bit for bit."""
    train = member.train
    return build_model(
        member.model,
        classes,
        source,
        seed_key=key(train.seed, "weights"),
        drop_rate=train.dropout,
        drop_path_rate=train.drop_path,
        size=final_side(train),
        cosine_scale=train.ldam_scale if train.loss == "ldam" else 0.0,
    )


def empty_model(member: Member, classes: int) -> torch.nn.Module:
    """Build the member's architecture for weights that are loaded next."""
    return initial_model(member, weights.RANDOM, classes)


def _read(path: Path) -> tuple[dict[str, str], Choice] | None:
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_bytes())
        return content["weights"], Choice(**content["choice"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} can't be read ({error}): remove {path.parent} to begin that run anew."
        ) from error


def _decide(config: Config, member: Member, folder: Path, classes: int) -> tuple[dict[str, str], Choice]:
    source = weights.resolve(member.weights, member.model)
    if source.kind == "random":
        terminal.warn(
            f"{member.name}: {member.model} starts from RANDOM weights; it needs far more data and epochs."
        )
    model = initial_model(member, source, classes)
    for side in {*member.train.sizes, predict_side(member.train)}:
        check_size(model, member.model, side)  # now, not after hours of training
    build_optimizer(model, member.train)
    choice, speeds = choose(model, member.train, classes)
    found = {name: str(getattr(source, name)) for name in ("kind", "name", "sha256", "licence")}
    device = find_device(member.train.device)
    content = {
        "weights": found,
        "choice": dataclasses.asdict(choice),
        "batch": member.train.batch,
        "images_per_second": speeds,
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "libraries": {name: manifest.version_of(name) for name in manifest.LIBRARIES},
    }
    once = dataclasses.replace(member, train=dataclasses.replace(member.train, seeds=1, refit=False))
    alone = dataclasses.replace(config, members=(once, *teachers(member)))
    writer.publish_bytes(folder / "config.toml", to_toml(alone).encode())
    writer.publish_bytes(folder / "environment.json", json.dumps(content, indent=1).encode())
    chosen = f"{choice.dtype}, {choice.memory_format}; predicting in {choice.inference_dtype}"
    terminal.stage("train", f"{title(member)}: {source.name}; {device}, {choice.threads} threads, {chosen}")
    return found, choice
