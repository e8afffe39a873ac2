"""A drawn competition of 60 small images with two tiny members; its stages, run in this process."""

import argparse
import importlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen
from sys import executable
from typing import Any

import numpy as np
import pandas as pd

from pipeline.artifacts import manifest, paths
from pipeline.artifacts.jobs import Job, find_jobs
from pipeline.config import Config, resolve

CHAIN = ("download", "prepare", "folds", "train", "predict", "ensemble")
RECIPE = {
    "epochs": 2,
    "batch": 8,
    "size": 32,
    "threads": 1,
    "dtype": "float32",
    "memory_format": "channels_last",
    "device": "cpu",
    "validate_epochs": 0,
}
MEMBERS = [
    {"name": "a", "model": "test_resnet", "weights": "random"},
    {"name": "b", "model": "test_efficientnet", "weights": "random"},
]


def configure(folder: Path, changes: Mapping[str, Any] | None = None, members: Any = MEMBERS) -> Config:
    """Return the configuration of the competition in `folder`; `changes` are nested tables.

    Its paths are relative, as a user's are: a competition may be moved as a whole.
    """
    names = ("data", "runs", "folds", "submissions")
    raw = {
        "data": {"name": "tiny", "unreadable": "skip", "drawn": {"classes": 3, "images": 60}},
        "cache": {"workers": 1},
        "folds": {"count": 2},
        "predict": {"batch": 16},
        "paths": {name: os.path.relpath(folder / name) for name in names},
        "train": RECIPE,
        "members": members,
    }
    return resolve(raw, changes or {}, "test")


def run(stage: str, config: Config, *arguments: str) -> None:
    """Run a stage or a command as its own command line would."""
    importlib.import_module(f"pipeline.{stage}").run(config, options(stage, *arguments))


def options(stage: str, *arguments: str) -> argparse.Namespace:
    """Read the flags of a stage or a command."""
    parser = argparse.ArgumentParser()
    importlib.import_module(f"pipeline.{stage}").add_arguments(parser)
    return parser.parse_args(arguments)


def job_of(config: Config, member: str, fold: int) -> Job:
    return next(job for job in find_jobs(config) if (job.member.name, job.fold) == (member, fold))


def rewrite_oof(job: Job, **changes: np.ndarray) -> None:
    """Replace arrays of a fold's oof.npz and commit it, as a program with other habits would have."""
    path = job.file("oof.npz")
    with np.load(path) as arrays:
        content = {**arrays, **changes}
    np.savez(path, **content)
    manifest.publish(*job.commit, [path, job.file("metrics.json")], 1.0)


def flip_unseen(path: Path, start: int) -> None:
    """Flip a bit of a file as a bad disk does: the manifests beside it don't see it."""
    sha256, data = manifest.file_sha256(path), bytearray(path.read_bytes())
    data[start] ^= 1
    with path.open("r+b") as stream:
        stream.write(data)
    status = path.stat()
    for recorded in path.parent.glob("*manifest.json"):
        content = json.loads(recorded.read_bytes())
        for record in (*content["inputs"].values(), *content["outputs"].values()):
            if record["sha256"] == sha256:
                record |= {"mtime_ns": status.st_mtime_ns, "inode": status.st_ino}
        recorded.write_text(json.dumps(content))


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return what tells whether a file was touched, for every file."""
    found = {str(path): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {name: (stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in found.items()}


@contextmanager
def held_elsewhere(path: Path) -> Iterator[Popen]:
    """Let another process hold a lock file for the block."""
    code = (
        "import sys, pathlib; from pipeline.artifacts import lock\n"
        "with lock.hold(pathlib.Path(sys.argv[1]), 'it'): print('held', flush=True); sys.stdin.read()"
    )
    with Popen([executable, "-c", code, str(path)], stdin=PIPE, stdout=PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield child


@dataclass
class Pictures:
    """A cache in memory: random images, some training rows and some of the test, and the reads of each."""

    shapes: list[tuple[int, int]]
    reads: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        draw = np.random.default_rng(0)
        self.images = [draw.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in self.shapes]
        for image in self.images:
            image.setflags(write=False)
        n = len(self.shapes)
        split = ["test" if i % 4 == 3 else "train" for i in range(n)]
        self.table = pd.DataFrame({"id": [f"img{i}" for i in range(n)], "split": split})

    def pixels(self, row: int) -> np.ndarray:
        self.reads.append(row)
        return self.images[row]


def without_test(folder: Path) -> Config:
    """Take the test images away, as in a competition that has none yet; return the configuration."""
    config = configure(folder)
    root = paths.data_root(config)
    shutil.rmtree(root / "test")
    (root / "sample_submission.csv").unlink()
    run("prepare", config)
    return config
