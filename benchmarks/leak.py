"""What do near-duplicates do to a score? Plain against grouped folds, and the truth, on drawn insects.

python -m benchmarks.leak                12 draws, some 4 minutes

A draw is the sample's plan without its own odd rows: 12 species, 800 training images and 400 of the test set,
whose individuals are others. A tenth more training images are further uploads of ones that are there
(cropped, resized, brighter, flipped, compressed again). The model is the nearest neighbour on frozen features
of EfficientNet-Lite0. Scores are macro-F1: out of fold with 10 stratified folds, with 10 folds that keep what
`find_groups` found together, and on the test set, trained on all.
"""

import argparse
import statistics
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import result
from pipeline import terminal
from pipeline.dataset.drawing.files import encoded, retaken
from pipeline.dataset.drawing.species import draw_species
from pipeline.dataset.loader import frame_image
from pipeline.dataset.reader import read_image
from pipeline.dataset.sample import draw_individual
from pipeline.dataset.sample_plan import plan_competition
from pipeline.dataset.twins.duplicates import find_groups, grey32, perceptual_hash
from pipeline.learn import models, weights
from pipeline.randomness import generator
from pipeline.score.metrics import METRICS
from pipeline.score.splits import make_folds

MODEL, SIDE, BATCH = "tf_efficientnet_lite0", 128, 32
CLASSES, IMAGES, TRAIN, TEST = 12, 1300, 800, 400
PLANTED = 0.10
FOLDS = 10  # the out-of-fold models then see nearly as much as the one that is tested
MAX_PIXELS = 10**7


class Drawn(NamedTuple):
    """One draw: pictures uint8 [H, W, 3], their labels, and how many, the first ones, are training's."""

    pictures: list[np.ndarray]
    labels: np.ndarray
    train: int


def main() -> None:
    """Measure every draw, print the table, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=12, help="draws")
    options = parser.parse_args()
    network = build_network()
    found = [measure(draw(seed), network, seed) for seed in range(options.seeds)]
    columns = ["draw", "plain folds", "grouped folds", "true score", "plain − true", "grouped − true"]
    rows = [[str(seed), *cells(row)] for seed, row in enumerate(found)]
    mean = {name: statistics.mean(row[name] for row in found) for name in ("plain", "grouped", "true")}
    terminal.table("Sample data (drawn), macro-F1", columns, [*rows, ["mean", *cells(mean)]])
    figures: dict[str, Any] = {"n": len(found), "planted": PLANTED, "folds": FOLDS, "draws": found}
    for name in ("plain", "grouped"):
        gaps = [row[name] - row["true"] for row in found]
        error = statistics.stdev(gaps) / len(gaps) ** 0.5
        figures[f"{name}_gap"] = {"mean": statistics.mean(gaps), "standard_error": error}
        terminal.say(
            f"{name} folds − true score: {statistics.mean(gaps):+.4f} ± {error:.4f} (n = {len(gaps)})"
        )
    terminal.say(str(result.save("leak", figures)))


def cells(row: dict[str, float]) -> list[str]:
    gaps = [row[name] - row["true"] for name in ("plain", "grouped")]
    return [*(f"{row[name]:.4f}" for name in ("plain", "grouped", "true")), *(f"{gap:+.4f}" for gap in gaps)]


def draw(seed: int) -> Drawn:
    """Draw the pictures of a seed: training's, then the planted uploads among them, then the test set's."""
    species = draw_species(CLASSES, seed)
    plan = [row for row in plan_competition(CLASSES, IMAGES, seed) if row.kind == "plain"]
    chosen = {
        split: [row for row in plan if row.split == split][:count]
        for split, count in (("train", TRAIN), ("test", TEST))
    }
    own = [
        draw_individual(species[row.species], row.species, row.individual, seed) for row in chosen["train"]
    ]
    labels = [row.species for row in chosen["train"]]
    rng = generator(seed, "planted uploads")
    for source in rng.choice(len(own), round(PLANTED * len(own)), replace=False).tolist():
        own.append(uploaded(retaken(own[source], rng), int(rng.integers(50, 90))))
        labels.append(labels[source])
    test = [
        draw_individual(species[row.species], row.species, row.individual, seed) for row in chosen["test"]
    ]
    return Drawn([*own, *test], np.array([*labels, *(row.species for row in chosen["test"])]), len(own))


def uploaded(picture: np.ndarray, quality: int) -> np.ndarray:
    return read_image(encoded(picture, "JPEG", quality=quality), MAX_PIXELS).pixels


def measure(drawn: Drawn, network: torch.nn.Module, seed: int) -> dict[str, float]:
    """Score the nearest neighbour out of fold, plain and grouped, and on the test set."""
    features, n = features_of(drawn.pictures, network), drawn.train
    own, labels = features[:n], drawn.labels[:n]
    hashes = np.array([perceptual_hash(picture) for picture in drawn.pictures[:n]], np.uint64)
    unique = [str(row) for row in range(n)]  # as if no two files were equal, which these aren't
    found = find_groups(unique, [""] * n, hashes, lambda row: grey32(drawn.pictures[row]))
    score = METRICS["macro-f1"].function
    scores = {}
    for name, groups in (("plain", np.arange(n)), ("grouped", found.group_of)):
        fold_of, said = make_folds(labels, groups, FOLDS, seed), np.empty(n, np.int64)
        for fold in range(FOLDS):
            held, kept = fold_of == fold, fold_of != fold
            said[held] = nearest(own[kept], labels[kept], own[held])
        scores[name] = score(labels, said, CLASSES)
    scores["true"] = score(drawn.labels[n:], nearest(own, labels, features[n:]), CLASSES)
    return scores | {"near_duplicates": found.near}


def nearest(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the labels of the most alike known features, all of length 1."""
    return labels[(asked @ known.T).argmax(1)]


def build_network() -> torch.nn.Module:
    """Make the frozen network without its classifier."""
    return models.build_model(MODEL, 0, weights.resolve("package", MODEL), seed_key=0).eval()


def features_of(pictures: list[np.ndarray], network: torch.nn.Module) -> np.ndarray:
    """Return the pooled features, float32 [n, d], each of length 1."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in models.data_config(network))
    parts = []
    with torch.inference_mode():
        for first in range(0, len(pictures), BATCH):
            frames = np.stack(
                [frame_image(picture, SIDE, 1.0) for picture in pictures[first : first + BATCH]]
            )
            images = torch.from_numpy(frames).permute(0, 3, 1, 2).float().div(255).sub(mean).div(std)
            parts.append(network(images.contiguous(memory_format=torch.channels_last)).numpy())
    features = np.concatenate(parts)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
