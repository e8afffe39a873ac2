"""How a run computes: what is fixed isn't timed, what was chosen is replayed, other weights are refused."""

import dataclasses
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from pipeline.artifacts import lock
from pipeline.config import Member, Train, load
from pipeline.errors import DataError, LockedError, UsageError
from pipeline.learn import run_record, timing
from pipeline.learn.models import build_model
from pipeline.learn.run_record import empty_model, initial_model, open_run, recorded_choice
from pipeline.learn.runtime import FORMATS, Choice, build_runtime, find_device
from pipeline.learn.timing import FAR, GLANCE, Speed, Step, choose, time_step
from pipeline.learn.weights import RANDOM
from tests import tiny

pytestmark = pytest.mark.usefixtures("torch_threads")
FIXED = Train(size=32, batch=4, threads=1, dtype="float32", memory_format="contiguous", device="cpu")


def model():
    return build_model("test_resnet", 3, RANDOM, seed_key=0, size=32)


def test_what_is_fixed_isnt_timed():
    fixed = Choice(1, "float32", "float32", "contiguous")
    assert choose(model(), FIXED, 3) == (fixed, {})


def test_the_fastest_of_what_was_timed_is_chosen():
    net = model()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    choice, speeds = choose(net, dataclasses.replace(FIXED, dtype="auto", memory_format="auto"), 3)
    formats, dtypes = ("contiguous", "channels_last"), ("float32", "bfloat16")
    names = {f"{phase} {d} {m}" for phase in ("train", "predict") for d in dtypes for m in formats}
    assert speeds.keys() == names
    own = {n: speed for n, speed in speeds.items() if n.endswith(choice.memory_format)}
    assert speeds[f"train {choice.dtype} {choice.memory_format}"] == max(
        speed for name, speed in speeds.items() if name.startswith("train")
    )
    assert own[f"predict {choice.inference_dtype} {choice.memory_format}"] == max(
        speed for name, speed in own.items() if name.startswith("predict")
    )
    assert choice.threads == 1
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_one_free_choice_keeps_the_fixed_one():
    choice, speeds = choose(model(), dataclasses.replace(FIXED, memory_format="auto"), 3)
    assert choice.dtype == choice.inference_dtype == "float32"
    assert len(speeds) == 4


def test_what_is_far_slower_at_a_glance_never_computes_a_whole_batch():
    computed: list[int] = []
    time_step(computed.append, 32, 0.0)
    assert set(computed) == {GLANCE, 32}
    computed.clear()
    glance, whole = time_step(computed.append, 32, float("inf"))
    assert set(computed) == {GLANCE}
    assert whole == glance


def test_far_slower_means_than_the_fastest_so_far_of_the_same_phase(monkeypatch):
    glances = iter([8.0, 80.0, 1.0, 10.0, 40.0, 20.0, 4.0, 4.0])  # training and predicting in turn
    bars = []

    def timed(step: Step, images: int, bar: float) -> Speed:
        bars.append(bar)
        return Speed(next(glances), 1.0)

    monkeypatch.setattr(timing, "time_step", timed)
    choose(model(), dataclasses.replace(FIXED, dtype="auto", memory_format="auto"), 3)
    assert bars == [0.0, 0.0, 8 / FAR, 80 / FAR, 8 / FAR, 80 / FAR, 40 / FAR, 80 / FAR]


def test_a_batch_that_is_no_larger_than_the_glance_is_timed_once():
    computed: list[int] = []
    glance, whole = time_step(computed.append, 1, 0.0)
    assert set(computed) == {1}
    assert glance == whole


@pytest.mark.parametrize("name", ["tpu", "cuda:99"])
def test_an_unknown_device_is_named(name):
    with pytest.raises(UsageError, match=name):
        find_device(name)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("shape", [(2, 32, 32), (1, 7, 5), (3, 1, 1)])
