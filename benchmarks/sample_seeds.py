"""Does the blend beat its best member, and is its score believed? The sample competition, drawn with 5 seeds.

python -m benchmarks.sample_seeds [FOLDER]              runs are kept in FOLDER; some 5 minutes a seed
python -m benchmarks.sample_seeds [FOLDER] --seeds 0    only these; the result's other rows are kept
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import result
from pipeline import terminal
from pipeline.artifacts import manifest
from pipeline.leaderboard import ledger

SEEDS = range(5)


def main() -> None:
    """Run the chain for each seed in a folder of its own, print the table, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="where the runs are kept; default: a new one")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="which to measure now")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    kept = (manifest.read_json(result.RESULTS / "sample_seeds.json") or {}).get("seeds", [])
    measured = {row["seed"]: row for row in kept if row["seed"] not in options.seeds}
    measured |= {seed: _run(folder / f"s{seed}", seed) for seed in options.seeds}
    found = [measured[seed] for seed in sorted(measured)]
    gains = [row["cross_fitted"] - row["best_member"] for row in found]
    inside = sum(row["low"] <= row["true_score"] <= row["high"] for row in found)
    columns = [
        "seed",
        "best member",
        "blend, cross-fitted",
        "gain",
        "true score",
        "expected on the test rows",
    ]
    rows = [
        [
            str(row["seed"]),
            f"{row['best_member']:.4f} ({row['best_name']})",
            f"{row['cross_fitted']:.4f}",
            f"{gain:+.4f}",
            f"{row['true_score']:.4f}",
            f"{row['low']:.4f}–{row['high']:.4f}",
        ]
        for row, gain in zip(found, gains, strict=True)
    ]
    terminal.table("Sample data (drawn), macro-F1", columns, rows)
    mean, spread = statistics.mean(gains), statistics.stdev(gains)
    terminal.say(f"gain of the blend {mean:+.4f} ± {spread / len(gains) ** 0.5:.4f} (n = {len(gains)})")
    terminal.say(f"true score inside the expected range: {inside} of {len(found)}")
    figures = {"n": len(found), "gain_mean": mean, "gain_sd": spread, "inside": inside, "seeds": found}
    terminal.say(str(result.save("sample_seeds", figures)))


def _run(folder: Path, seed: int) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pipeline", "--config", "sample", f"data.drawn.seed={seed}"]
    subprocess.run(command, cwd=folder, check=True)
    scores = json.loads((folder / "runs/sample/ensemble/scores.json").read_bytes())
    best = max(scores["members"], key=lambda name: scores["members"][name]["oof"])
    return {
        "seed": seed,
        "commit": ledger.commit(),
        "best_name": best,
        "best_member": scores["members"][best]["oof"],
        "members": {name: member["oof"] for name, member in scores["members"].items()},
        "cross_fitted": scores["cross_fitted"],
        "standard_error": scores["standard_error"],
        "true_score": scores["true_score"],
        "low": scores["expected"]["low"],
        "high": scores["expected"]["high"],
    }


if __name__ == "__main__":
    main()
