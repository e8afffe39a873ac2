"""AutoGluon's own ensemble selection, from its published package in an environment of its own.

`build_environment` makes the environment; its Python runs this very file, which then reads FOLDER/probs.npy
[M, n, C] and FOLDER/targets.npy [n] and prints weights, seconds and version as JSON:

python benchmarks/autogluon_selection.py FOLDER
"""

import importlib
import importlib.metadata
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 25


def build_environment(folder: Path) -> Path:
    """Install autogluon.core by pip into a new environment: its Python. Some 90 seconds and 700 MB."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "autogluon.core"], check=True)
    return python


def select(python: Path, folder: Path, probs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    """Select by macro-F1 of the mean of probs [M, n, C] for targets int [n]: weights [M], seconds, version.

    The seconds are those of the selection alone, without reading the arrays.
    """
    np.save(folder / "probs.npy", probs)
    np.save(folder / "targets.npy", targets)
    done = subprocess.run([python, __file__, folder], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Select, in AutoGluon's environment."""
    folder = Path(sys.argv[1])
    probs, targets = np.load(folder / "probs.npy"), np.load(folder / "targets.npy")
    metric = importlib.import_module("autogluon.core.metrics").f1_macro
    place = "autogluon.core.models.greedy_ensemble.ensemble_selection"
    kind = importlib.import_module(place).EnsembleSelection
    selection = kind(ensemble_size=ROUNDS, problem_type="multiclass", metric=metric)
    began = time.monotonic()
    selection.fit(list(probs), targets)
    found = {
        "weights": selection.weights_.tolist(),
        "seconds": time.monotonic() - began,
        "version": importlib.metadata.version("autogluon.core"),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
