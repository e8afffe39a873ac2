"""One fold's training: the loop, top to bottom. Killed anywhere and run again, it gives the same bits."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline import interrupt
from pipeline.artifacts import training_log, writer
from pipeline.config import Config, Member
from pipeline.dataset.cache import Cache
from pipeline.dataset.loader import count_steps, epoch_batches, predict_loader, train_loader
from pipeline.errors import Interrupted, ResourceError
from pipeline.learn import checkpoint
from pipeline.learn.inference import build_predictor, frame_of, normalisation, predict_probs
from pipeline.learn.losses import build_loss
from pipeline.learn.optim import build_ema, build_optimizer, ema_decay, learning_rate, update_ema
from pipeline.learn.run_record import RunRecord, initial_model
from pipeline.learn.runtime import FORMATS, Runtime
from pipeline.randomness import key
from pipeline.score.metrics import METRICS, find_metric


@dataclass(frozen=True)
class FoldData:
    """A fold's rows: positions in the cache's table; `targets` int [len(table)] are class indices."""

    cache: Cache
    targets: np.ndarray
    classes: int
    train_rows: np.ndarray
    valid_rows: np.ndarray


@dataclass(frozen=True)
class Step:
    """Where training is, for whoever shows it: counted from 1, speed in images a second."""

    epoch: int
    step_in_epoch: int
    steps_in_epoch: int
    images_per_second: float
    loss: float


Watch = Callable[[Step], None]


def train_fold(  # noqa: PLR0915
    config: Config, member: Member, k: int, data: FoldData, record: RunRecord, runtime: Runtime, folder: Path,
    identity: str, watch: Watch, deadline: float = float("inf"),
) -> nn.Module:  # fmt: skip
    """Train a member on the rows outside fold k; return the model to predict with (the EMA if there is one).

    Goes on from the newest checkpoint in `folder` of this `identity` (a digest of all that it depends on).
    Raises Interrupted, after a checkpoint, on a signal or at the `deadline` of time.monotonic(), and
    ResourceError on a loss that isn't finite.
    """
    train, choice = member.train, runtime.choice
    model = initial_model(member, record.source, data.classes).to(runtime.device)
    model = model.to(memory_format=FORMATS[choice.memory_format])
    mean, std = normalisation(model, runtime.device)
    steps = count_steps(len(data.train_rows), train.batch)
    total = steps * train.epochs
    ema = build_ema(model, train, total)
    optimizer = build_optimizer(model, train)
    loss_of = build_loss(train)
    scaler = torch.amp.GradScaler(torch.device(runtime.device).type, enabled=choice.dtype == "float16")

    log = folder / "log.jsonl"
    sums = {"loss": 0.0, "images": 0, "seconds": 0.0}
    saved = checkpoint.load(folder, identity)
    first = 0
    if saved is not None:
        first, sums = saved["step"], saved["sums"]
        _restore(saved, model, ema, optimizer, scaler)
    else:
        writer.require_space(folder, _needed_bytes(model), f"the checkpoints of {member.name} fold {k}")
        writer.remove(log)
    training_log.append(log, "start", step=first, steps=total, ema=ema is not None, rows=len(data.train_rows))

    loader = train_loader(data.cache, data.train_rows, data.targets, train, k, first, runtime.workers)
    ticked = saved_at = time.monotonic()
    model.train()
    for step, (pixels, targets) in enumerate(loader, start=first):
        epoch, position = divmod(step, steps)
        torch.manual_seed(key(train.seed, "step", k, step))
        lr = learning_rate(step, steps, train)
        for group in optimizer.param_groups:
            group["lr"] = lr
        images = runtime.inputs(pixels, mean, std)
        with runtime.autocast(choice.dtype):
            loss = loss_of(model(images), targets.to(runtime.device, non_blocking=True))
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(model.parameters(), train.clip_norm or float("inf"))
        value, norm_value = torch.stack([loss.detach().float(), norm.float()]).tolist()
        # In float16 a gradient may overflow: the scaler passes that step and lowers its scale.
        if not np.isfinite(value) or not (np.isfinite(norm_value) or scaler.is_enabled()):
            rows = epoch_batches(data.train_rows, train.batch, train.seed, k, epoch)[position]
            ids = data.cache.table["id"].iloc[rows].tolist()
            training_log.append(log, "not finite", step=step, loss=str(value), norm=str(norm_value), ids=ids)
            raise ResourceError(
                f"{member.name} fold {k}: the loss is {value}, its gradient's norm {norm_value}, at step "
                f"{step + 1} (epoch {epoch + 1}). A lower train.lr (now {train.lr}), more "
                "train.warmup_epochs or train.dtype=float32 help."
            )
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if ema is not None:
            update_ema(ema, model, ema_decay(step, total))

        now = time.monotonic()
        sums["loss"] += value * len(targets)
        sums["images"] += len(targets)
        sums["seconds"] += now - ticked
        speed = sums["images"] / sums["seconds"]
        watch(Step(epoch + 1, position + 1, steps, speed, sums["loss"] / sums["images"]))
        if position + 1 == steps:
            look = _look(ema or model, config, member, data, runtime, epoch)
            training_log.append(
                log,
                "epoch",
                epoch=epoch + 1,
                epochs=train.epochs,
                lr=lr,
                loss=sums["loss"] / sums["images"],
                images=sums["images"],
                seconds=round(sums["seconds"], 2),
                images_per_second=round(speed, 1),
                **look,
            )
            sums = {"loss": 0.0, "images": 0, "seconds": 0.0}
            model.train()
        ticked = time.monotonic()
        stop = interrupt.requested() is not None or ticked > deadline
        if step + 1 < total and (stop or ticked - saved_at > 60 * train.checkpoint_minutes):
            tensors, numbers = _state(model, ema, optimizer, scaler)
            checkpoint.save(folder, step + 1, identity, tensors, {**numbers, "sums": sums})
            saved_at = ticked = time.monotonic()
            if stop:
                why = "max_minutes passed" if ticked > deadline else "asked to stop"
                raise Interrupted(
                    f"{member.name} fold {k}: {why}; saved after step {step + 1} of {total}: run it again.",
                    interrupt.requested() or 15,
                )
    training_log.append(log, "end", step=total)
    return (ema or model).eval()


def _look(
    model: nn.Module, config: Config, member: Member, data: FoldData, runtime: Runtime, epoch: int
) -> dict[str, float]:
    """Score the validation rows with plain inference, for the curves only: nothing is chosen by it."""
    every, last = member.train.validate_epochs, epoch + 1 == member.train.epochs
    if not (last or (every and (epoch + 1) % every == 0)):
        return {}
    frame = frame_of(member.train)
    loader = predict_loader(data.cache, data.valid_rows, [frame], config.predict.batch, 0, runtime.device)
    predictor = build_predictor(model, member.train, runtime)
    probs = predict_probs([predictor], loader, [frame], ["identity"])[0, 0]
    targets = data.targets[data.valid_rows]
    return {
        "valid_log_loss": round(METRICS["log-loss"].of_probs(targets, probs), 5),
        "valid_score": round(find_metric(config.data.metric).of_probs(targets, probs), 5),
    }


def _state(
    model: nn.Module, ema: nn.Module | None, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if ema is not None:
        tensors |= {f"ema.{name}": value for name, value in ema.state_dict().items()}
    for i, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": value for name, value in values.items()}
    return tensors, {"scaler": scaler.state_dict()}


def _restore(
    saved: dict[str, Any],
    model: nn.Module,
    ema: nn.Module | None,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> None:
    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {n.removeprefix(prefix): v for n, v in saved["tensors"].items() if n.startswith(prefix)}

    model.load_state_dict(part("model."))
    if ema is not None:
        ema.load_state_dict(part("ema."))
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for name, value in part("optimizer.").items():
        i, field = name.split(".")
        parameter = parameters[int(i)]
        # In the parameter's own memory format: the fused optimizer walks all of them in one order.
        like = value.to(parameter.device) if field == "step" else parameter
        optimizer.state[parameter][field] = torch.empty_like(like).copy_(value)
    if saved["scaler"]:
        scaler.load_state_dict(saved["scaler"])


def _needed_bytes(model: nn.Module) -> int:
    """Return what a fold needs on the disk: two generations and the one being written, then the model."""
    size = sum(value.nbytes for value in model.state_dict().values())
    return size * (3 * len(("model", "ema", "exp_avg", "exp_avg_sq")) + 1)
