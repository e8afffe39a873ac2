"""What every result file says beside its figures: the machine, the versions, the commit, the date."""

import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

from pipeline.artifacts import manifest, writer
from pipeline.leaderboard import ledger

RESULTS = Path(__file__).parent / "results"


def save(name: str, figures: dict[str, Any]) -> Path:
    """Write benchmarks/results/NAME.json and return its path."""
    content = {
        "benchmark": name,
        "date": datetime.date.today().isoformat(),
        "commit": ledger.commit(),
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "processor": _processor()},
        "libraries": {library: manifest.version_of(library) for library in manifest.LIBRARIES},
        **figures,
    }
    path = RESULTS / f"{name}.json"
    writer.publish_bytes(path, json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n")
    return path


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
