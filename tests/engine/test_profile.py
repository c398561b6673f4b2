"""Parameters, bytes and multiply-accumulates, by hand."""

from __future__ import annotations

import keras
import pytest
from keras import layers

from keras_compress import KerasCompressError
from keras_compress.channel_pruning import find_groups
from keras_compress.channel_pruning.costs import ChannelCosts
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


@pytest.mark.parametrize(
    ("shape", "layer", "macs"),
    [
        ((5, 3), layers.LSTM(4), 5 * (3 * 16 + 4 * 16)),
        ((5, 3), layers.GRU(4, return_sequences=True, unroll=True), 5 * (3 * 12 + 4 * 12)),
        ((5, 3), layers.Bidirectional(layers.SimpleRNN(4)), 2 * 5 * (3 * 4 + 4 * 4)),
        (
            (5, 3),
            layers.RNN([layers.LSTMCell(4), layers.GRUCell(2)]),
            5 * (3 * 16 + 4 * 16 + 4 * 6 + 2 * 6),
        ),
        ((5, 8, 8, 3), layers.ConvLSTM2D(2, 3), 5 * 36 * 9 * (3 * 8 + 2 * 8)),
        ((5, 8, 8, 3), layers.TimeDistributed(layers.Conv2D(4, 3)), 5 * 36 * 27 * 4),
        ((5, 6, 3), layers.TimeDistributed(layers.LSTM(4)), 5 * 6 * (3 * 16 + 4 * 16)),
        ((5, 3), layers.MultiHeadAttention(2, 4), 4 * 5 * 3 * 8),
        ((7, 6), layers.SpectralNormalization(layers.Dense(5)), 7 * 30),
    ],
)
def test_layers_that_hold_others(shape, layer, macs):
    inputs = keras.Input(shape)
    attention = isinstance(layer, layers.MultiHeadAttention)
    model = keras.Model(inputs, layer(inputs, inputs) if attention else layer(inputs))
    found = profile(model)
    assert found.macs == macs
    assert found.uncounted == ()
    # Removing channels counts as the profile does.
    assert ChannelCosts(find_groups(model)).full["macs"] == macs


class Twisted(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight((shape[-1], 3))

    def call(self, x):
        return keras.ops.tanh(x @ self.kernel)


def test_what_isnt_known_is_named():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8), Twisted(name="twisted"), layers.Dense(2)]
    )
    found = profile(model)
    assert (found.macs, found.uncounted) == (4 * 8 + 3 * 2, ("twisted",))
    assert found.to_dict()["uncounted"] == ["twisted"]
    assert "MACs not known of twisted" in str(found)
    costs = ChannelCosts(find_groups(model))
    assert (costs.full["macs"], costs.uncounted) == (found.macs, ("twisted",))


class Fused(layers.LSTM):
    def call(self, sequences, initial_state=None, mask=None, training=False):
        return keras.ops.zeros((keras.ops.shape(sequences)[0], self.units))


def test_steps_that_one_operator_takes_count():
    # As where cuDNN runs an LSTM: its cell isn't called.
    model = keras.Sequential([keras.Input((5, 3)), Fused(4)])
    assert profile(model).macs == 5 * (3 * 16 + 4 * 16)


def test_states_are_as_before():
    model = keras.Sequential(
        [keras.Input(batch_shape=(1, 5, 3)), layers.LSTM(4, stateful=True), layers.Dense(2)]
    )
    model(keras.ops.ones((1, 5, 3)))
    before = [keras.ops.convert_to_numpy(v) for v in model.non_trainable_variables]
    profile(model)
    after = [keras.ops.convert_to_numpy(v) for v in model.non_trainable_variables]
    assert any(state.any() for state in before)
    assert all((a == b).all() for a, b in zip(before, after, strict=True))


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
