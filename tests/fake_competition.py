"""A small competition as the stages would leave it, written with the real writers, for the report's tests."""

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from pipeline import prepare
from pipeline.artifacts import manifest, paths, predictions, writer
from pipeline.config import Config, resolve
from pipeline.randomness import generator

DIGEST = "0123456789abcdef"
SENTENCE = "macro-F1 0.8123 cross-fitted (95 % interval 0.7800–0.8400, 60 images in 58 groups). T, weights."


def configure(folder: Path, members: int = 2) -> Config:
    """Return a configuration whose folders are all in `folder`."""
    names = ("lite0", "resnet50", *(f"extra{i}" for i in range(members)))
    return resolve(
        {
            "data": {"name": "moths", "metric": "macro-f1", "unreadable": "skip"},
            "cache": {"workers": 1},
            "folds": {"count": 2},
            "paths": {name: str(folder / name) for name in ("data", "runs", "folds", "submissions")},
            "members": [{"name": name, "model": name} for name in names[:members]],
        },
        {},
        "test",
    )


def write_prepared(config: Config, classes: list[str], rows: int = 60, side: int = 24) -> pd.DataFrame:
    """Draw images (one torn, two of the same bytes), let `prepare` read them, write the folds' record.

    Returns the usable rows of the audit table.
    """
    ids = [f"img{i:03d}.png" for i in range(rows)]
    files = [_png(i, side) for i in range(rows)]
    files[1], files[2] = files[0], files[2][:100]
    target = _long_tail(len(classes), rows)
    root = paths.data_root(config)
    writer.publish_folder(root / "images", zip(ids, files, strict=True))
    table = pd.DataFrame({"id": ids, "label": np.array(classes, dtype=object)[target]})
    writer.publish_bytes(root / "train.csv", table.to_csv(index=False).encode())
    prepare.run(config, argparse.Namespace(verify=False))
    record = {
        "count": 2, "seed": 0, "rows": rows - 1, "groups": rows - 2, "digest": DIGEST,
        "duplicates": {"exact": 1, "near": 0},
        "conflicts": [[["img000.png", classes[0]], ["img001.png", classes[-1]]]],
    }  # fmt: skip
    write_json(paths.folds_record(config), record)
    images = pd.read_parquet(paths.cache(config) / "images.parquet")
    return images[images["problem"] == ""].reset_index(drop=True)


def write_runs(config: Config, epochs: int = 3) -> None:
    """Write logs and metrics of every member's folds."""
    for i, member in enumerate(config.members):
        for k in range(config.folds.count):
            folder = paths.fold(paths.run(config, member, DIGEST), k)
            events = [{"event": "start"}, *_epochs(epochs, i, k), {"event": "end"}]
            log = "".join(json.dumps(event) + "\n" for event in events)
            writer.publish_bytes(folder / "log.jsonl", log.encode())
            source = "random" if member.name == "resnet50" else "package"
            write_json(folder / "metrics.json", _metrics(member.name, k, source, 0.7 - 0.1 * i + 0.01 * k))


def write_ensemble(config: Config, train: pd.DataFrame, **changes: Any) -> None:
    """Write the ensemble's predictions, weights and scores; `changes` go into scores.json."""
    folder, n = paths.ensemble(config), len(train)
    classes = manifest.facts(paths.cache_manifest(config))["classes"]
    draw = generator(0, "fake predictions")
    logits = draw.normal(size=(n, len(classes))) + 2.0 * np.eye(len(classes))[train["target"]]
    probs = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    order = draw.permutation(n)  # rows in another order than the table's: they are joined by id
    save_oof(folder / "oof.npz", train["id"].to_numpy(str)[order], classes, probs[order])
    names = [member.name for member in config.members]
    weights = {name: {"weight": 1 / len(names), "temperature": 1.1} for name in names}
    write_json(
        folder / "weights.json", {"members": weights, "pool": "log", "temperature": 0.9, "rule": "argmax"}
    )
    scores = {
        "metric": "macro-f1", "cross_fitted": 0.8123, "in_sample": 0.82, "optimism": 0.0077,
        "interval": [0.78, 0.84], "n": n, "groups": n - 2, "classes_without_support": 0, "sentence": SENTENCE,
        "members": {name: {"oof": 0.7, "weight": 1 / len(names)} for name in names}, "rule": "argmax",
        "all_metrics": {"accuracy": 0.83}, "true_score": 0.8011, "submission": "",
    }  # fmt: skip
    write_json(folder / "scores.json", scores | changes)


def save_oof(path: Path, ids: np.ndarray, classes: list[str], probs: np.ndarray) -> None:
    """Write an ensemble's oof.npz with the predictions of its rule."""
    fold = np.arange(len(ids)) % 2
    found = predictions.Predictions(
        ids, np.array(classes), np.array(["cross-fitted"]), probs[None], fold, DIGEST
    )
    predictions.save(path, found, predictions=probs.argmax(1))


def write_json(path: Path, value: Any) -> None:
    """Publish a JSON file."""
    writer.publish_bytes(path, json.dumps(value).encode())


def _long_tail(classes: int, rows: int) -> np.ndarray:
    """Return int [rows]: each class has about five sixths of the images of the one before."""
    share = np.cumsum(0.83 ** np.arange(classes))
    target = np.searchsorted(share / share[-1], np.linspace(0, 1, rows + 1)[1:])
    target[-classes:] = np.arange(classes)
    return target


def _png(i: int, side: int) -> bytes:
    rows, columns = np.mgrid[:side, :side] / side
    waves = [np.sin(6.3 * (rows * (i % 5) + columns * (i % 3) + shift + i)) for shift in (0.0, 0.3, 0.6)]
    pixels = (127 + 120 * np.stack(waves, -1)).astype(np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def _epochs(epochs: int, member: int, k: int) -> list[dict[str, Any]]:
    return [
        {
            "event": "epoch", "epoch": e, "epochs": epochs, "loss": 2.5 / e + 0.1 * k, "lr": 1e-3,
            "images_per_second": 40.0, "seconds": 3.0, "valid_log_loss": 2.0 / e**0.5 + 0.1 * member,
            "valid_score": 0.8 - 0.5 / e - 0.05 * member + 0.01 * k,
        }
        for e in range(1, epochs + 1)
    ]  # fmt: skip


def _metrics(member: str, k: int, source: str, score: float) -> dict[str, Any]:
    return {
        "member": member, "fold": k, "score": score, "metric": "macro-f1", "log_loss": 0.9, "accuracy": score,
        "images": 30, "seconds": 73.2, "epochs": 3, "weights_source": source, "images_per_second": 41.7,
    }  # fmt: skip
