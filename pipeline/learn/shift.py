"""Shift: do test images differ from training images? Adversarial validation from a frozen network's features.

The network is the first member's that began with pretrained weights, as it was then: fine-tuned, it has seen
the training rows. runs/NAME/shift.json has the AUC and the images that give the difference away, or why there
is none.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import terminal
from pipeline.artifacts import manifest, paths, writer
from pipeline.config import Config, Member, predict_side
from pipeline.errors import DataError, UsageError
from pipeline.randomness import key

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch.utils.data import DataLoader

    from pipeline.dataset.cache import Cache
    from pipeline.learn.inference import Predictor, Report

STAGE = "predict"
VERSION = 1
SIDES = ("train", "test")
MOST_ROWS = 2000  # a side: the interval is then a few hundredths wide
LISTED = 12
LEVELS = 5
BATCH = 16  # all levels' maps are held at once: less than what predicting 64 images needs
CLEAR = 0.7
NO_TEST = "there are no test images"
NO_WEIGHTS = "no member began with pretrained weights, and random features tell little"


@dataclass(frozen=True)
class Network:
    """A member whose run began with pretrained weights: `weights` as its environment.json names them."""

    member: Member
    run_folder: Path
    weights: Mapping[str, str]


def stale(config: Config) -> str | None:
    """Say why train and test must be compared (again), None when that is up to date; PyTorch isn't needed."""
    return manifest.stale(_manifest(config), _expected(config, _network(config)))


def compare(config: Config) -> dict[str, Any]:
    """Tell test from training images, publish the result with its manifest, and return it.

    {"auc", "low", "high", "rows", "features", "test", "train"}: `test` are [id, probability] of the images
    most surely of the test set, `train` of the training images most like it, one of each group of
    near-duplicates; or {"why": …}. Weights that can't be had now are no error: the next run tries again.
    """
    started, network = time.monotonic(), _network(config)
    expected = _expected(config, network)
    if not manifest.facts(paths.cache_manifest(config))["rows"].get("test"):
        content: dict[str, Any] = {"why": NO_TEST}
    elif network is None:
        content = {"why": NO_WEIGHTS}
    else:
        try:
            predictor = _frozen(config, network)
        except (DataError, UsageError) as error:
            content = {"why": f"the features' network can't be had: {error}"}
            writer.remove(_manifest(config))
            writer.publish_bytes(paths.shift(config), _json(content))
            return content
        content = _compared(config, predictor, _named(network))
    writer.publish_bytes(paths.shift(config), _json(content))
    manifest.publish(_manifest(config), expected, [paths.shift(config)], time.monotonic() - started)
    return content


def sentence(content: Mapping[str, Any]) -> str:
    """Say the result in one line.

    >>> sentence({"auc": 0.5213, "low": 0.4788, "high": 0.5638})
    "train and test can't be told apart (AUC 0.52, 0.48–0.56)"
    >>> sentence({"auc": 0.83, "low": 0.8, "high": 0.86})
    'test images differ from train: AUC 0.83 (0.80–0.86); the report shows which'
    """
    if "why" in content:
        return f"train and test weren't compared: {content['why']}"
    auc, low, high = content["auc"], content["low"], content["high"]
    if low <= 0.5:
        return f"train and test can't be told apart (AUC {auc:.2f}, {low:.2f}–{high:.2f})"
    differ = "differ" if auc > CLEAR else "differ a little"
    return f"test images {differ} from train: AUC {auc:.2f} ({low:.2f}–{high:.2f}); the report shows which"


def draw_rows(table: "pd.DataFrame", split: str) -> "np.ndarray":
    """Return the positions int64 [n] of at most 2,000 rows of a split, drawn by id: other rows change few."""
    import numpy as np

    rows = np.flatnonzero(table["split"] == split)
    keys = np.array([key(0, "shift", split, name) for name in table["id"].to_numpy()[rows]], np.int64)
    return rows[np.argsort(keys, kind="stable")[:MOST_ROWS]]


