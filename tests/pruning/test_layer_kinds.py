"""Every kind of layer: its kernels are pruned, or it is named among what was left alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import pruning
from keras_compress.pruning import PruningCallback, PruningConfig

layers = keras.layers

# Kind -> (input shape, layer, the kernels it has, those that have filters).
KINDS = {
    "DepthwiseConv2D": (
        (6, 6, 4),
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, name="it"),
        {"kernel"},
        {"kernel"},
    ),
    "SeparableConv2D": (
        (6, 6, 4),
        lambda: layers.SeparableConv2D(8, 3, name="it"),
        {"depthwise_kernel", "pointwise_kernel"},
        {"depthwise_kernel", "pointwise_kernel"},
    ),
    "Conv1DTranspose": (
        (6, 4),
        lambda: layers.Conv1DTranspose(8, 3, name="it"),
        {"kernel"},
        {"kernel"},
    ),
    "Conv2DTranspose": (
        (6, 6, 4),
        lambda: layers.Conv2DTranspose(8, 3, name="it"),
        {"kernel"},
        {"kernel"},
    ),
    "Conv3DTranspose": (
        (3, 3, 3, 4),
        lambda: layers.Conv3DTranspose(8, 2, name="it"),
        {"kernel"},
        {"kernel"},
    ),
    "EinsumDense": (
        (6, 8),
        lambda: layers.EinsumDense("abc,cd->abd", (6, 16), name="it"),
        {"kernel"},
        {"kernel"},
    ),
    "LSTM": (
        (6, 4),
        lambda: layers.LSTM(8, name="it"),
        {"kernel", "recurrent_kernel"},
        set(),
    ),
    "GRU": ((6, 4), lambda: layers.GRU(8, name="it"), {"kernel", "recurrent_kernel"}, set()),
    "SimpleRNN": (
        (6, 4),
        lambda: layers.SimpleRNN(8, name="it"),
        {"kernel", "recurrent_kernel"},
        set(),
    ),
    "Embedding": ((6,), lambda: layers.Embedding(32, 8, name="it"), {"embeddings"}, set()),
}


def model_of(kind):
    shape, make, _, _ = KINDS[kind]
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape, dtype="int32" if kind == "Embedding" else "float32")
    x = layers.Flatten()(make()(inputs))
    model = keras.Model(inputs, layers.Dense(3, name="head")(x))
    model.compile("sgd", "mse")
    return model, shape


def attention_model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 8))
    x = layers.MultiHeadAttention(2, 4, name="it")(inputs, inputs)
    model = keras.Model(inputs, layers.Dense(3, name="head")(layers.Flatten()(x)))
    model.compile("sgd", "mse")
    return model


def train(model, shape, callback):
    generator = np.random.default_rng(0)
    integers = str(model.inputs[0].dtype).startswith("int")
    x = generator.integers(0, 32, (8, *shape)) if integers else generator.random((8, *shape))
    model.fit(x, generator.random((8, 3)), epochs=1, verbose=0, callbacks=[callback])
    return {row.weight: row for row in pruning.report(model) if row.layer.startswith("it")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("api", ["callback", "wrapper"])
def test_kernels_of_this_kind_are_pruned(kind, api):
    model, shape = model_of(kind)
    if api == "wrapper":
        model = pruning.prepare(model, pruning.PruningConfig(0.5))
    rows = train(model, shape, PruningCallback(0.5))
    kernels = KINDS[kind][2]
    assert {name for name, row in rows.items() if row.action == "pruned"} == kernels
    for name in kernels:
        assert rows[name].sparsity == pytest.approx(0.5, abs=0.05)
    assert all(row.reason for name, row in rows.items() if name not in kernels)


def test_kernels_of_attention_are_pruned():
    model = attention_model()
    train(model, (6, 8), PruningCallback(0.5))
    rows = [row for row in pruning.report(model) if row.layer.startswith("it/")]
    pruned = {row.layer for row in rows if row.action == "pruned"}
    assert pruned == {"it/query", "it/key", "it/value", "it/attention_output"}


@pytest.mark.parametrize("kind", KINDS)
def test_filters_of_this_kind_are_pruned_or_the_weight_is_named(kind):
    model, shape = model_of(kind)
    rows = train(model, shape, PruningCallback(PruningConfig(0.5, "filters")))
    with_filters = KINDS[kind][3]
    assert {name for name, row in rows.items() if row.action == "pruned"} == with_filters
    for name in KINDS[kind][2] - with_filters:
        assert rows[name].action == "left alone" and rows[name].reason
