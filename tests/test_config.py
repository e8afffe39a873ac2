"""The configuration: which file counts, precedence, what an error says, what a run's digest holds."""

import os
import subprocess
import sys
import tomllib
from typing import get_args, get_type_hints

import pytest

from pipeline import config
from pipeline.artifacts import manifest
from pipeline.class_balance import SAMPLER_POWERS
from pipeline.config import Member, Train, View
from pipeline.dataset.augment import RECIPES
from pipeline.errors import UsageError
from pipeline.learn.tta import VIEWS

TWO_MEMBERS = """
[data]
name = "mine"
[train]
epochs = 20
lr = 0.01
[[members]]
model = "resnet50"
train.lr = 0.1
train.size = 160
[[members]]
name = "second"
model = "resnet50"
"""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PIPELINE_CONFIG", raising=False)


def load(tmp_path, text=TWO_MEMBERS, *overrides):
    (tmp_path / "my.toml").write_text(text)
    return config.load(str(tmp_path / "my.toml"), overrides)


def refused(tmp_path, text, *overrides) -> str:
    with pytest.raises(UsageError) as raised:
        load(tmp_path, text, *overrides)
    assert raised.value.exit_code == 2
    return str(raised.value)


def test_precedence_default_train_members_command_line(tmp_path):
    first, second = load(tmp_path, TWO_MEMBERS, "train.size=96").members
    assert (first.name, second.name) == ("resnet50", "second")
    assert (first.train.batch, second.train.batch) == (Train().batch, Train().batch)  # default
    assert (first.train.epochs, second.train.epochs) == (20, 20)  # [train]
    assert (first.train.lr, second.train.lr) == (0.1, 0.01)  # [[members]] over [train]
    assert (first.train.size, second.train.size) == (96, 96)  # the command line over all


def test_which_configuration_counts(tmp_path, monkeypatch):
    assert config.load().data.name == "sample"
    own = TWO_MEMBERS.replace("mine", "{}")
    (tmp_path / "competition.toml").write_text(own.format("folder"))
    assert config.load().data.name == "folder"
    (tmp_path / "other.toml").write_text(own.format("environment"))
    monkeypatch.setenv("PIPELINE_CONFIG", "other.toml")
    assert config.load().data.name == "environment"
    (tmp_path / "chosen.toml").write_text(own.format("chosen"))
    assert config.load("chosen.toml").data.name == "chosen"
    assert config.load("sample").data.name == "sample"


def test_set_but_empty_variable_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("PIPELINE_CONFIG", "")
    assert config.load().data.name == "sample"


@pytest.mark.parametrize("preset", sorted(path.stem for path in config.PRESETS.glob("*.toml")))
def test_every_preset_is_valid(preset):
    assert config.load(preset).members


def test_name_that_is_neither_file_nor_preset_lists_the_presets():
    with pytest.raises(UsageError, match=r"--config simple: no such file.*sample"):
        config.load("simple")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.epochs=3", 3),
        ("train.epochs = 3", 3),
        ("train.augment=medium", "medium"),
        ('train.augment="medium"', "medium"),
        ("train.augment=it's", "it's"),
        ("train.ema=false", False),
        ("train.lr=2e-3", 0.002),
        ("train.size=[1, 2]", [1, 2]),
    ],
)
def test_overrides_are_toml_and_a_bare_word_is_a_string(override, expected):
    assert list(config.parse_override(override)["train"].values()) == [expected]


def test_overrides_reach_every_table(tmp_path):
    found = load(tmp_path, TWO_MEMBERS, "folds.count=3", "predict.views=['identity']", "paths.runs=elsewhere")
    assert (found.folds.count, found.predict.views, found.paths.runs) == (3, ("identity",), "elsewhere")


@pytest.mark.parametrize("override", ["epochs", "=3", "", "train.x.'=1"])
def test_what_is_no_override_says_how_to_write_one(tmp_path, override):
    assert "is no override" in refused(tmp_path, TWO_MEMBERS, override)


@pytest.mark.parametrize(
    ("text", "overrides", "expected"),
    [
        (TWO_MEMBERS, ["train.epoch=3"], "'members[0].train.epoch': did you mean 'epochs'?"),
        (TWO_MEMBERS, ["fold.count=3"], "'fold': did you mean 'folds'?"),
        (TWO_MEMBERS, ["data.matric=accuracy"], "'data.matric': did you mean 'metric'?"),
        (TWO_MEMBERS, ["train.zzz=1"], "known keys: epochs, batch"),
        (TWO_MEMBERS, ["train.epochs=many"], 'train.epochs = "many"'),
        (TWO_MEMBERS, ["train.epochs=0"], "greater than or equal to 1"),
        (TWO_MEMBERS, ["train.epochs=2.5"], "train.epochs = 2.5"),
        (TWO_MEMBERS, ["train.dtype=int8"], "'float32', 'bfloat16'"),
        (TWO_MEMBERS, ["train.lr=nan"], "train.lr"),
        (TWO_MEMBERS, ["folds.count=1"], "folds.count = 1"),
        (TWO_MEMBERS, ["members=[]"], "can't be overridden"),
        (TWO_MEMBERS, ["data.name=../up"], 'data.name = "../up"'),
        ("[data]\nname='a'\n", [], "[[members]] is missing"),
        ("[[members]]\nmodel='resnet50'\n", [], "data is missing"),
        ("members = []\n[data]\nname='a'\n", [], "[[members]] is missing"),
        (TWO_MEMBERS, ["data.name=.."], 'data.name = ".."'),
        (TWO_MEMBERS, ["train.augment=ligth"], "'light'"),
        (TWO_MEMBERS, ['predict.views=["identity", "flip"]'], "'hflip'"),
        (TWO_MEMBERS, ['predict.views=["hflip", "hflip"]'], "names a view twice"),
        (TWO_MEMBERS.replace('name = "second"', ""), [], "two members are called 'resnet50'"),
        (TWO_MEMBERS + "[data]\n", [], "no valid TOML"),
        ("[data]\nname='a'\nname='b'\n", [], "no valid TOML"),
        (TWO_MEMBERS, ["data.kaggle=digits", "data.drawn={}"], "keep one"),
    ],
)
def test_error_names_the_key_what_is_allowed_and_the_nearest(tmp_path, text, overrides, expected):
    message = refused(tmp_path, text, *overrides)
    assert expected in message
    assert str(tmp_path / "my.toml") in message or "overridden" in message


