"""Small nets on sequences, volumes and words, each with a trap for who follows channels."""

from __future__ import annotations

import keras
from keras import layers, ops

from tests.channel_pruning.net_catalogue import behind, image, net


@net
def one_dimension():
    inputs = image(32, 2)
    x = layers.DepthwiseConv1D(3, depth_multiplier=2)(layers.Conv1D(6, 3)(inputs))
    x = layers.Conv1DTranspose(5, 3)(layers.SeparableConv1D(8, 3)(x))
    x = layers.UpSampling1D()(layers.Cropping1D(1)(layers.ZeroPadding1D(2)(x)))
    return keras.Model(inputs, layers.GlobalMaxPooling1D()(layers.Conv1D(3, 1)(x)))


@net
def three_dimensions():
    inputs = image(8, 8, 8, 2)
    x = layers.AveragePooling3D(2)(layers.Conv3D(6, 3)(inputs))
    x = layers.GlobalAveragePooling3D(keepdims=True)(layers.Conv3DTranspose(5, 3)(x))
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


@net
def heads_of_attention():
    inputs = image(12, 10)
    x = layers.Dense(16)(inputs)
    x = layers.MultiHeadAttention(4, 6, value_dim=5)(x, x)
    return keras.Model(inputs, layers.Dense(3)(layers.Dense(8)(x)))


@net
def heads_between_two_sequences():
    inputs = image(12, 10)
    x, y = layers.Dense(16)(inputs), layers.Dense(9)(inputs)
    x = x + layers.MultiHeadAttention(4, 6)(query=x, value=y)
    return keras.Model(inputs, layers.Dense(3)(x))


@net
def heads_that_share_keys():
    inputs = image(12, 10)
    x = layers.Dense(16)(inputs)
    x = x + layers.GroupQueryAttention(4, 6, 3)(x, x)
    return keras.Model(inputs, layers.Dense(3)(x))


@net
def equations():
    inputs = image(12, 10)
    x = layers.EinsumDense("abc,cd->abd", (None, 8), bias_axes="d", activation="relu")(inputs)
    x = layers.EinsumDense("abc,cde->abde", (None, 4, 6), bias_axes="de")(x)
    x = layers.EinsumDense("abde,def->abf", (None, 7), bias_axes="f")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.EinsumDense("...x,xy->...y", 9)(x)))


@net
def recurrent_units():
    inputs = image(12, 10)
    x = layers.LSTM(8, return_sequences=True)(inputs)
    x = layers.GRU(6, return_sequences=True)(x)
    x = layers.SimpleRNN(5, return_sequences=True)(x)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    x = layers.Bidirectional(layers.GRU(4, reset_after=False), merge_mode="sum")(x)
    return keras.Model(inputs, layers.Dense(3)(x))


@net
def convolutional_recurrent_units():
    inputs = image(4, 8, 8, 2)
    x = layers.ConvLSTM2D(6, 3, return_sequences=True)(inputs)
    x = layers.TimeDistributed(layers.Conv2D(5, 3, activation="relu"))(x)
    x = layers.TimeDistributed(layers.BatchNormalization())(x)
    return behind(inputs, layers.ConvLSTM2D(7, 3)(x))


@net
def layers_for_each_step():
    inputs = image(5, 10)
    x = layers.TimeDistributed(layers.Dense(8, activation="relu"))(inputs)
    x = layers.TimeDistributed(layers.TimeDistributed(layers.Dense(6)))(
        layers.Reshape((5, 2, 4))(x)
    )
    x = layers.TimeDistributed(layers.Flatten())(x)
    return keras.Model(inputs, layers.Dense(3)(layers.GRU(4)(x)))


@net
def repeated_steps():
    inputs = image(10)
    x = layers.RepeatVector(5)(layers.Dense(6)(inputs))
    x = ops.repeat(layers.GRU(4, return_sequences=True)(x), 2, axis=2)
    return keras.Model(inputs, layers.Dense(3)(x))


@net
def words():
    inputs = keras.Input((12,), dtype="int32")
    x = layers.Conv1D(6, 3)(layers.Embedding(20, 8)(inputs))
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))
