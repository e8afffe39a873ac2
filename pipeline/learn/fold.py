"""One fold's training: the loop, top to bottom. Killed anywhere and run again, it gives the same bits."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pipeline import interrupt, terminal
from pipeline.artifacts import training_log, writer
from pipeline.config import Config, Member, Train, model_title
from pipeline.dataset.cache import Cache
from pipeline.dataset.loader import count_steps, epoch_batches, predict_loader, train_loader
from pipeline.errors import Interrupted, NotFiniteError
from pipeline.learn import checkpoint
from pipeline.learn.backward import Gradients
from pipeline.learn.distillation import SoftTargets, student_loss
from pipeline.learn.ema import build_ema, ema_decay, update_ema
from pipeline.learn.fold_state import needed_bytes, pack_state, restore_state
from pipeline.learn.freezing import set_trained
from pipeline.learn.head import Features, train_head
from pipeline.learn.inference import build_predictor, frame_of, normalisation, predict_probs
from pipeline.learn.losses import Loss, build_loss
from pipeline.learn.mixing import mix
from pipeline.learn.optim import build_optimizer, set_rate
from pipeline.learn.retraining import classifier_start, restart_classifier
from pipeline.learn.run_record import RunRecord, initial_model
from pipeline.learn.runtime import FORMATS, Runtime
from pipeline.learn.schedule import learning_rate, stage_steps
from pipeline.learn.selection import Selection
from pipeline.randomness import key
from pipeline.score.metrics import METRICS, find_metric


@dataclass(frozen=True)
class FoldData:
    """A model's rows, positions in the cache's table; `targets` int [len(table)] are class indices.

    A refit has no `valid_rows`. `features` are the initial model's of the train_rows, where the
    recipe has head_epochs. `soft` is what a teacher says of `train_rows` and, after them, of rows without a
    label.
    """

    cache: Cache
    targets: np.ndarray
    classes: int
    train_rows: np.ndarray
    valid_rows: np.ndarray
    features: Features | None = None
    soft: SoftTargets | None = None

    @property
    def drawn_rows(self) -> np.ndarray:
        """What the epochs go through: the training rows, and those that only a teacher has a target for."""
        return self.train_rows if self.soft is None else self.soft.rows

    @property
    def carried(self) -> np.ndarray:
        """What a batch says of its rows, int [len(table)]: their classes, or their places in `soft`."""
        return self.targets if self.soft is None else self.soft.places(len(self.targets))


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
    config: Config, member: Member, k: int | None, data: FoldData, record: RunRecord, runtime: Runtime,
    folder: Path, identity: str, watch: Watch, deadline: float = float("inf"),
    selection: Selection | None = None,
) -> nn.Module:  # fmt: skip
    """Train a member on the rows outside fold k; return the model to predict with (the EMA if there is one).

    `data` has the rows; k, None where none is held out, is in all draws' keys and the messages.
    Goes on from the newest checkpoint in `folder` of this `identity` (a digest of all that it depends on).
    Raises Interrupted, after a checkpoint, on a signal or at the `deadline` of time.monotonic(), and
    NotFiniteError on a loss that isn't finite.
    """
    train, choice = member.train, runtime.choice
    saved = checkpoint.load(folder, identity)
    model, untrained = _start(member, k, data, record, runtime, resumed=saved is not None)
    mean, std = normalisation(model, runtime.device)
    steps = count_steps(len(data.drawn_rows), train.batch)
    total = steps * train.epochs
    ema = build_ema(model, train, total)
    set_trained(model, train, train.freeze_epochs)  # what is never trained is left out
    optimizer = build_optimizer(model, train)
    scaler = torch.amp.GradScaler(torch.device(runtime.device).type, enabled=choice.dtype == "float16")
    selection = selection or Selection(train, find_metric(config.data.metric))

    log = folder / "log.jsonl"
    sums = {"loss": 0.0, "images": 0, "seconds": 0.0}
    losses: list[float] = []  # of the epochs that are over
    micro, first = train.micro_batch, 0
    if saved is not None:
        first, sums, losses, micro = (saved[name] for name in ("step", "sums", "losses", "micro"))
        restore_state(saved, model, ema, optimizer, scaler, selection)
    else:
        writer.require_space(
            folder, needed_bytes(model, selection.models), f"the checkpoints of {model_title(member, k)}"
        )
        writer.remove(log)
    training_log.append(log, "start", step=first, steps=total, ema=ema is not None, rows=len(data.drawn_rows))

    loader = train_loader(
        data.cache, data.drawn_rows, data.targets, train, k, first, runtime.workers, data.carried
    )
    gradients = Gradients(model, runtime, scaler, micro)
    ticked = saved_at = time.monotonic()
    for step, (pixels, labels) in enumerate(loader, start=first):
        epoch, position = divmod(step, steps)
        if position == 0 or step == first:
            set_trained(model, train, epoch)
            loss_of = _loss(train, data, epoch, runtime.device)
            begun, stage = stage_steps(epoch, steps, train)
            if step == begun > 0:
                restart_classifier(model, ema, optimizer, untrained)
        set_rate(optimizer, lr := learning_rate(step, steps, train, losses))
        images = runtime.inputs(pixels, mean, std)
        targets = labels.to(runtime.device, non_blocking=True)
        mixed = mix(images, targets, train, k, step, epoch)
        seed = key(train.seed, "step", k, step)
        loss = gradients.add(images, targets, mixed, loss_of, seed, partial(_tell_halved, log, step))
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(model.parameters(), train.clip_norm or float("inf"))
        value, norm_value = torch.stack([loss, norm.float()]).tolist()
        # In float16 a gradient may overflow: the scaler passes that step and lowers its scale.
        if not np.isfinite(value) or not (np.isfinite(norm_value) or scaler.is_enabled()):
            rows = epoch_batches(data.drawn_rows, data.targets, train, k, epoch)[position]
            ids = data.cache.table["id"].iloc[rows].tolist()
            training_log.append(log, "not finite", step=step, loss=str(value), norm=str(norm_value), ids=ids)
            raise _not_finite(
                model_title(member, k), train, value, norm_value, f"{step + 1} (epoch {epoch + 1})"
            )
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if ema is not None:
            update_ema(ema, model, ema_decay(step - begun, stage))

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
            if look:
                selection.see(ema or model, epoch, look["valid_score"])
            losses.append(sums["loss"] / sums["images"])
            sums = {"loss": 0.0, "images": 0, "seconds": 0.0}
            if selection.is_over(epoch):
                break
        ticked = time.monotonic()
        stop = interrupt.requested() is not None or ticked > deadline
        if step + 1 < total and (stop or ticked - saved_at > 60 * train.checkpoint_minutes):
            tensors, numbers = pack_state(model, ema, optimizer, scaler, selection)
            numbers |= {"sums": sums, "losses": losses, "micro": gradients.micro}
            checkpoint.save(folder, step + 1, identity, tensors, numbers)
            saved_at = ticked = time.monotonic()
            if stop:
                why = "max_minutes passed" if ticked > deadline else "asked to stop"
                raise Interrupted(
                    f"{model_title(member, k)}: {why}; saved after step {step + 1} of {total}: run it again.",
                    interrupt.requested() or 15,
                )
    training_log.append(log, "end", step=step + 1, selected_epoch=selection.epoch + 1 or epoch + 1)
    return selection.finish(ema or model).eval()


def _start(
    member: Member, k: int | None, data: FoldData, record: RunRecord, runtime: Runtime, resumed: bool
) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """Return the model that training begins with, and its classifier as nothing has trained it yet.

    One that is resumed is to be given the weights of a checkpoint.
    """
    model = initial_model(member, record.source, data.classes).to(runtime.device)
    model = model.to(memory_format=FORMATS[runtime.choice.memory_format])
    untrained = classifier_start(model)
    if data.features is not None and not resumed:
        train_head(model, data.features, data.targets[data.train_rows], data.classes, member.train, k)
    return model, untrained


def _loss(train: Train, data: FoldData, epoch: int, device: str) -> Loss:
    """Make an epoch's loss of logits and of what a batch carries: classes, or a taught row's place."""
    counts = np.bincount(data.targets[data.train_rows], minlength=data.classes)
    own = build_loss(train, counts, epoch / train.epochs, device)
    if data.soft is None:
        return own
    return student_loss(own, data.soft, data.targets[data.soft.rows], counts, train, epoch, device)


def _not_finite(name: str, train: Train, loss: float, norm: float, where: str) -> NotFiniteError:
    return NotFiniteError(
        f"{name}: the loss is {loss}, its gradient's norm {norm}, at step {where}. A lower train.lr (now "
        f"{train.lr}), more train.warmup_epochs or train.dtype=float32 help."
    )


def _tell_halved(log: Path, step: int, micro: int) -> None:
    training_log.append(log, "out of memory", step=step, micro_batch=micro)
    terminal.warn(f"out of memory: from step {step + 1} on {micro} images at once (train.micro_batch)")


def _look(
    model: nn.Module, config: Config, member: Member, data: FoldData, runtime: Runtime, epoch: int
) -> dict[str, float]:
    """Score the validation rows with plain inference: for the curves, and where they choose the epoch."""
    every = 1 if member.train.select != "last" else member.train.validate_epochs
    if not len(data.valid_rows):
        return {}
    last = epoch + 1 == member.train.epochs
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
