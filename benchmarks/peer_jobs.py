"""What benchmarks.peers times: a k-fold job by timm, by fastai and by us, on the same images and folds.

Each job starts in an empty folder and ends with out-of-fold probabilities, float64 [rows, classes], in the
order of `Setting.rows` and of the classes' names.
"""

import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import safetensors.torch

from pipeline.artifacts import manifest, paths, writer
from pipeline.blending.sources import known_sources, load_oof
from pipeline.config import Config, resolve
from pipeline.config_text import to_toml
from pipeline.dataset.folds.folds_file import Folds, load_folds, read_images
from pipeline.dataset.layouts.image_files import Roots
from pipeline.dataset.sample import draw_competition
from pipeline.learn import weights
from pipeline.learn.run_record import initial_model
from pipeline.learn.timing import choose

MODEL, FOLDS, SIZE, BATCH = "tf_efficientnet_lite0", 3, 160, 32
FASTAI = ("fastai==2.8.12", "safetensors")  # beside our own versions of the rest
SAME = ("torch", "torchvision", "timm")


class Setting(NamedTuple):
    """What all jobs share: the folder that they work in, the images' root, the rows, the initial weights.

    `rows` has a row an image: file, label, fold, and the name of its link. `classes` are in the order of
    the columns of all probabilities. `dtype` is the one that our timing chose here; timm trains in it too.
    """

    work: Path
    root: Path
    rows: pd.DataFrame
    classes: list[str]
    weights: Path
    dtype: str


def drawn_root(folder: Path) -> Path:
    """Draw the sample and put its training images into class folders; return their folder."""
    root, sample = folder / "classes", folder / "sample"
    draw_competition(sample)
    table = pd.read_csv(sample / "train.csv", dtype=str, keep_default_na=False)
    pairs = zip(table["id"], table["label"], strict=True)
    files = (
        (f"{label}/{name}.jpg", (sample / "train" / f"{name}.jpg").read_bytes()) for name, label in pairs
    )
    writer.publish_folder(root, files)
    return root


def set_up(work: Path, root: Path) -> Setting:
    """Make what all jobs share: folds by our stages, folders of links, weights, fastai's packages."""
    work.mkdir(parents=True, exist_ok=True)
    source = weights.resolve("package", MODEL)
    file = work / "weights.safetensors"
    state = {name: value.contiguous() for name, value in weights.state_dict(source).items()}
    writer.publish_bytes(file, safetensors.torch.save(state))
    config = our_config(root, file, {}, work / "set-up")
    _run("-m", "pipeline.folds", "--config", str(work / "set-up" / "peers.toml"))
    rows = _rows(root, load_folds(config), read_images(config))
    for row in rows.itertuples():
        folds = (
            f"{fold}/{'validation' if row.fold == fold else 'train'}/{row.label}" for fold in range(FOLDS)
        )
        for folder in (work / "links" / name for name in ("all", *folds)):
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / str(row.link)).is_symlink():
                (folder / str(row.link)).symlink_to(str(row.file))
    _install_fastai(work / "fastai")
    classes, member = manifest.facts(paths.cache_manifest(config))["classes"], config.members[0]
    choice, _ = choose(initial_model(member, source, len(classes)), member.train, len(classes))
    return Setting(work, root, rows, classes, file, choice.dtype)


def timm_job(setting: Setting, epochs: int, seed: int, own: Path) -> np.ndarray:
    """Train and predict fold by fold, a process each, as train.py and inference.py."""
    parts = []
    for fold in range(FOLDS):
        what = [str(setting.work / "links" / str(fold)), "--weights", str(setting.weights)]
        how = ["--epochs", str(epochs), "--dtype", setting.dtype, "--seed", str(seed)]
        sizes = ["--model", MODEL, "--size", str(SIZE), "--batch", str(BATCH)]
        for last in ([], ["--predict"]):
            output = ["--output", str(own / str(fold))]
            _run("-m", "benchmarks.peer_timm", *what, *how, *sizes, *output, *last)
        parts.append(pd.read_csv(own / str(fold) / "probs.csv", dtype={"file": str}))
    return _joined(setting, pd.concat(parts))