def test_pixels_are_normalised_channel_by_channel_in_the_chosen_format(memory_format, shape):
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=draw)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4)))
    before = pixels.clone()
    images = build_runtime(FIXED, Choice(1, "float32", "float32", memory_format)).inputs(pixels, mean, std)
    channels = [(pixels[..., c].float() - mean[c]) / std[c] for c in range(3)]
    assert torch.equal(images, torch.stack(channels, dim=1))
    assert images.is_contiguous(memory_format=FORMATS[memory_format])
    assert torch.equal(pixels, before)


def test_threads_are_the_recorded_ones():
    for count in (2, 1):
        runtime = build_runtime(FIXED, Choice(count, "float32", "float32", "contiguous"))
        assert torch.get_num_threads() == count
        assert (runtime.device, runtime.workers) == ("cpu", 0)
    assert build_runtime(dataclasses.replace(FIXED, workers=3), runtime.choice).workers == 3


def opened(folder, member=None, **changes):
    config = tiny.configure(folder)
    return open_run(config, member or dataclasses.replace(config.members[0], **changes), folder / "run", 3)


def test_the_second_start_replays_the_first(tmp_path, monkeypatch):
    free = dataclasses.replace(FIXED, dtype="auto")
    first = opened(tmp_path, train=free)
    written = tiny.snapshot(tmp_path)
    monkeypatch.setattr(run_record, "choose", None)  # timing again would fail
    assert opened(tmp_path, train=free) == first
    assert tiny.snapshot(tmp_path) == written
    assert recorded_choice(tmp_path / "run") == first.choice


def test_config_toml_reads_back_as_the_member(tmp_path):
    config = tiny.configure(tmp_path)
    open_run(config, config.members[1], tmp_path / "run", 3)
    found = load(str(tmp_path / "run/config.toml"))
    assert found.members == config.members[1:]
    assert (found.data, found.folds, found.predict) == (config.data, config.folds, config.predict)


def test_environment_names_the_weights_and_what_changes_bits(tmp_path):
    opened(tmp_path)
    content = json.loads((tmp_path / "run/environment.json").read_bytes())
    assert content["weights"]["kind"] == "random"
    assert content["choice"].keys() == {"threads", "dtype", "inference_dtype", "memory_format"}
    assert content["batch"] == 8
    assert content["libraries"]["torch"] == torch.__version__.partition("+")[0]


def test_other_weights_under_a_begun_run_are_refused(tmp_path):
    file = tmp_path / "w.safetensors"
    for seed in (0, 1):
        state = build_model("test_resnet", 5, RANDOM, seed_key=seed).state_dict()
        file.write_bytes(safetensors.torch.save(state))
        member = Member(name="a", model="test_resnet", weights=str(file), train=FIXED)
        if seed == 0:
            assert opened(tmp_path, member) == opened(tmp_path, member)
    with pytest.raises(DataError, match=r"run began with .*sha256.*remove .*run to begin anew"):
        opened(tmp_path, member)


def test_a_torn_record_is_named(tmp_path):
    opened(tmp_path)
    (tmp_path / "run/environment.json").write_text('{"weights": {}, "cho')
    with pytest.raises(DataError, match=r"environment\.json can't be read"):
        opened(tmp_path)
    (tmp_path / "run/environment.json").unlink()
    with pytest.raises(DataError, match=r"environment\.json is missing"):
        recorded_choice(tmp_path / "run")


def test_only_one_process_decides(tmp_path):
    with lock.hold(tmp_path / "run/environment.lock", "it"), pytest.raises(LockedError, match="start of run"):
        opened(tmp_path)


def test_a_size_for_prediction_that_cant_be_taken_is_said_before_training(tmp_path):
    train = dataclasses.replace(FIXED, test_size=40)
    with pytest.raises(UsageError, match="test_vit can't take images of 40 px"):
        opened(tmp_path, model="test_vit", train=train)
    assert not (tmp_path / "run/environment.json").exists()


def test_every_fold_starts_from_the_same_bits_and_a_seed_from_others():
    member = tiny.configure(Path("x")).members[0]
    other = dataclasses.replace(member, train=dataclasses.replace(member.train, seed=1))
    first, again, third = (initial_model(m, RANDOM, 3).state_dict() for m in (member, member, other))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)
    assert empty_model(member, 3).state_dict().keys() == first.keys()
