"""Settings follow from the data and name layers that the net has."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from keras_compress.errors import KerasCompressError
from keras_compress.recipes import ImageData, Phase, load_digits, settings_for
from keras_compress.recipes.settings import build_model


def images(shape, number=30, classes=3):
    x = np.random.default_rng(0).random((number, *shape), dtype="float32")
    y = (np.arange(number) % classes).astype("int32")
    return ImageData("made up", x, y, x[:6], y[:6])


@pytest.mark.parametrize(
    ("shape", "architecture"),
    [
        ((28, 28, 1), "lenet_5"),
        ((8, 8, 1), "digits_cnn"),
        ((32, 32, 3), "small_cnn"),
        ((28, 28, 3), "small_cnn"),
        ((5, 7, 1), "small_cnn"),
        ((1, 1, 1), "small_cnn"),
    ],
)
def test_the_net_fits_the_images_and_the_plans_fit_the_net(shape, architecture):
    data = images(shape)
    settings = settings_for(data)
    assert settings.architecture == architecture
    model = build_model(settings, data)
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, 3)
    kernels = {layer.name for layer in model.layers if layer.weights}
    assert {plan.layer for plan in settings.plans} == kernels


def test_few_images_get_more_epochs():
    few, many = settings_for(images((28, 28, 1))), settings_for(images((28, 28, 1), 25_000))
    assert few.baseline.epochs > many.baseline.epochs
    assert few.baseline.epochs <= 60


def test_settings_become_json():
    record = json.loads(json.dumps(settings_for(load_digits()).to_dict()))
    assert record["plans"]["hidden"] == {"sparsity": 0.85, "n_clusters": 16}
    assert record["baseline"]["epochs"] == 40


def test_settings_are_frozen_and_checked():
    settings = settings_for(load_digits())
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.ramp = 1.0
    for epochs, rate in ((0, 1e-3), (3, 0.0), (3, float("nan"))):
        with pytest.raises(KerasCompressError, match="at least one epoch"):
            Phase(epochs, rate)
