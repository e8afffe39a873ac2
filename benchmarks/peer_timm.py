"""One fold as timm's train.py and inference.py do it, by timm's own functions; benchmarks.peers calls it.

python -m benchmarks.peer_timm DATA --weights FILE --epochs 6 --output DIR             train, validate, save
python -m benchmarks.peer_timm DATA --weights FILE --epochs 6 --output DIR --predict   predict DATA/validation

Re-created with train.py's defaults but for what is set here: AdamW, cosine after an epoch of warm-up, a
milder crop, channels_last. Every epoch is validated and saved, as there. It imports nothing of the pipeline.
"""

import argparse
import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter, CheckpointSaver, accuracy, random_seed


def main() -> None:
    """Train a fold, or predict its validation images into OUTPUT/probs.csv."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="has train/CLASS/* and validation/CLASS/*")
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", required=True, help="safetensors under timm's names")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--size", type=int, default=160, help="pixels")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--scale", type=float, default=0.35, help="least share of the image that a crop has")
    parser.add_argument("--dtype", default="float32", help="of the autocast")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--predict", action="store_true")
    options = parser.parse_args()
    (predict if options.predict else train)(options)


def train(options: argparse.Namespace) -> None:
    """Do what train.py does: OUTPUT/last.pth.tar holds the last epoch."""
    random_seed(options.seed)
    model = _model(options, pretrained=True)
    training, validation = (_loader(options, model, split) for split in ("train", "validation"))
    loss = LabelSmoothingCrossEntropy(smoothing=0.1)
    optimizer = create_optimizer_v2(model, opt="adamw", lr=options.lr, weight_decay=0.05)
    schedule, _ = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=options.epochs,
        warmup_epochs=1,
        warmup_lr=1e-5,
        step_on_epochs=False,
        updates_per_epoch=len(training),
    )
    options.output.mkdir(parents=True, exist_ok=True)
    saver = CheckpointSaver(
        model,
        optimizer,
        args=options,
        checkpoint_dir=str(options.output),
        recovery_dir=str(options.output),
        max_history=1,
    )
    updates = 0
    for epoch in range(options.epochs):
        model.train()
        for images, targets in training:
            with _autocast(options):
                value = loss(model(images.contiguous(memory_format=torch.channels_last)), targets)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            updates += 1
            schedule.step_update(num_updates=updates)
        right = AverageMeter()
        for logits, targets in _logits(options, model, validation):
            right.update(accuracy(logits, targets)[0].item(), len(targets))
        saver.save_checkpoint(epoch, metric=right.avg)


def predict(options: argparse.Namespace) -> None:
    """Do what inference.py does: the last epoch's probabilities, a line a file."""
    model = _model(options, pretrained=False)
    found = torch.load(options.output / "last.pth.tar", map_location="cpu", weights_only=False)
    model.load_state_dict(found["state_dict"])
    loader = _loader(options, model, "validation")
    parts = [logits.float().softmax(1) for logits, _ in _logits(options, model, loader)]
    names = loader.dataset.filenames(basename=True)
    with (options.output / "probs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", *_classes(options)])
        rows.writerows([name, *probs] for name, probs in zip(names, torch.cat(parts).tolist(), strict=True))


def _model(options: argparse.Namespace, pretrained: bool) -> torch.nn.Module:
    overlay = {"file": options.weights} if pretrained else None
    model = timm.create_model(
        options.model,
        pretrained=pretrained,
        num_classes=len(_classes(options)),
        pretrained_cfg_overlay=overlay,
    )
    return model.to(memory_format=torch.channels_last)


def _loader(options: argparse.Namespace, model: torch.nn.Module, split: str) -> Any:
    config = resolve_data_config({"img_size": options.size, "crop_pct": 1.0}, model=model)
    is_training = split == "train"
    return create_loader(
        create_dataset(
            "",
            root=str(options.data),
            split=split,
            is_training=is_training,
            class_map={name: number for number, name in enumerate(_classes(options))},
        ),
        input_size=config["input_size"],
        batch_size=options.batch,
        is_training=is_training,
        scale=(options.scale, 1.0),
        color_jitter=0.4,
        interpolation="random" if is_training else config["interpolation"],
        mean=config["mean"],
        std=config["std"],
        crop_pct=config["crop_pct"],
        num_workers=os.cpu_count() or 1,
        device=torch.device("cpu"),
    )


@torch.inference_mode()
def _logits(
    options: argparse.Namespace, model: torch.nn.Module, loader: Any
) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    model.eval()
    for images, targets in loader:
        with _autocast(options):
            logits = model(images.contiguous(memory_format=torch.channels_last))
        yield logits, targets


def _autocast(options: argparse.Namespace) -> torch.autocast:
    return torch.autocast("cpu", getattr(torch, options.dtype), enabled=options.dtype != "float32")


def _classes(options: argparse.Namespace) -> list[str]:
    return sorted(path.name for path in (options.data / "train").iterdir())


if __name__ == "__main__":
    main()
