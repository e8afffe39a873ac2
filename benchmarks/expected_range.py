"""Does the true score lie in the range that a run states? The sample competition, drawn with 20 seeds.

python -m benchmarks.expected_range              20 seeds, 10 to 20 minutes

A seed is the sample's own plan: 467 training and 233 test images of 12 species, with their near-duplicates,
wrong labels and odd files, groups by `find_groups`, 5 folds. Instead of three trainings there are three
linear heads (logistic regression) on frozen features: of EfficientNet-Lite0, of Lite1, of both. From there on
all is as in a run: out-of-fold rows, the chain with all its choices cross-fitted, the test rows predicted by
the mean of the folds' models, the range expected on as many rows as the test set has. The true score is on
the hidden solution, whose labels are wrong as often as training's.
"""

import argparse
import hashlib
import statistics
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks import result
from benchmarks.leak import MAX_PIXELS, features_of
from pipeline import terminal
from pipeline.dataset.drawing.species import draw_species
from pipeline.dataset.reader import read_image
from pipeline.dataset.sample import image_bytes
from pipeline.dataset.sample_plan import plan_competition
from pipeline.dataset.twins.duplicates import find_groups, grey32, perceptual_hash
from pipeline.learn import models, weights
from pipeline.score.crossfit import cross_fitted
from pipeline.score.intervals import expected_on
from pipeline.score.metrics import METRICS
from pipeline.score.oof import scored_rows
from pipeline.score.splits import make_folds

NETWORKS = ("tf_efficientnet_lite0", "tf_efficientnet_lite1")
CLASSES, IMAGES, FOLDS = 12, 700, 5  # the sample's
METRIC = METRICS["macro-f1"]
STRENGTH = 100.0  # C of the logistic regression: an inverse penalty, for features of length 1


class Drawn(NamedTuple):
    """One draw: pictures uint8 [H, W, 3], digests of their files, labels [n], which are the test set's."""

    pictures: list[np.ndarray]
    sha256s: list[str]
    labels: np.ndarray
    is_test: np.ndarray


def main() -> None:
    """Measure every seed, print the table, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20, help="draws")
    options = parser.parse_args()
    networks = [
        models.build_model(name, 0, weights.resolve("package", name), seed_key=0).eval() for name in NETWORKS
    ]
    found = []
    with terminal.progress("seeds") as line:
        for seed in range(options.seeds):
            found.append(measure(draw(seed), networks, seed))
            line.update(len(found) / options.seeds, f"{len(found)} of {options.seeds} seeds")
    columns = [
        "seed",
        "cross-fitted",
        "SE",
        "true score",
        "cross-fitted − true",
        "expected",
        "inside",
        "chain",
    ]
    terminal.table("Sample data (drawn), macro-F1", columns, [cells(row) for row in found])
    inside = sum(row["inside"] for row in found)
    gaps = [row["cross_fitted"] - row["true_score"] for row in found]
    mean, spread = statistics.mean(gaps), statistics.stdev(gaps)
    error = spread / len(gaps) ** 0.5
    terminal.say(f"true score inside the expected range: {inside} of {len(found)}")
    terminal.say(f"cross-fitted − true score: {mean:+.4f} ± {error:.4f} (n = {len(gaps)})")
    figures = {
        "n": len(found),
        "inside": inside,
        "gap": {"mean": mean, "standard_error": error, "sd": spread},
        "seeds": found,
    }
    terminal.say(str(result.save("expected_range", figures)))


def cells(row: dict[str, Any]) -> list[str]:
    return [
        str(row["seed"]),
        f"{row['cross_fitted']:.4f}",
        f"{row['standard_error']:.4f}",
        f"{row['true_score']:.4f}",
        f"{row['cross_fitted'] - row['true_score']:+.4f}",
        f"{row['low']:.4f}–{row['high']:.4f}",
        "yes" if row["inside"] else "no",
        f"{row['blend']}, {row['rule']}",
    ]


def draw(seed: int) -> Drawn:
    """Draw the sample competition of a seed, as its files are read again."""
    species, rows = draw_species(CLASSES, seed), plan_competition(CLASSES, IMAGES, seed)
    files = [image_bytes(row, species[row.species], seed) for row in rows]
    return Drawn(
        [read_image(file, MAX_PIXELS).pixels for file in files],
        [hashlib.sha256(file).hexdigest() for file in files],
        np.array([row.label for row in rows]),
        np.array([row.split == "test" for row in rows]),
    )


def measure(drawn: Drawn, networks: list[torch.nn.Module], seed: int) -> dict[str, Any]:
    """Cross-fit the chain on the training rows, and score it on the test rows."""
    features = [features_of(drawn.pictures, network) for network in networks]
    train, test = np.flatnonzero(~drawn.is_test), np.flatnonzero(drawn.is_test)
    targets, groups = drawn.labels[train], groups_of(drawn, train)
    fold_of = make_folds(targets, groups, FOLDS, seed)
    predicted = [
        predict(own[train], targets, fold_of, own[test]) for own in (*features, np.concatenate(features, 1))
    ]
    rows = scored_rows([oof[None] for oof, _ in predicted], targets, fold_of, groups)
    found = cross_fitted(rows, METRIC)
    _, labels = found.chain.apply([bag[None] for _, bag in predicted])
    true_score = METRIC.function(drawn.labels[test], labels, CLASSES)
    span = expected_on(len(test), found.score, found.standard_error, found.n, FOLDS, bounds=METRIC.bounds)
    return {
        "seed": seed,
        "n": found.n,
        "groups": found.groups,
        "test_rows": len(test),
        "members": found.member_scores,
        "blend": found.chain.blend.name,
        "rule": found.chain.rule.name,
        "cross_fitted": found.score,
        "in_sample": found.in_sample,
        "standard_error": found.standard_error,
        "true_score": true_score,
        "low": span.low,
        "high": span.high,
        "inside": span.low <= true_score <= span.high,
    }


def groups_of(drawn: Drawn, rows: np.ndarray) -> np.ndarray:
    """The group of each of the rows: images that show the same picture."""
    pictures = [drawn.pictures[row] for row in rows]
    hashes = np.array([perceptual_hash(picture) for picture in pictures], np.uint64)
    sha256s = [drawn.sha256s[row] for row in rows]
    return find_groups(sha256s, [""] * len(rows), hashes, lambda row: grey32(pictures[row])).group_of


def predict(
    own: np.ndarray, targets: np.ndarray, fold_of: np.ndarray, new: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Probs float32 of rows, out of fold [n, C], and of new ones [m, C], the mean of the folds' models."""
    oof = np.zeros((len(own), CLASSES), np.float32)
    bag = np.zeros((len(new), CLASSES), np.float32)
    for fold in range(FOLDS):
        held = fold_of == fold
        with threadpool_limits(1):  # several threads only wait for each other on arrays this small
            head = LogisticRegression(C=STRENGTH, max_iter=1000).fit(own[~held], targets[~held])
        oof[np.ix_(held, head.classes_)] = head.predict_proba(own[held])
        bag[:, head.classes_] += head.predict_proba(new) / FOLDS
    return oof, bag


if __name__ == "__main__":
    main()
