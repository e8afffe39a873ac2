"""What do blends say of themselves, and what are they worth? On members with a known truth, IP102's classes.

python -m benchmarks.scoring                  20 members, 20 draws of 3,000 rows, 3 of 45,000; some 30 minutes
python -m benchmarks.scoring --rows 3000      only this size; the result's other rows are kept
python -m benchmarks.scoring --p6             only time and memory for 20 members × 52,603 rows
python -m benchmarks.scoring --without-autogluon

In-sample is the score on the rows that everything was fitted on; cross-fitted, with every choice made again
for each fold, on rows that nothing was fitted on. Truth is the expected macro-F1 of the delivered chain, the
one fitted on all rows, on new rows of the same members: the mean over many test sets of as many rows as it
was fitted on, since macro-F1 depends on the size of a test set (a class of three rows is hit by luck or is
missing altogether). "Without luck": the rows that a draw happens to have move all scores alike, as far as
uniform's, which fits nothing, differs there from its truth; with that subtracted, errors are smaller.

AutoGluon is installed by pip into an environment of its own (90 s, 700 MB), which is removed again. Its
seconds are of one selection; ours are of the whole: all blends and rules, cross-fitted, chosen, an interval.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import result
from benchmarks.autogluon_selection import build_environment
from benchmarks.duplicates import measured, peak_mb
from benchmarks.scoring_methods import METRIC, OURS, PEER, PLAIN, Deliver, Peer, run_all
from benchmarks.simulated_members import draw_members
from pipeline import terminal
from pipeline.artifacts import manifest
from pipeline.leaderboard import ledger
from pipeline.score import statement
from pipeline.score.crossfit import cross_fitted
from pipeline.score.oof import scored_rows

CLASSES, MEMBERS, FOLDS = 102, 20, 5
DRAWS = {3_000: 20, 45_000: 3}
TEST_SETS = {3_000: 40, 45_000: 4}  # new ones for every draw
P6_ROWS = 52_603
FIGURES = {
    "in_sample": "in-sample",
    "cross_fitted": "cross-fitted",
    "truth": "truth",
    "seconds": "seconds",
}
GAPS = {
    "optimism": "in-sample − truth",
    "optimism_without_luck": "without luck",
    "crossed_minus_truth": "cross-fitted − truth",
    "crossed_minus_truth_without_luck": "without luck",
    "truth_minus_ours": "truth − ours",
}


def main() -> None:
    """Measure, print the tables, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, choices=list(DRAWS), help="only this size")
    parser.add_argument("--draws", type=int, help="of every size")
    parser.add_argument("--p6", action="store_true", help=f"only time and memory, {P6_ROWS:,} rows")
    parser.add_argument("--without-autogluon", action="store_true")
    parser.add_argument("--autogluon-python", type=Path, help="of an environment that has autogluon.core")
    options = parser.parse_args()
    if options.draws == 1:
        parser.error("--draws 1: one draw has no standard error, give 2 or more")
    figures = {
        name: value
        for name, value in (manifest.read_json(result.RESULTS / "scoring.json") or {}).items()
        if name in ("members", "sizes", "p6")
    }
    if options.p6:
        figures["p6"] = measured(measure_p6)
    else:
        old = [row for row in figures.get("sizes", []) if options.rows and row["rows"] != options.rows]
        figures["sizes"] = old + measure_sizes(options)
        figures["sizes"].sort(key=lambda size: size["rows"])
    figures["members"] = MEMBERS
    show(figures)
    terminal.say(str(result.save("scoring", figures)))


