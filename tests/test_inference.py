"""Prediction: what plain inference gives, bit for bit; views undone by hand; one reading for all models."""

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.config import Train
from pipeline.dataset.loader import predict_loader
from pipeline.errors import UsageError
from pipeline.learn import checkpoint
from pipeline.learn.inference import (
    Predictor,
    build_predictor,
    frame_of,
    load_weights,
    normalisation,
    predict_probs,
)
from pipeline.learn.models import build_model
from pipeline.learn.runtime import Choice, Runtime
from pipeline.learn.tta import VIEWS
from pipeline.learn.weights import RANDOM
from tests.tiny import Pictures

CHOICE = Choice(1, "float32", "float32", "channels_last")
RUNTIME = Runtime("cpu", 0, CHOICE)
TRAIN = Train(size=32, device="cpu")


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def model(name="test_resnet", seed=0):
    return build_model(name, 3, RANDOM, seed_key=seed, size=32)


def pictures():
    return Pictures([(40, 50), (33, 32), (64, 64), (20, 60), (50, 40)])


def predict(predictors, cache, views=("identity",), batch=2, frames=None):
    frames = frames or list(dict.fromkeys(predictor.frame for predictor in predictors))
    loader = predict_loader(cache, np.arange(len(cache.images)), frames, batch, 0, "cpu")
    return predict_probs(predictors, loader, frames, list(views))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit"])
@torch.inference_mode()
def test_identity_is_plain_inference_bit_for_bit(name):
    net = model(name)
    found = predict([build_predictor(net, TRAIN, RUNTIME)], pictures())
    mean, std = normalisation(net, "cpu")
    frames = predict_loader(pictures(), np.arange(5), [frame_of(TRAIN)], 2, 0, "cpu")
    plain = [net.eval()(RUNTIME.inputs(pixels, mean, std)).softmax(1) for (pixels,) in frames]
    assert found.shape == (1, 1, 5, 3)
    assert found.dtype == np.float32
    assert np.array_equal(found[0, 0], torch.cat(plain).numpy())


def test_probabilities_sum_to_one_and_differ_by_view():
    found = predict([build_predictor(model(), TRAIN, RUNTIME)], pictures(), list(VIEWS))
    assert np.abs(found.sum(axis=3) - 1).max() < 1e-5
    assert len({view.tobytes() for view in found[0]}) == len(VIEWS)


BY_HAND = {
    "identity": lambda x: x,
    "hflip": lambda x: x[:, ::-1],
    "vflip": lambda x: x[::-1],
    "rot90": lambda x: np.rot90(x, 1),
    "rot180": lambda x: np.rot90(x, 2),
    "rot270": lambda x: np.rot90(x, 3),
    "transpose": lambda x: x.swapaxes(0, 1),
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_what_turning_the_images_by_hand_gives(view):
    predictor = build_predictor(model(), TRAIN, RUNTIME)
    straight, turned = (Pictures([(32, 32)] * 5) for _ in range(2))
    turned.images = [np.ascontiguousarray(BY_HAND[view](image)) for image in turned.images]
    found = predict([predictor], straight, [view])
    assert np.allclose(found, predict([predictor], turned), atol=1e-6)


def test_one_reading_for_all_models_frames_and_views():
    small, large = Train(size=32, device="cpu"), Train(size=32, test_size=48, test_crop=0.8, device="cpu")
    first = build_predictor(model(seed=1), small, RUNTIME)
    second = build_predictor(model("test_efficientnet"), large, RUNTIME)
    cache = pictures()
    found = predict([first, second, first], cache, ("identity", "hflip"))
    assert cache.reads == [0, 1, 2, 3, 4]
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(found[:1], predict([first], pictures(), ("identity", "hflip")))
    assert np.array_equal(found[1:2], predict([second], pictures(), ("identity", "hflip")))


def test_each_model_computes_with_its_own_threads():
    class Threads(nn.Module):
        def forward(self, images):
            seen.append(torch.get_num_threads())
            return images.mean((2, 3))

    seen: list[int] = []
    runtimes = [Runtime("cpu", 0, Choice(count, "float32", "float32", "contiguous")) for count in (1, 2)]
    level = torch.ones(3, 1, 1)
    predictors = [Predictor(Threads(), level, level, frame_of(TRAIN), runtime) for runtime in runtimes]
    predict(predictors, pictures())
    assert seen == [1, 2] * 3


def test_bfloat16_gives_float32_probabilities_nearby():
    half = Runtime("cpu", 0, Choice(1, "float32", "bfloat16", "contiguous"))
    exact = predict([build_predictor(model(), TRAIN, RUNTIME)], pictures())
    found = predict([build_predictor(model(), TRAIN, half)], pictures())
    assert found.dtype == np.float32
    assert 0 < np.abs(found - exact).max() < 0.05
    assert np.abs(found.sum(axis=3) - 1).max() < 1e-5


def test_progress_counts_the_images():
    seen = []
    loader = predict_loader(pictures(), np.arange(5), [frame_of(TRAIN)], 2, 0, "cpu")
    predictor = build_predictor(model(), TRAIN, RUNTIME)
    predict_probs([predictor], loader, [predictor.frame], ["identity"], lambda *done: seen.append(done))
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_saved_and_loaded_weights_predict_the_same_bits():
    net = model("test_efficientnet", seed=3).to(memory_format=torch.channels_last)
    other = model("test_efficientnet", seed=4)
    load_weights(other, checkpoint.model_bytes(net, {}))
    views = ("identity", "hflip")
    before = predict([build_predictor(net, TRAIN, RUNTIME)], pictures(), views)
    assert np.array_equal(predict([build_predictor(other, TRAIN, RUNTIME)], pictures(), views), before)


def test_normalisation_is_the_models_own_in_pixel_values():
    mean, std = normalisation(model("resnet18"), "cpu")
    assert torch.allclose(mean.flatten(), torch.tensor([123.675, 116.28, 103.53]))
    assert torch.allclose(std.flatten(), torch.tensor([58.395, 57.12, 57.375]))
    white = torch.full((1, 2, 2, 3), 255, dtype=torch.uint8)
    wanted = ((255 - mean) / std).expand(1, 3, 2, 2)
    assert torch.allclose(RUNTIME.inputs(white, mean, std), wanted)
    assert normalisation(model(), "cpu")[0].flatten().tolist() == [127.5] * 3


def test_inputs_leave_the_pixels_alone():
    pixels = torch.arange(48, dtype=torch.uint8).reshape(1, 4, 4, 3)
    before = pixels.clone()
    images = RUNTIME.inputs(pixels, torch.ones(3, 1, 1), torch.ones(3, 1, 1))
    assert torch.equal(pixels, before)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_a_size_that_the_model_cant_take_is_said():
    with pytest.raises(UsageError, match="test_vit can't take images of 40 px"):
        build_model("test_vit", 3, RANDOM, seed_key=0, size=40)
