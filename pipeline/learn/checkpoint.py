"""Checkpoints of a fold: two generations, each with its sha256; the newest whole one counts."""

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from pipeline.artifacts import writer

GENERATIONS = ("a.ckpt", "b.ckpt")
DIGEST_BYTES = 64
FORMAT = 4  # of the state: what another one saved can't be gone on from


def save(
    folder: Path, step: int, identity: str, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]
) -> None:
    """Publish the state after `step` steps over the older generation.

    A file is the sha256 (64 hexadecimal digits) of the .safetensors that follows; `numbers` are JSON values,
    `identity` a digest of all that the training depends on.
    """
    content = json.dumps({"step": step, "identity": identity, **numbers}, sort_keys=True)
    body = safetensors.torch.save(_plain(tensors), metadata={"state": content})
    newest = load(folder, identity)
    name = GENERATIONS[0] if newest is None or newest["generation"] == GENERATIONS[1] else GENERATIONS[1]
    writer.publish_bytes(folder / name, hashlib.sha256(body).hexdigest().encode() + body)


def load(folder: Path, identity: str) -> dict[str, Any] | None:
    """Return {"step", "generation", "tensors", further numbers} of the newest whole checkpoint, or None.

    One of another identity (other data, another recipe) doesn't count.
    """
    states = [state for name in GENERATIONS if (state := _read(folder / name)) is not None]
    found = [state for state in states if state["identity"] == identity]
    return max(found, key=lambda state: state["step"], default=None)


def remove(folder: Path) -> None:
    """Delete both generations, once what they led to is published."""
    for name in GENERATIONS:
        writer.remove(folder / name)


def model_bytes(model: torch.nn.Module, facts: dict[str, Any]) -> bytes:
    """Serialise weights as .safetensors; `facts` are its one metadata key: several would change order."""
    return safetensors.torch.save(
        _plain(model.state_dict()), metadata={"foldblend": json.dumps(facts, sort_keys=True)}
    )


def _plain(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, body = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    numbers = json.loads(header["__metadata__"]["state"])
    return {"generation": path.name, "tensors": safetensors.torch.load(body), **numbers}
