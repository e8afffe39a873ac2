"""A fold's log.jsonl: one line an event, appended and synced; of an epoch done twice the last line counts."""

import json
from pathlib import Path
from typing import Any

from pipeline.artifacts import writer


def append(path: Path, event: str, **fields: object) -> None:
    """Add an event: start, epoch (with its loss, speed and scores), not finite, end."""
    writer.append_line(path, json.dumps({"event": event, **fields}))


def read_epochs(path: Path) -> list[dict[str, Any]]:
    """Return the epochs in order; an epoch that was trained again after a stop is there once."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    epochs: dict[int, dict[str, Any]] = {}
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("event") == "epoch" and isinstance(event.get("epoch"), int):
            epochs[event["epoch"]] = event
    return [epochs[number] for number in sorted(epochs)]
