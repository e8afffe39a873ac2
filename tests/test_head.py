"""The classifier's start on features that are computed once a run: the same bits, only its own rows."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.artifacts.jobs import fold_jobs
from pipeline.config import Train
from pipeline.dataset.folds.folds_file import load_folds
from pipeline.dataset.loader import frame_image
from pipeline.errors import Interrupted, UsageError
from pipeline.learn import features as run_features
from pipeline.learn.cosine import CosineClassifier
from pipeline.learn.head import Features, train_head
from pipeline.learn.inference import build_predictor
from pipeline.learn.models import build_model
from pipeline.learn.run_record import initial_model, open_run
from pipeline.learn.runtime import build_runtime
from pipeline.learn.weights import RANDOM
from pipeline.learn.work import open_work
from pipeline.randomness import generator
from tests import tiny, tiny_vgg
from tests.trainer import Trainer

pytestmark = pytest.mark.usefixtures("torch_threads")
FAMILIES = ("test_resnet", "test_efficientnet", "test_convnext", "test_vit", tiny_vgg.NAME)


class Headed(nn.Module):
    """A model of which only the classifier counts."""

    def __init__(self, classifier):
        super().__init__()
        self.fc = classifier

    def get_classifier(self):
        return self.fc


def clusters(n=300):
    """Features of three classes, which a linear classifier tells apart, and their targets."""
    draw = generator(0, "clusters")
    targets = draw.permutation(np.arange(n) % 3)
    centres = draw.normal(size=(3, 8)) * 2
    return (centres[targets] + draw.normal(size=(n, 8))).astype(np.float32), targets


def all_of(features):
    return Features(features, np.arange(len(features)))


@pytest.mark.parametrize("loss", ["cross-entropy", "balanced-softmax", "bce", "ldam"])
def test_it_learns_what_the_features_tell(loss):
    features, targets = clusters()
    torch.manual_seed(0)
    model = Headed(CosineClassifier(8, 3, 30.0) if loss == "ldam" else nn.Linear(8, 3))
    train_head(model, all_of(features), targets, 3, Train(head_epochs=20, lr=0.02, loss=loss), fold=0)
    found = model.fc(torch.from_numpy(features)).argmax(1).numpy()
    assert (found == targets).mean() > 0.95


def test_the_same_arguments_give_the_same_bits_and_another_fold_others():
    features, targets = clusters()

    def weights(fold, seed=0):
        torch.manual_seed(0)
        model = Headed(nn.Linear(8, 3))
        train_head(model, all_of(features), targets, 3, Train(head_epochs=2, seed=seed), fold)
        return model.fc.weight.detach()

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert not torch.equal(weights(1), weights(1, seed=1))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_classifier_of_each_family_is_one_layer_behind_its_features(name):
    model = build_model(name, 3, RANDOM, seed_key=1, size=32).eval()
    images = torch.from_numpy(generator(0, "images").normal(size=(2, 3, 32, 32)).astype(np.float32))
    run_features._check(model, images, name)
    features = run_features.penultimate(model, images)
    assert features.shape[0] == 2
    assert features.ndim == 2


def test_what_has_no_such_classifier_is_refused():
    images = torch.zeros(2, 3, 32, 32)
    for classifier in (nn.Identity(), (nn.Linear(8, 3), nn.Linear(8, 3))):
        model = build_model("test_resnet", 3, RANDOM, seed_key=1, size=32).eval()
        model.get_classifier = lambda found=classifier: found
        with pytest.raises(UsageError, match=r"train.head_epochs: the classifier of x isn't one layer"):
            run_features._check(model, images, "x")


def trained(folder, **train):
    config = tiny.configure(folder, {"train": {"epochs": 1, "head_epochs": 3, **train}}, tiny.MEMBERS[:1])
    tiny.run("train", config)
    return fold_jobs(config, config.members[0])


def test_features_are_computed_once_a_run_in_the_order_of_the_folds(competition, capsys):
    jobs = trained(competition)
    assert capsys.readouterr().out.count("a: features of ") == 1
    config = tiny.configure(competition, {"train": {"epochs": 1, "head_epochs": 3}}, tiny.MEMBERS[:1])
    work = open_work(config, jobs)
    table = np.load(jobs[0].run_folder / "features.npy")
    record = open_run(config, jobs[0].member, jobs[0].run_folder, 3)
    runtime = build_runtime(jobs[0].member.train, record.choice)
    predictor = build_predictor(
        initial_model(jobs[0].member, record.source, 3), jobs[0].member.train, runtime
    )
    for place in (0, 7, len(work.rows) - 1):
        pixels = frame_image(work.cache.pixels(work.rows[place]), *predictor.frame)
        images = runtime.inputs(torch.from_numpy(pixels)[None], predictor.mean, predictor.std)
        with torch.inference_mode():
            found = run_features.penultimate(predictor.model, images)
        np.testing.assert_allclose(table[place], found[0].numpy(), rtol=1e-4, atol=1e-5)


def test_a_fold_learns_from_the_features_of_its_own_rows_alone(competition, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "pipeline.learn.fold.train_head",
        lambda model, features, targets, classes, train, fold: seen.append((fold, features, targets)),
    )
    jobs = trained(competition)
    folds = load_folds(tiny.configure(competition))
    assert [fold for fold, _, _ in seen] == [0, 1]
    for fold, features, targets in seen:
        assert (folds.fold_of[features.rows] != fold).all()
        assert len(features.table) == len(folds.ids)
        labels = np.array(folds.labels)[features.rows]
        assert len(set(zip(labels.tolist(), targets.tolist(), strict=True))) == 3
    assert jobs[0].untrained() is None


def test_asked_to_stop_it_stops_between_two_batches(competition, monkeypatch):
    monkeypatch.setattr(run_features.interrupt, "requested", lambda: 15)
    with pytest.raises(Interrupted, match="a: asked to stop while its features were computed"):
        trained(competition)
    assert not list(competition.rglob("features.*npy*"))


def test_stopped_anywhere_it_ends_with_the_same_bits(finished, tmp_path):
    def trainer(name, features):
        recipe = {"epochs": 2, "head_epochs": 3, "validate_epochs": 0}
        found = Trainer(finished, tmp_path / name, "test_resnet", "contiguous", **recipe)
        if features is not None:
            found.data = dataclasses.replace(found.data, features=all_of(features))
        return found

    size = build_model("test_resnet", 3, RANDOM, seed_key=1, size=32).num_features
    rows = len(trainer("rows", None).data.train_rows)
    features = generator(0, "features").normal(size=(rows, size)).astype(np.float32)
    expected = trainer("whole", features)()
    assert trainer("stopped", features).through([1, 5]) == expected
    assert trainer("without", None)() != expected