def fastai_job(setting: Setting, epochs: int, seed: int, own: Path) -> np.ndarray:
    """Train and predict all folds in one process of fastai's environment."""
    own.mkdir(parents=True, exist_ok=True)
    files = [str(setting.work / "links" / "all" / link) for link in setting.rows["link"]]
    setting.rows.assign(file=files)[["file", "label", "fold"]].to_csv(own / "rows.csv", index=False)
    script = str(Path(__file__).with_name("peer_fastai.py"))
    arguments = [str(own / "rows.csv"), "--weights", str(setting.weights), "--epochs", str(epochs)]
    sizes = ["--model", MODEL, "--size", str(SIZE), "--batch", str(BATCH), "--seed", str(seed)]
    output = ["--output", str(own / "probs.csv")]
    _run(script, *arguments, *sizes, *output, python=setting.work / "fastai" / "bin" / "python")
    return _joined(setting, pd.read_csv(own / "probs.csv", dtype={"file": str}))


def our_job(setting: Setting, recipe: dict[str, Any], seed: int, own: Path) -> np.ndarray:
    """Type one command: images prepared, folds made, all of them trained and predicted."""
    config = our_config(setting.root, setting.weights, {**recipe, "seed": seed}, own)
    _run("-m", "pipeline.train", "--config", str(own / "peers.toml"), "--all")
    folds = load_folds(config)
    probs, _ = load_oof(known_sources(config)[0], setting.classes, folds.ids, folds.fold_of, folds.digest)
    return probs.mean(0, dtype=np.float64)[folds.fold_of >= 0]


def our_config(root: Path, file: Path, recipe: dict[str, Any], own: Path) -> Config:
    """Write our configuration into a job's folder and return it."""
    train = {"size": SIZE, "batch": BATCH, "lr": 2e-3, "validate_epochs": 0, **recipe}
    tables = {
        "data": {"name": "peers", "root": str(root), "metric": "macro-f1"},
        "folds": {"count": FOLDS},
        "paths": {name: str(own / name) for name in ("data", "runs", "folds", "submissions")},
        "members": [{"model": MODEL, "weights": str(file), "train": train}],
    }
    config = resolve(tables, {}, "benchmarks.peers")
    own.mkdir(parents=True, exist_ok=True)
    writer.publish_bytes(own / "peers.toml", to_toml(config).encode())
    return config


def _rows(root: Path, folds: Folds, images: pd.DataFrame) -> pd.DataFrame:
    path_of = images.set_index("id")["path"]
    rows = pd.DataFrame({"label": folds.labels, "fold": folds.fold_of})
    rows["file"] = [str(Path(*Roots(root).place(path_of[name]))) for name in folds.ids]
    rows["link"] = [f"{i:06d}{Path(name).suffix}" for i, name in enumerate(rows["file"])]
    return rows[rows["fold"] >= 0].reset_index(drop=True)


def _joined(setting: Setting, probs: pd.DataFrame) -> np.ndarray:
    """Bring a table of probabilities, a line a link, into the order of the rows and classes."""
    return probs.set_index("file").loc[setting.rows["link"], setting.classes].to_numpy(np.float64)


def _install_fastai(folder: Path) -> None:
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        venv.create(folder, with_pip=True, clear=True)
        same = [f"{name}=={manifest.version_of(name).partition('+')[0]}" for name in SAME]
        _run("-m", "pip", "install", "-q", *FASTAI, *same, python=python)
        complete.touch()


def _run(*arguments: str, python: Path = Path(sys.executable)) -> None:
    subprocess.run([str(python), *arguments], check=True, stdout=subprocess.DEVNULL)