def measure_sizes(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every draw of the sizes that were asked for."""
    sizes = [options.rows] if options.rows else list(DRAWS)
    found = []
    with tempfile.TemporaryDirectory() as name:
        peer = None
        if not options.without_autogluon:
            python = options.autogluon_python or build_environment(Path(name, "autogluon"))
            peer = Peer(python, Path(name))
        for rows in sizes:
            draws = []
            for seed in range(options.draws or DRAWS[rows]):
                draws.append(measure_draw(rows, seed, peer))
                terminal.say(f"{rows:,} rows, draw {seed}: " + said(draws[-1]["methods"]))
            found.append(
                {"rows": rows, "n": len(draws), "commit": ledger.commit(), "test_sets": TEST_SETS[rows]}
                | {"summary": summary(draws), "draws": draws}
            )
    return found


def measure_draw(rows: int, seed: int, peer: Peer | None) -> dict[str, Any]:
    """Fit every method on one draw, then score what they deliver on new rows."""
    load = round(os.getloadavg()[0], 1)
    probs, targets = draw_members(rows, MEMBERS, seed)
    outcomes = run_all(scored_rows(list(probs), targets, np.arange(rows) % FOLDS), peer)
    del probs
    truth = true_scores({name: outcome.deliver for name, outcome in outcomes.items()}, rows, seed)
    methods = {name: outcome._asdict() | {"truth": truth[name]} for name, outcome in outcomes.items()}
    for row in methods.values():
        del row["deliver"]
    return {"seed": seed, "load_average": load, "methods": methods}


def true_scores(delivered: Mapping[str, Deliver], rows: int, seed: int) -> dict[str, float]:
    """The mean score of each method over new test sets."""
    scores = []
    for number in range(TEST_SETS[rows]):
        probs, targets = draw_members(rows, MEMBERS, 10_000 + 100 * seed + number)
        new = list(probs)
        scores.append([METRIC.function(targets, labels(new), CLASSES) for labels in delivered.values()])
    return dict(zip(delivered, np.mean(scores, axis=0).tolist(), strict=True))


def summary(draws: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean and standard error over draws of each method's figures, differences paired within a draw."""
    found = {}
    luck = column(draws, PLAIN, "in_sample") - column(draws, PLAIN, "truth")
    for name in draws[0]["methods"]:
        truth, in_sample = column(draws, name, "truth"), column(draws, name, "in_sample")
        values = {"in_sample": in_sample, "truth": truth, "seconds": column(draws, name, "seconds")}
        values |= {"optimism": in_sample - truth, "optimism_without_luck": in_sample - truth - luck}
        if name != PEER:
            crossed = column(draws, name, "cross_fitted")
            values |= {"cross_fitted": crossed, "crossed_minus_truth": crossed - truth}
            values["crossed_minus_truth_without_luck"] = crossed - truth - luck
        values["truth_minus_ours"] = truth - column(draws, OURS, "truth")
        found[name] = {key: mean_and_error(value) for key, value in values.items()}
    return found


def column(draws: list[dict[str, Any]], name: str, key: str) -> np.ndarray:
    return np.array([draw["methods"][name][key] for draw in draws])


def mean_and_error(values: np.ndarray) -> dict[str, float]:
    error = float(values.std(ddof=1)) / len(values) ** 0.5
    return {"mean": float(values.mean()), "standard_error": error}


def said(methods: Mapping[str, Mapping[str, Any]]) -> str:
    """A draw in one line: the true scores."""
    own = methods[OURS]
    return (
        ", ".join(f"{name} {row['truth']:.4f}" for name, row in methods.items())
        + f" ({own['chosen']}; cross-fitted {own['cross_fitted']:.4f})"
    )


def measure_p6() -> dict[str, Any]:
    """Time everything that the ensemble stage computes, but no files; peak memory, the arrays included."""
    probs, targets = draw_members(P6_ROWS, MEMBERS, 0)
    oof = scored_rows(list(probs), targets, np.arange(P6_ROWS) % FOLDS)
    load, before, began = os.getloadavg()[0], peak_mb(), time.monotonic()
    found = cross_fitted(oof, METRIC)
    crossed = time.monotonic() - began
    names = {f"member {m}": "drawn" for m in range(MEMBERS)}
    statement.scores(found, oof, names, [f"class {k}" for k in range(CLASSES)], "drawn")
    return {
        "rows": P6_ROWS,
        "seconds": time.monotonic() - began,
        "cross_fitted_seconds": crossed,
        "peak_mb": peak_mb(),
        "peak_mb_drawn": before,
        "probs_mb": probs.nbytes / 2**20,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": round(load, 1),
        "commit": ledger.commit(),
    }


def show(figures: Mapping[str, Any]) -> None:
    """Print the tables."""
    for size in figures.get("sizes", []):
        title = (
            f"Simulated members: {MEMBERS} × {size['rows']:,} × {CLASSES}, macro-F1, n = {size['n']} draws"
        )
        rows = [[name, *cells(row, FIGURES)] for name, row in size["summary"].items()]
        terminal.table(title, ["method", *FIGURES.values()], rows)
        rows = [[name, *cells(row, GAPS)] for name, row in size["summary"].items()]
        terminal.table("Differences ± standard error", ["method", *GAPS.values()], rows)
    if "p6" in figures:
        p6 = figures["p6"]
        terminal.say(
            f"P6: {MEMBERS} × {p6['rows']:,} × {CLASSES}: {p6['seconds']:.0f} s, of which the cross-fitted "
            f"chain {p6['cross_fitted_seconds']:.0f} s; {p6['peak_mb']:,.0f} MB at most, the members' "
            f"{p6['probs_mb']:,.0f} MB included; {p6['cores']} cores, load {p6['load_average']}"
        )


def cells(row: Mapping[str, Mapping[str, float]], names: Mapping[str, str]) -> list[str]:
    shown = []
    for key in names:
        if key not in row:
            shown.append("")
        elif key == "seconds":
            shown.append(f"{row[key]['mean']:.1f}")
        else:
            sign = "+" if key in GAPS else ""
            shown.append(f"{row[key]['mean']:{sign}.4f} ± {row[key]['standard_error']:.4f}")
    return shown


if __name__ == "__main__":
    main()
