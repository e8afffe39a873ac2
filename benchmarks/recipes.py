"""What does each part of a recipe bring? Each is put on, or taken off, one recipe that else stays the same.

python -m benchmarks.recipes [FOLDER]                      runs are kept in FOLDER and go on from there
python -m benchmarks.recipes [FOLDER] --only focal mixup   only these; the result's other rows are kept

A long-tailed drawn competition, out-of-fold macro-F1 and log-loss, paired on the same rows. The interval is
of the rows; how much another seed of the same recipe changes stands in the rows "seed 1" and "seed 2".
"""

import argparse
import dataclasses
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import result
from pipeline import terminal
from pipeline.artifacts import manifest, paths, writer
from pipeline.blending.sources import known_sources, load_oof
from pipeline.config import Config, resolve
from pipeline.config_text import to_toml
from pipeline.dataset.folds.folds_file import load_folds
from pipeline.leaderboard import ledger
from pipeline.score.intervals import paired_difference
from pipeline.score.metrics import METRICS
from pipeline.score.prior import restore_shares

BASE = """
[data]
name = "recipes"
metric = "macro-f1"
[data.drawn]
classes = 24
images = 1600
[folds]
count = 3
[train]
size = 64
epochs = 6
batch = 16
lr = 2e-3
validate_epochs = 0
[[members]]
name = "base"
model = "tf_efficientnet_lite0"
weights = "package"
"""
# Changes of the recipe above, which has cross-entropy with smoothing, AdamW, a cosine and averaged weights.
CHANGES: dict[str, dict[str, Any]] = {
    "seed 1": {"seed": 1},
    "seed 2": {"seed": 2},
    "3 seeds": {"seeds": 3},
    "augment none": {"augment": "none"},
    "augment medium": {"augment": "medium"},
    "augment heavy": {"augment": "heavy"},
    "augment insects": {"augment": "insects"},
    "mixup": {"mixup": 0.2, "unmixed_epochs": 1},
    "cutmix": {"cutmix": 1.0, "unmixed_epochs": 1},
    "no smoothing": {"label_smoothing": 0.0},
    "focal": {"loss": "focal"},
    "class-weighted": {"loss": "class-weighted"},
    "balanced-softmax": {"loss": "balanced-softmax"},
    "logit-adjusted": {"loss": "logit-adjusted"},
    "ldam": {"loss": "ldam"},
    "bce": {"loss": "bce"},
    "square-root": {"sampler": "square-root"},
    "class-balanced": {"sampler": "class-balanced"},
    "cRT": {"retrain_epochs": 2},
    "sgd": {"optimizer": "sgd", "lr": 0.05, "weight_decay": 1e-4},
    "lamb": {"optimizer": "lamb", "lr": 5e-3},
    "one-cycle": {"schedule": "one-cycle"},
    "step": {"schedule": "step"},
    "plateau": {"schedule": "plateau"},
    "constant": {"schedule": "constant"},
    "no warm-up": {"warmup_epochs": 0.0},
    "layer-wise rates": {"layer_decay": 0.75},
    "classifier first": {"freeze_epochs": 1},
    "classifier on features": {"head_epochs": 10},
    "last 2 stages": {"train_stages": 2},
    "no averaged weights": {"ema": False},
    "no clipping": {"clip_norm": 0.0},
    "micro-batches": {"micro_batch": 8},
    "dropout": {"dropout": 0.3},
    "stochastic depth": {"drop_path": 0.1},
    "progressive sizes": {"sizes": [48, 56, 64]},
    "higher test size": {"test_size": 80},
    "taught by the base": {"teacher": "base"},
    "taught on test images too": {"teacher": "base", "pseudo": True},
    "common epoch": {"select": "common"},
    "best epoch": {"select": "best"},
}


def main() -> None:
    """Train what isn't trained yet, compare each change with the base, print the table, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="where the runs are kept; default: a new one")
    parser.add_argument("--only", nargs="+", choices=list(CHANGES), metavar="NAME", help="which to measure")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    names = options.only or list(CHANGES)
    config = _configure(folder, names)
    command = [sys.executable, "-m", "pipeline.train", "--config", str(folder / "recipes.toml"), "--all"]
    subprocess.run(command, cwd=folder, check=True)
    kept = (manifest.read_json(result.RESULTS / "recipes.json") or {}).get("changes", [])
    rows = {row["name"]: row for row in kept if row["name"] not in names}
    rows |= {row["name"]: row for row in _compared(config, names)}
    found = [rows[name] for name in CHANGES if name in rows]
    _show(found)
    terminal.say(str(result.save("recipes", {"base": tomllib.loads(BASE), "changes": found})))


def _configure(folder: Path, names: list[str]) -> Config:
    """Write the configuration with a member for each change, and return it."""
    raw = tomllib.loads(BASE)
    base = raw["members"][0]
    raw["members"] += [{**base, "name": _member(name), "train": CHANGES[name]} for name in names]
    raw["paths"] = {name: str(folder / name) for name in ("data", "runs", "folds", "submissions")}
    folder.mkdir(parents=True, exist_ok=True)
    config = resolve(raw, {}, "benchmarks.recipes")
    writer.publish_bytes(folder / "recipes.toml", to_toml(config).encode())
    return config


def _member(name: str) -> str:
    return name.replace(" ", "-")


def _compared(config: Config, names: Sequence[str]) -> list[dict[str, Any]]:
    """Compare each change with the base on all out-of-fold rows."""
    folds = load_folds(config)
    classes = manifest.facts(paths.cache_manifest(config))["classes"]
    index = {name: i for i, name in enumerate(classes)}
    scored = folds.fold_of >= 0
    targets = np.array([index[label] for label in folds.labels])[scored]
    shares = np.bincount(targets, minlength=len(classes)) / len(targets)
    probs, restored = {}, {}
    for source in known_sources(config):
        views, _ = load_oof(source, classes, folds.ids, folds.fold_of, folds.digest)
        probs[source.name] = views.mean(0, dtype=np.float64)[scored]
        restored[source.name] = restore_shares(probs[source.name], shares, source.power)
    rows = []
    for name in names:
        own = _member(name)
        row = {"name": name, "change": CHANGES[name], "n": len(targets), "commit": ledger.commit()}
        for metric, a, b in (
            ("macro-f1", probs[own].argmax(1), probs["base"].argmax(1)),
            ("log-loss", restored[own], restored["base"]),
        ):
            found = paired_difference(
                targets, a, b, METRICS[metric], len(classes), groups=folds.groups[scored]
            )
            score = METRICS[metric].function(targets, a, len(classes))
            row[metric] = {"score": score, **dataclasses.asdict(found), "is_noise": found.is_noise}
        rows.append(row)
    return rows


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    cells = [
        [row["name"], *(text for metric in ("macro-f1", "log-loss") for text in _texts(row[metric]))]
        for row in rows
    ]
    columns = ["change", "macro-F1", "gain (95 % interval)", "log-loss", "gain (95 % interval)"]
    terminal.table(
        "Sample data (drawn), out of fold, gain over the base; * = above two errors", columns, cells
    )


def _texts(found: Mapping[str, Any]) -> tuple[str, str]:
    star = "" if found["is_noise"] else " *"
    return f"{found['score']:.4f}", f"{found['gain']:+.4f} ({found['low']:+.4f} – {found['high']:+.4f}){star}"


if __name__ == "__main__":
    main()
