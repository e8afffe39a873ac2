"""The cosine classifier: what it computes, and its place in timm's models."""

from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from pipeline.errors import UsageError
from pipeline.learn.cosine import CosineClassifier, with_cosine_classifier

# ResNet, EfficientNet, ViT, ConvNeXt, a scaled one, VGG made narrow, a 1 × 1 convolution, two classifiers
MODELS: dict[str, dict[str, Any]] = {
    "test_resnet": {},
    "test_efficientnet": {},
    "test_vit": {},
    "test_convnext": {},
    "test_nfnet": {},
    "vgg11": {"mlp_ratio": 1 / 64},
    "resnetv2_18": {},
    "deit_tiny_distilled_patch16_224": {"img_size": 32, "depth": 1},
}


def made(name: str, seed: int = 0) -> nn.Module:
    model = timm.create_model(name, num_classes=7, **MODELS[name])
    torch.manual_seed(seed)
    return with_cosine_classifier(model, 5, scale=16.0).eval()


def classifiers(model) -> tuple[nn.Module, ...]:
    found = model.get_classifier()
    return found if isinstance(found, tuple) else (found,)


def test_logits_are_scaled_cosines():
    torch.manual_seed(0)
    classifier = CosineClassifier(8, 3, scale=30.0)
    features = torch.randn(4, 8)
    x, w = features.numpy(), classifier.weight.detach().numpy()
    expected = 30 * (x @ w.T) / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(w, axis=1)
    np.testing.assert_allclose(classifier(features).detach().numpy(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(classifier(100 * features), classifier(features))
    torch.testing.assert_close(classifier(classifier.weight).diagonal(), torch.full((3,), 30.0))


def test_the_weights_length_is_about_one():
    torch.manual_seed(0)
    lengths = CosineClassifier(400, 50, scale=30.0).weight.norm(dim=1)
    assert lengths.mean().item() == pytest.approx(1, abs=0.02)


def test_autocast_leaves_cosines_exact():
    torch.manual_seed(0)
    classifier = CosineClassifier(64, 3, scale=30.0)
    features = torch.randn(4, 64)
    with torch.autocast("cpu", torch.bfloat16):
        found = classifier(features)
    assert found.dtype == torch.float32
    assert torch.equal(found, classifier(features))
    assert classifier(features.bfloat16()).dtype == torch.float32


def test_features_that_are_all_zero_are_harmless():
    classifier = CosineClassifier(8, 3, scale=30.0)
    features = torch.zeros(2, 8, requires_grad=True)
    logits = classifier(features)
    logits.sum().backward()
    assert torch.equal(logits, torch.zeros(2, 3))
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("name", MODELS)
def test_it_takes_the_place_of_the_models_own(name):
    model = made(name)
    found = classifiers(model)
    assert all(isinstance(module, CosineClassifier) for module in found)
    images = torch.rand(2, 3, 32, 32)
    logits = model(images)
    assert logits.shape == (2, 5)
    assert logits.abs().max() <= 16.001
    logits.sum().backward()
    assert all(module.weight.grad is not None for module in found)


@pytest.mark.parametrize("name", ["test_resnet", "deit_tiny_distilled_patch16_224"])
def test_its_weights_are_the_default_generators(name):
    first, again, other = (
        [module.weight for module in classifiers(made(name, seed))] for seed in (0, 0, 1)
    )  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_what_is_not_linear_is_refused():
    model = timm.create_model("test_resnet", num_classes=3)
    model.fc = nn.Sequential(nn.Linear(96, 3))
    with pytest.raises(UsageError, match="ResNet's classifier fc is a Sequential"):
        with_cosine_classifier(model, 3, 30.0)


def test_it_is_saved_and_loaded_as_any_layer():
    model = made("test_vit")
    other = made("test_vit", seed=1)
    other.load_state_dict(model.state_dict())
    assert list(classifiers(model)[0].state_dict()) == ["weight"]
    images = torch.rand(2, 3, 160, 160)
    assert torch.equal(model(images), other(images))
