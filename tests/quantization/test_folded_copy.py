"""Batch normalizations folded into kernels: the same results, fewer layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress.errors import KerasCompressError
from keras_compress.quantization import fold_batch_norms

layers = keras.layers


def trained(model):
    generator = np.random.default_rng(0)
    for variable in model.variables:
        if variable.name != "seed_generator_state":
            variable.assign(generator.uniform(0.5, 1.5, variable.shape))
    return model


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def check(model):
    folded = fold_batch_norms(model)
    x = np.random.default_rng(1).normal(size=(3, *model.inputs[0].shape[1:])).astype("float32")
    wanted, found = (np.asarray(each(x, training=False)) for each in (model, folded))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    return folded


def test_kinds_of_layers_and_of_normalizations():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, use_bias=False, name="plain")(inputs)
    x = layers.BatchNormalization(scale=False)(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    x = layers.ReLU()(layers.BatchNormalization(center=False)(x))
    x = layers.Conv2D(6, 1, groups=2, name="grouped")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dense(5, name="dense")(layers.GlobalAveragePooling2D()(x))
    outputs = layers.BatchNormalization()(x)
    model = trained(keras.Model(inputs, outputs))
    before = [np.array(w) for w in model.get_weights()]
    folded = check(model)
    assert "BatchNormalization" not in kinds(folded)
    assert [layer.name for layer in folded.layers if layer.weights] == [
        "plain",
        "depthwise",
        "grouped",
        "dense",
    ]
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_what_does_not_fold_stays():
    inputs = keras.Input((6, 6, 2))
    read_twice = layers.Conv2D(3, 1)(inputs)
    one = layers.BatchNormalization(name="read_twice")(read_twice)
    active = layers.Conv2D(3, 1, activation="relu")(layers.Add()([one, read_twice]))
    other_axis = layers.Conv2D(3, 1)(layers.BatchNormalization(name="active")(active))
    outputs = layers.BatchNormalization(axis=1, name="other_axis")(other_axis)
    folded = check(trained(keras.Model(inputs, outputs)))
    names = [layer.name for layer in folded.layers if "Batch" in type(layer).__name__]
    assert names == ["read_twice", "active", "other_axis"]


def test_models_within_models_and_functions():
    inner = keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Conv2D(2, 1), layers.BatchNormalization()], name="inner"
    )
    inputs = keras.Input((4, 4, 2))
    halves = keras.ops.split(inner(inputs), 2, axis=-1)
    model = trained(keras.Model(inputs, layers.Concatenate()([halves[1], halves[0]])))
    folded = check(model)
    assert "BatchNormalization" not in kinds(folded)


def test_weights_that_are_not_finite():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2), layers.BatchNormalization()])
    model.layers[1].moving_variance.assign([np.nan, 1])
    with pytest.raises(KerasCompressError, match="must be finite to be folded"):
        fold_batch_norms(model)
