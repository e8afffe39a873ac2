"""Every preset: it loads, its models and weights exist, its recipes work, its head says what it is."""

import re
import tomllib
from dataclasses import replace

import pytest
import timm

from pipeline import config
from pipeline.artifacts import paths
from pipeline.dataset.augment import build_augment
from pipeline.learn import weights
from pipeline.learn.tta import VIEWS
from pipeline.score.metrics import METRICS
from tests import tiny, tiny_vgg

NAMES = sorted(path.stem for path in config.PRESETS.glob("*.toml"))
each_preset = pytest.mark.parametrize("name", NAMES)


def test_presets_are_found():
    assert {"sample", "ip102", "seed-history"} <= set(NAMES)


@each_preset
def test_a_preset_loads_and_names_what_exists(name):
    found = config.load(name)
    assert found.data.name == name
    assert found.data.metric in METRICS
    assert set(found.predict.views) <= set(VIEWS)
    for member in found.members:
        weights.check_model(member.model)
        assert build_augment(member.train.augment, member.train.size) is not None


@each_preset
def test_weights_by_name_can_be_had(name):
    for member in config.load(name).members:
        architecture, _, tag = member.model.partition(".")
        if member.weights == "package":
            assert architecture in weights.PACKAGES
        if member.weights == "hub":
            assert tag, "the hub has several weights of a model: the preset names which"
            assert member.model in timm.list_pretrained(f"{architecture}.*")
            assert timm.get_pretrained_cfg(member.model).license in ("apache-2.0", "bsd-3-clause", "mit")


@each_preset
def test_the_head_is_a_record_of_the_experiment(name):
    text = (config.PRESETS / f"{name}.toml").read_text()
    head = text[: text.index("\n[")]
    assert all(line.startswith("#") for line in head.splitlines())
    assert re.findall(r"\b(Command|Score|Time|On): ", head) == ["Command", "Score", "Time", "On"]
    command = "./run.sh" if name == config.SAMPLE else f"./run.sh --config {name}"
    assert f"# Command: {command}\n" in head


def test_ip102_is_the_recipe_that_its_head_reckons_with():
    found = config.load("ip102")
    assert {member.train.size: member.model.partition(".")[0] for member in found.members} == {
        224: "resnet50",
        300: "tf_efficientnetv2_s",
    }
    for member in found.members:
        images = 52_603 * (found.folds.count - 1) * member.train.epochs
        assert images == pytest.approx(2.1e6, rel=0.01)
        assert member.train.size == timm.get_pretrained_cfg(member.model).input_size[-1]
    assert found.data.use_val == "train"
    assert found.data.kaggle_dataset == "rtlmhjbn/ip02-dataset"


def test_each_system_of_the_seed_history_trains_and_stands_in_one_table(competition, capsys):
    """Its recipes as they are, on models and images small enough for a test."""
    raw = tomllib.loads((config.PRESETS / "seed-history.toml").read_text())
    models = {"vgg16": tiny_vgg.NAME, "resnet50": "test_resnet"}
    small = {"size": 32, "epochs": 2, "threads": 1, "dtype": "float32", "memory_format": "contiguous"}
    members = [
        {
            "name": member["name"],
            "model": models[member["model"].partition(".")[0]],
            "weights": "random",
            "train": {**raw["train"], **member["train"], **small},
        }
        for member in raw["members"]
    ]
    found = tiny.configure(competition, members=members)
    names = ["vgg16", "resnet50-first", "resnet50-last", "default"]
    assert [member.name for member in found.members] == names
    assert found.members[0].train.optimizer == "rmsprop"
    assert found.members[2].train.batch == 128
    assert [item["name"] for item in found.members[2].train.augment] == ["RandomBrightnessContrast", "Rotate"]
    alike = replace(config.load("ip102").members[0].train, size=32, epochs=2)
    shown = config.load("seed-history").members[3].train
    assert replace(shown, size=32, epochs=2) == alike
    for stage in ("train", "predict", "ensemble", "report"):
        tiny.run(stage, found)
    table = capsys.readouterr().out.split("Cross-validation")[-1]
    page = paths.report(found).read_text()
    for name in (*names, "commonest class"):
        assert re.search(rf"^{name} +\d\.\d{{4}} ", table, re.M), name
        assert f'class="text">{name}<small>' in page
