"""Checkpoints: bit for bit, two generations, and never one that is torn, flipped or somebody else's."""

import hashlib
import json

import pytest
import safetensors.torch
import torch
from torch import nn

from pipeline.learn import checkpoint

TENSORS = {
    "half": torch.tensor([1.5, -0.0, float("inf"), 3e-39]).bfloat16(),
    "count": torch.tensor(2**53 + 1),
    "counts": torch.arange(6).reshape(2, 3),
    "nan": torch.tensor([float("nan"), 1e-45]),
    "empty": torch.zeros(0, 4),
    "last": torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).to(
        memory_format=torch.channels_last
    ),
}
NUMBERS = {"sums": {"loss": 0.1 + 0.2, "images": 7}, "scaler": {}}


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    plain = [x.contiguous().reshape(-1).view(torch.uint8) for x in (a, b)]
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(*plain)


def save(folder, step, identity="me", value=0.0):
    checkpoint.save(folder, step, identity, {"w": torch.tensor([value])}, {})


def step_of(folder, identity="me"):
    found = checkpoint.load(folder, identity)
    return None if found is None else (found["step"], found["tensors"]["w"].item())


def test_round_trip_bit_for_bit(tmp_path):
    checkpoint.save(tmp_path, 3, "me", TENSORS, NUMBERS)
    found = checkpoint.load(tmp_path, "me")
    assert found is not None
    assert found["step"] == 3
    assert {name: found[name] for name in NUMBERS} == NUMBERS
    assert found["tensors"].keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert same_bits(found["tensors"][name], value), name


def test_a_file_is_a_digest_and_plain_safetensors(tmp_path):
    checkpoint.save(tmp_path, 1, "me", TENSORS, NUMBERS)
    data = (tmp_path / "a.ckpt").read_bytes()
    body = data[64:]
    assert data[:64].decode() == hashlib.sha256(body).hexdigest()
    assert safetensors.torch.load(body).keys() == TENSORS.keys()
    header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    assert len(header["__metadata__"]) == 1


def test_equal_states_are_equal_bytes(tmp_path):
    for folder in (tmp_path / "x", tmp_path / "y"):
        checkpoint.save(folder, 1, "me", dict(TENSORS), dict(NUMBERS))
    assert (tmp_path / "x/a.ckpt").read_bytes() == (tmp_path / "y/a.ckpt").read_bytes()


def test_two_generations_take_turns(tmp_path):
    written = []
    for step in (1, 2, 3, 4):
        save(tmp_path, step, value=step)
        assert step_of(tmp_path) == (step, step)
        written.append({p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()})
    assert set(written[-1]) == {"a.ckpt", "b.ckpt"}
    assert written[1]["a.ckpt"] == written[0]["a.ckpt"]
    assert written[2]["b.ckpt"] == written[1]["b.ckpt"]
    assert written[3]["a.ckpt"] == written[2]["a.ckpt"]


@pytest.mark.parametrize("damage", ["torn", "flipped", "zeroed", "emptied", "gone"])
def test_the_older_one_counts_when_the_newest_is_damaged(tmp_path, damage):
    save(tmp_path, 1, value=10)
    save(tmp_path, 2, value=20)
    harm(tmp_path / "b.ckpt", damage)
    assert step_of(tmp_path) == (1, 10)
    save(tmp_path, 2, value=21)
    assert step_of(tmp_path) == (2, 21)
    assert step_of_file(tmp_path / "a.ckpt") == 1  # the good one wasn't written over
    harm(tmp_path / "a.ckpt", damage)
    harm(tmp_path / "b.ckpt", damage)
    assert step_of(tmp_path) is None


def harm(path, damage):
    data = path.read_bytes()
    flipped = bytes([*data[:-2], data[-2] ^ 1, data[-1]])
    contents = {"torn": data[:-3], "flipped": flipped, "zeroed": bytes(len(data)), "emptied": b""}
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(contents[damage])


def step_of_file(path):
    body = path.read_bytes()[64:]
    header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    return json.loads(header["__metadata__"]["state"])["step"]


def test_of_other_data_or_recipe_doesnt_count(tmp_path):
    assert step_of(tmp_path) is None
    save(tmp_path, 9, identity="other")
    assert step_of(tmp_path) is None
    save(tmp_path, 1, value=5)
    assert step_of(tmp_path) == (1, 5)


def test_removed_with_both_generations(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    checkpoint.remove(tmp_path)
    checkpoint.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight


def test_tied_weights_are_kept(tmp_path):
    model = Tied()
    checkpoint.save(tmp_path, 1, "me", model.state_dict(), {})
    found = checkpoint.load(tmp_path, "me")
    assert found is not None
    other = Tied()
    other.load_state_dict(found["tensors"])
    other.load_state_dict(safetensors.torch.load(checkpoint.model_bytes(model, {})))
    assert torch.equal(other.second.weight, model.first.weight)


def test_a_models_bytes_hold_its_facts_under_one_key():
    data = checkpoint.model_bytes(nn.Linear(2, 2), {"member": "é", "fold": 1})
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert list(header["__metadata__"]) == ["foldblend"]
    assert json.loads(header["__metadata__"]["foldblend"]) == {"member": "é", "fold": 1}
