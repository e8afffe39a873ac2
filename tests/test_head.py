"""The classifier's start on features that are computed once a run: the same bits, only its own rows."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.artifacts import manifest
from pipeline.artifacts.jobs import fold_jobs
from pipeline.config import Train
from pipeline.errors import UsageError
from pipeline.learn import features as run_features
from pipeline.learn.cosine import CosineClassifier
from pipeline.learn.head import train_head
from pipeline.learn.models import build_model
from pipeline.learn.weights import RANDOM
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


@pytest.mark.parametrize("loss", ["cross-entropy", "balanced-softmax", "bce", "ldam"])
def test_it_learns_what_the_features_tell(loss):
    features, targets = clusters()
    torch.manual_seed(0)
    model = Headed(CosineClassifier(8, 3, 30.0) if loss == "ldam" else nn.Linear(8, 3))
    train_head(model, features, targets, 3, Train(head_epochs=20, lr=0.02, loss=loss), fold=0)
    found = model.fc(torch.from_numpy(features)).argmax(1).numpy()
    assert (found == targets).mean() > 0.95


def test_the_same_arguments_give_the_same_bits_and_another_fold_others():
    features, targets = clusters()

    def weights(fold, seed=0):
        torch.manual_seed(0)
        model = Headed(nn.Linear(8, 3))
        train_head(model, features, targets, 3, Train(head_epochs=2, seed=seed), fold)
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


def test_features_are_computed_once_a_run_and_joined_by_id(competition, capsys):
    jobs = trained(competition)
    assert capsys.readouterr().out.count("a: features of ") == 1
    path = jobs[0].run_folder / "features.npz"
    with np.load(path) as arrays:
        ids, features = arrays["ids"], arrays["features"]
    assert features.dtype == np.float32
    before = jobs[0].file("model.safetensors").read_bytes()
    # in another order they are the same features
    turned = np.arange(len(ids))[::-1]
    np.savez(path, ids=ids[turned], features=features[turned])
    commit = path.with_suffix(".manifest.json")
    found = manifest.read(commit)
    expected = manifest.Expected(found["stage"], found["version"], found["config"])
    manifest.publish(commit, expected, [path], 1.0)
    for name in (jobs[0].trained_manifest, jobs[0].model_manifest):
        name.unlink()
    trained(competition)
    assert jobs[0].file("model.safetensors").read_bytes() == before
    assert "features of" not in capsys.readouterr().out


def test_a_fold_learns_from_the_features_of_its_own_rows_alone(competition, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "pipeline.learn.fold.train_head",
        lambda model, features, targets, classes, train, fold: seen.append((fold, len(features), features)),
    )
    jobs = trained(competition)
    with np.load(jobs[0].run_folder / "features.npz") as arrays:
        ids, features = arrays["ids"].tolist(), arrays["features"]
    rows = [set(map(tuple, own.tolist())) for _, _, own in seen]
    for (fold, count, _), own in zip(seen, rows, strict=True):
        with np.load(jobs[fold].file("oof.npz")) as arrays:
            held_out = arrays["ids"].tolist()
        assert count <= len(ids) - len(held_out)
        unseen = [tuple(features[ids.index(name)].tolist()) for name in held_out]
        assert own.isdisjoint(unseen)


def test_stopped_anywhere_it_ends_with_the_same_bits(finished, tmp_path):
    def trainer(name, features):
        recipe = {"epochs": 2, "head_epochs": 3, "validate_epochs": 0}
        found = Trainer(finished, tmp_path / name, "test_resnet", "contiguous", **recipe)
        found.data = dataclasses.replace(found.data, features=features)
        return found

    size = build_model("test_resnet", 3, RANDOM, seed_key=1, size=32).num_features
    rows = len(trainer("rows", None).data.train_rows)
    features = generator(0, "features").normal(size=(rows, size)).astype(np.float32)
    expected = trainer("whole", features)()
    assert trainer("stopped", features).through([1, 5]) == expected
    assert trainer("without", None)() != expected