def stage_features(
    predictor: "Predictor", loader: "DataLoader", report: "Report | None" = None
) -> "np.ndarray":
    """Return float32 [n, d] of the loader's n images: the mean of each feature map, from 5 levels of depth.

    The last level alone is nearly blind to what training made the network overlook. On drawn insects the
    levels find a darker, bluer, recompressed or negative test set with AUC .99, .96, .98, .99, the pooled
    output with .87, .62, .90, .75; another mix of classes both find alike.
    """
    import numpy as np
    import torch

    model: Any = predictor.model
    depth = len(model.feature_info)
    levels = sorted({round(i * (depth - 1) / (LEVELS - 1)) for i in range(LEVELS)})
    parts: list[np.ndarray] = []
    done, total = 0, len(loader.dataset)  # type: ignore[arg-type]
    with torch.inference_mode():
        for (pixels,) in loader:
            images = predictor.runtime.inputs(pixels, predictor.mean, predictor.std)
            maps = model.forward_intermediates(images, indices=levels, intermediates_only=True)
            parts.append(torch.cat([level.mean(dim=(2, 3)) for level in maps], dim=1).float().cpu().numpy())
            done += len(pixels)
            if report is not None:
                report(done, total)
    return np.concatenate(parts)


def _manifest(config: Config) -> Path:
    return paths.shift(config).with_suffix(".manifest.json")


def _network(config: Config) -> Network | None:
    digest = manifest.folds_digest(paths.folds_record(config))
    for member in config.members:
        folder = paths.run(config, member, digest)
        weights = (manifest.read_json(folder / "environment.json") or {}).get("weights", {})
        if weights.get("kind", "random") != "random":
            return Network(member, folder, weights)
    return None


def _expected(config: Config, network: Network | None) -> manifest.Expected:
    facts = manifest.facts(paths.cache_manifest(config))
    fields: dict[str, Any] = {
        "training images": facts["train_digest"],
        "test images": facts["test_digest"],
        "data.group_column": config.data.group_column,
    }
    if network is not None:
        train = network.member.train
        frame = [predict_side(train), train.test_crop]
        fields["features"] = [network.member.model, network.weights["sha256"], *frame]
    return manifest.Expected(STAGE, VERSION, fields)


def _named(network: Network) -> str:
    """Name the features for people; of a weights file its name, wherever it lies."""
    side = predict_side(network.member.train)
    return f"{network.member.model}, {Path(network.weights['name']).name}, at {side} px"


def _frozen(config: Config, network: Network) -> "Predictor":
    """Build the network with its initial weights; raises DataError or UsageError where they can't be had."""
    from pipeline.learn.inference import build_predictor
    from pipeline.learn.run_record import initial_model, open_run
    from pipeline.learn.runtime import build_runtime

    member, classes = network.member, manifest.facts(paths.cache_manifest(config))["classes"]
    record = open_run(config, member, network.run_folder, len(classes))
    model = initial_model(member, record.source, classes=0)
    return build_predictor(model, member.train, build_runtime(member.train, record.choice))


def _compared(config: Config, predictor: "Predictor", named: str) -> dict[str, Any]:
    import numpy as np

    from pipeline.dataset.cache import open_cache
    from pipeline.score.separability import separability

    cache = open_cache(paths.cache(config))
    train, test = (draw_rows(cache.table, split) for split in SIDES)
    rows = np.concatenate([train, test])
    is_test, groups = np.arange(len(rows)) >= len(train), cache.table["in_group"].to_numpy()[rows]
    sizes = {"train": len(train), "test": len(test)}
    try:
        found = separability(_features(cache, rows, predictor), is_test, groups)
    except ValueError as error:
        return {"why": str(error), "rows": sizes}
    ids = cache.table["id"].to_numpy()[rows]
    return {
        "auc": round(found.auc, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "rows": sizes,
        "features": named,
        "test": _surest(ids[is_test], found.probs[is_test], groups[is_test]),
        "train": _surest(ids[~is_test], found.probs[~is_test], groups[~is_test]),
    }


def _features(cache: "Cache", rows: "np.ndarray", predictor: "Predictor") -> "np.ndarray":
    from pipeline.dataset.loader import predict_loader

    runtime = predictor.runtime
    loader = predict_loader(cache, rows, [predictor.frame], BATCH, runtime.workers, runtime.device)
    with terminal.progress(STAGE) as line:
        return stage_features(
            predictor,
            loader,
            lambda done, total: line.update(done / total, f"{done}/{total} images, train against test"),
        )


def _surest(ids: "np.ndarray", probs: "np.ndarray", groups: "np.ndarray") -> Sequence[tuple[str, float]]:
    """Return [id, probability] of the most probable rows, of a group of near-duplicates the first only."""
    import numpy as np

    order = np.lexsort((ids.astype(np.str_), -probs.round(4)))
    _, first = np.unique(groups[order], return_index=True)
    return [(str(ids[i]), round(float(probs[i]), 4)) for i in order[np.sort(first)][:LISTED]]


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode()