def test_two_mistakes_are_both_told_and_each_once(tmp_path):
    message = refused(tmp_path, TWO_MEMBERS, "train.epoch=3", "folds.count=1")
    assert message.count("did you mean 'epochs'") == 1
    assert "folds.count" in message


def test_time_folds_need_a_column_of_times_or_a_file_with_blocks(tmp_path):
    assert "data.time_column" in refused(tmp_path, TWO_MEMBERS, "folds.kind=time")
    (tmp_path / "time.toml").write_text(TWO_MEMBERS)
    for more in ("data.time_column=taken", "folds.file=blocks.csv"):
        assert config.load(str(tmp_path / "time.toml"), ["folds.kind=time", more]).folds.kind == "time"


def test_infinite_number_is_refused(tmp_path):
    assert "train.lr" in refused(tmp_path, TWO_MEMBERS, "train.lr=inf")


def test_file_with_a_byte_order_mark_and_one_that_is_no_text(tmp_path):
    (tmp_path / "bom.toml").write_text("\ufeff" + TWO_MEMBERS, encoding="utf-8")
    assert config.load(str(tmp_path / "bom.toml")).data.name == "mine"
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"bytes\.toml is no valid TOML"):
        config.load(str(tmp_path / "bytes.toml"))


def test_recipe_holds_what_differs_from_the_defaults_and_nothing_of_the_machine():
    train = Train(epochs=Train().epochs, lr=0.5, workers=4, device="cpu", max_minutes=3.0, seed=1)
    assert config.recipe(Member(name="any", model="resnet50", train=train)) == {
        "model": "resnet50",
        "train.lr": 0.5,
        "train.seed": 1,
    }
    augment = ({"name": "HorizontalFlip", "p": 0.5},)
    assert config.recipe(Member(name="a", model="m", weights="package", train=Train(augment=augment))) == {
        "model": "m",
        "weights": "package",
        "train.augment": augment,
    }


def test_golden_digest_of_a_recipe_survives_new_releases():
    # A change of this value makes every run of every user stale: add fields with defaults instead.
    member = Member(name="rn50", model="resnet50", train=Train(epochs=3, lr=0.002, augment="medium"))
    assert manifest.digest(config.recipe(member)) == "732c93365022ce99"


def test_side_of_test_images_is_the_training_side_unless_set():
    assert config.predict_side(Train(size=96)) == 96
    assert config.predict_side(Train(size=96, test_size=128)) == 128


def test_printed_configuration_reads_back_to_the_same(tmp_path):
    command = [sys.executable, "-m", "pipeline.config", "folds.count=3", "train.augment=[{name='A', p=0.5}]"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"}
    )
    overrides = ["folds.count=3", "train.augment=[{name='A', p=0.5}]"]
    (tmp_path / "printed.toml").write_text(done.stdout)
    assert config.load(str(tmp_path / "printed.toml")) == config.load(None, overrides)
    assert tomllib.loads(done.stdout)["folds"]["count"] == 3
    assert "# another seed shuffles otherwise" in done.stdout


def test_wrong_override_on_the_command_line_is_one_message_and_exit_code_2():
    command = [sys.executable, "-m", "pipeline.config", "train.epoch=3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_the_names_in_the_configuration_are_those_of_the_registries():
    assert set(get_args(View)) == set(VIEWS)
    hints = get_type_hints(Train)
    assert set(get_args(get_args(hints["augment"])[0])) == set(RECIPES)
    assert set(get_args(hints["sampler"])) == set(SAMPLER_POWERS)


def test_recipes_that_contradict_themselves_are_refused():
    for train, words in [
        ({"sampler": "class-balanced", "loss": "balanced-softmax"}, "both balance the classes"),
        ({"sizes": [96, 8], "epochs": 4}, "at least 16 pixels"),
        ({"sizes": [96, 128, 160], "epochs": 2}, "3 sides for 2 epochs"),
    ]:
        raw = {"data": {"name": "x"}, "members": [{"model": "resnet50", "train": train}]}
        with pytest.raises(UsageError, match=words):
            config.resolve(raw, {}, "test")
