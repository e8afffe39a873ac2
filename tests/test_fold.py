"""One fold's training: stopped anywhere and run again it ends with the same bits; a bad loss stops it."""

import shutil
import signal

import numpy as np
import pytest
import torch

from pipeline.artifacts import writer
from pipeline.dataset.folds.folds_file import load_folds
from pipeline.errors import Interrupted, ResourceError
from pipeline.learn import checkpoint, fold
from tests.trainer import Trainer

EMA = {"epochs": 15, "batch": 3, "ema": True}  # 105 steps: enough for an average
SHORT = {"epochs": 3, "batch": 6, "dropout": 0.3, "augment": "medium"}
CASES = {
    "resnet, ema": ("test_resnet", "channels_last", EMA),
    "resnet": ("test_resnet", "channels_last", {**SHORT, "ema": False}),
    "efficientnet": ("test_efficientnet", "channels_last", SHORT),
    "efficientnet, ema": ("test_efficientnet", "contiguous", EMA),
    "vit": ("test_vit", "contiguous", SHORT),
    "vit, channels_last": ("test_vit", "channels_last", SHORT),
    "convnext, stages": ("test_convnext", "contiguous", {**SHORT, "train_stages": 2, "drop_path": 0.2}),
    "mixed, resized": ("test_resnet", "channels_last", {
        **SHORT, "mixup": 0.4, "cutmix": 1.0, "unmixed_epochs": 1, "sizes": (32, 48), "micro_batch": 4}),
    "frozen first, plateau": ("test_efficientnet", "channels_last", {
        **SHORT, "epochs": 5, "freeze_epochs": 1, "schedule": "plateau", "patience_epochs": 1}),
    "ldam, layers": ("test_vit", "contiguous", {
        **SHORT, "epochs": 5, "loss": "ldam", "layer_decay": 0.7, "optimizer": "lamb"}),
    "best epoch": ("test_resnet", "channels_last", {**EMA, "select": "best"}),
    "balanced, sgd": ("test_resnet", "channels_last", {
        **SHORT, "sampler": "class-balanced", "loss": "focal", "optimizer": "sgd", "schedule": "step"}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def hang_up(torch_threads):
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def trainer_of(finished, folder, name="resnet", **recipe):
    model, memory_format, changes = CASES[name]
    return Trainer(finished, folder, model, memory_format, **{**changes, **recipe})


@pytest.mark.parametrize("name", CASES)
def test_stopped_and_run_again_gives_the_same_bits(name, finished, tmp_path):
    whole, stopped = (trainer_of(finished, tmp_path / x, name) for x in ("whole", "stopped"))
    steps = -(-len(whole.data.train_rows) // whole.member.train.batch)
    total = steps * whole.member.train.epochs
    wanted = whole()
    # the first step, within an epoch, the end of an epoch, the one before the last
    assert stopped.through([1, steps - 1, steps, steps + 1, 2 * steps, total - 1]) == wanted
    assert stopped.steps == whole.steps == total
    losses = [[event["loss"] for event in trainer.events("epoch")] for trainer in (whole, stopped)]
    assert losses[0] == losses[1]
    starts = [event["step"] for event in stopped.events("start")]
    assert starts == [0, 1, steps - 1, steps, steps + 1, 2 * steps, total - 1]


def test_a_kill_goes_on_from_the_last_checkpoint_and_a_bad_one_from_the_older(finished, tmp_path):
    trainer = trainer_of(finished, tmp_path, checkpoint_minutes=1e-9)
    wanted = trainer_of(finished, tmp_path / "whole")()

    class Killed(BaseException):
        pass

    def kill(event, path):
        if (event, path.name, trainer.steps) == ("replace", "a.ckpt", 7):
            raise Killed

    writer.on_event = kill
    try:
        with pytest.raises(Killed):
            trainer()
    finally:
        writer.on_event = None
    shutil.copytree(tmp_path, tmp_path.with_name("both bad"))
    newest = checkpoint.load(tmp_path, "me")
    assert newest is not None
    assert newest["step"] == 6
    (tmp_path / newest["generation"]).write_bytes(b"torn")
    assert trainer() == wanted
    assert [event["step"] for event in trainer.events("start")] == [0, 5]
    trainer.folder = tmp_path.with_name("both bad")
    for generation in checkpoint.GENERATIONS:
        (trainer.folder / generation).write_bytes(b"torn")
    assert trainer() == wanted
    assert [event["step"] for event in trainer.events("start")] == [0]


def test_a_checkpoint_of_another_identity_is_not_gone_on_from(finished, tmp_path):
    trainer = trainer_of(finished, tmp_path)
    with pytest.raises(Interrupted):
        trainer([3], identity="other data")
    trainer()
    assert [event["step"] for event in trainer.events("start")] == [0]


def test_the_deadline_stops_with_a_checkpoint(finished, tmp_path):
    trainer = trainer_of(finished, tmp_path)
    with pytest.raises(Interrupted, match=r"max_minutes passed; saved after step 1 of \d+") as caught:
        trainer(deadline=0.0)
    assert caught.value.exit_code == 143
    assert trainer() == trainer_of(finished, tmp_path / "whole")()


def test_the_log_has_a_line_an_epoch(finished, tmp_path):
    trainer = trainer_of(finished, tmp_path, validate_epochs=2)
    trainer()
    epochs = trainer.events("epoch")
    assert [event["epoch"] for event in epochs] == [1, 2, 3]
    assert [("valid_score" in event, "valid_log_loss" in event) for event in epochs] == [
        (False, False), (True, True), (True, True)]  # fmt: skip
    for event in epochs:
        assert event["epochs"] == 3
        assert event["loss"] > 0
        assert event["lr"] > 0
        assert event["images_per_second"] > 0
    assert len(trainer.events("start")) == len(trainer.events("end")) == 1


def test_looking_at_the_validation_rows_changes_nothing(finished, tmp_path):
    often = trainer_of(finished, tmp_path / "often", validate_epochs=1)()
    assert often == trainer_of(finished, tmp_path / "never", validate_epochs=0)()


@pytest.mark.parametrize("change", [{"seed": 1}, {"lr": 0.002}, {"augment": "none"}, {"dropout": 0.0}])
def test_another_recipe_gives_other_bits(change, finished, tmp_path):
    one, other = trainer_of(finished, tmp_path / "one"), trainer_of(finished, tmp_path / "other", **change)
    assert one() != other()


def test_another_generator_state_gives_the_same_bits(finished, tmp_path):
    torch.manual_seed(1)
    one = trainer_of(finished, tmp_path / "one")()
    torch.manual_seed(2)
    np.random.seed(2)
    assert one == trainer_of(finished, tmp_path / "other")()


def test_training_learns(finished, tmp_path):
    trainer = trainer_of(finished, tmp_path, lr=0.003, augment="none", epochs=12, dropout=0.0)
    trainer()
    losses = [event["loss"] for event in trainer.events("epoch")]
    assert losses[-1] < losses[0] - 0.1


def _nan_loss(logits, targets):
    return torch.nn.functional.cross_entropy(logits, targets) * float("nan")


def _nan_gradient(logits, targets):
    # sqrt(0) has an infinite slope, and infinity times the 0 inside is no number.
    return torch.nn.functional.cross_entropy(logits, targets) + (0 * logits).sum().sqrt()


@pytest.mark.parametrize(
    ("bad", "words"), [(_nan_loss, "the loss is nan"), (_nan_gradient, "its gradient's norm nan")]
)
def test_what_isnt_finite_stops_before_its_step(bad, words, finished, tmp_path, monkeypatch):
    trainer = trainer_of(finished, tmp_path, checkpoint_minutes=1e-9)
    losses = iter([torch.nn.functional.cross_entropy] * 3 + [bad])

    def loss(logits, targets):
        return next(losses)(logits, targets).expand(len(targets))

    monkeypatch.setattr(fold, "build_loss", lambda *recipe: loss)
    with pytest.raises(ResourceError, match=rf"m fold 0: .*{words}.*at step 4 .*train\.lr") as caught:
        trainer()
    assert caught.value.exit_code == 5
    saved = checkpoint.load(tmp_path, "me")
    assert saved is not None
    assert saved["step"] == 3
    assert all(torch.isfinite(value).all() for value in saved["tensors"].values())
    event = trainer.events("not finite")[0]
    assert "nan" in (event["loss"], event["norm"])
    assert set(event["ids"]) <= set(load_folds(trainer.config).ids)
    assert 0 < len(event["ids"]) <= trainer.member.train.batch


def test_a_disk_that_is_too_small_is_said_before_the_first_step(finished, tmp_path, monkeypatch):
    trainer = trainer_of(finished, tmp_path / "run")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(ResourceError, match="checkpoints of m fold 0 needs"):
        trainer()
    assert trainer.steps == 0
    assert not (tmp_path / "run").exists()


def test_bfloat16_trains_and_resumes(finished, tmp_path):
    whole, stopped = (trainer_of(finished, tmp_path / x, dtype="bfloat16") for x in ("whole", "stopped"))
    assert stopped.through([2]) == whole()


def test_float16_resumes_with_its_scale(finished, tmp_path, monkeypatch):
    plain = torch.nn.CrossEntropyLoss(reduction="none")
    monkeypatch.setattr(fold, "build_loss", lambda *recipe: lambda *pair: 1000 * plain(*pair))  # overflows
    whole, stopped = (trainer_of(finished, tmp_path / x, dtype="float16") for x in ("whole", "stopped"))
    assert stopped.through([2, 5]) == whole()
