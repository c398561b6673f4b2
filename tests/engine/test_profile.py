"""Parameters, bytes and multiply-accumulates, by hand."""

from __future__ import annotations

import keras
import pytest
from keras import layers

from keras_compress import KerasCompressError
from keras_compress.engine.profile import profile
from tests.training import subclassed

pytestmark = pytest.mark.backend_independent


def rows(*stack):
    model = keras.Sequential([keras.Input(stack[0]), *stack[1:]])
    return profile(model).layers


@pytest.mark.parametrize(
    ("shape", "layer", "macs", "parameters"),
    [
        ((8, 8, 3), layers.Conv2D(4, 3), 36 * 27 * 4, 27 * 4 + 4),
        ((8, 8, 4), layers.Conv2D(6, 3, groups=2, strides=2), 9 * 18 * 6, 18 * 6 + 6),
        ((8, 8, 3), layers.DepthwiseConv2D(3, depth_multiplier=2), 36 * 9 * 6, 9 * 6 + 6),
        ((8, 8, 3), layers.SeparableConv2D(5, 3), 36 * (9 * 3 + 3 * 5), 9 * 3 + 15 + 5),
        ((4, 4, 3), layers.Conv2DTranspose(5, 3, strides=2), 16 * 9 * 15, 9 * 15 + 5),
        ((9, 3), layers.Conv1D(4, 2), 8 * 6 * 4, 6 * 4 + 4),
        ((4, 4, 4, 2), layers.Conv3D(3, 2), 27 * 16 * 3, 16 * 3 + 3),
        ((6,), layers.Dense(5), 30, 35),
        ((7, 6), layers.Dense(5), 7 * 30, 35),
        ((7, 6), layers.EinsumDense("abc,cde->abde", (7, 2, 4), bias_axes="de"), 7 * 48, 56),
        ((8, 8, 3), layers.BatchNormalization(), 0, 12),
    ],
)
def test_one_layer(shape, layer, macs, parameters):
    (row,) = rows(shape, layer)
    assert (row.macs, row.parameters, row.bytes) == (macs, parameters, 4 * parameters)
    sides = layer.output.shape[1:]
    assert row.output_shape == tuple(sides)
    size = 1
    for side in sides:
        size *= side
    assert row.activation_bytes == 4 * size


def test_totals_shared_layers_and_half_precision():
    conv = layers.Conv2D(3, 3, padding="same", dtype="mixed_float16", name="conv")
    inputs = keras.Input((8, 8, 3))
    found = profile(keras.Model(inputs, conv(conv(inputs))))
    (row,) = found.layers
    assert row.macs == found.macs == 2 * 64 * 81
    assert row.output_shape is None
    assert found.activation_bytes == 2 * 64 * 3 * 2
    assert found.bytes == 4 * 84
    assert "conv (Conv2D)" in str(found)
    assert found.to_dict()["layers"][0]["macs"] == found.macs


def test_subclassed_models_and_given_sizes():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layers.Conv2D(4, 3)(inputs))
    assert profile(model, (6, 6, 3)).macs == 16 * 27 * 4
    assert profile(subclassed(), (6, 6, 1)).macs == 16 * 9 * 4 + 64 * 16 + 16 * 4
    with pytest.raises(KerasCompressError, match="pass `input_shape`"):
        profile(model)
    with pytest.raises(KerasCompressError, match=r"must be a built `keras\.Model`"):
        profile(keras.Sequential())
