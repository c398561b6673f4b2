"""Masks of padded sequences pass a wrapped layer as they pass the layer itself."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import clustering, pruning, rate
from keras_compress.clustering import ClusteringConfig
from keras_compress.compat import tfmot
from keras_compress.pruning import Pruned, PruningConfig
from tests.training import tensorflow_only

STEPS = 5
#: As many sequences as steps: a mask of the wrong shape would pass unseen.
TOKENS = np.array(
    [[1, 2, 3, 0, 0], [4, 0, 0, 0, 0], [5, 6, 7, 8, 9], [1, 3, 5, 7, 0], [2, 2, 0, 0, 0]]
)


class Attends(layers.Layer):
    """Weighs steps by a mask that it asks for."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, shape):
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 3))

    def call(self, x, mask=None):
        x = keras.ops.matmul(x, self.kernel)
        weights = keras.ops.cast(keras.ops.ones_like(x[..., :1]), x.dtype)
        if mask is not None:
            weights = weights * keras.ops.cast(mask, x.dtype)[..., None]
        return keras.ops.sum(x * weights, axis=1)

    def compute_mask(self, inputs, previous_mask):
        return None


BODIES = {
    "lstm": lambda x: layers.LSTM(3)(x),
    "gru_of_steps": lambda x: layers.GRU(3, return_sequences=True)(x),
    "stacked": lambda x: layers.LSTM(3)(layers.SimpleRNN(4, return_sequences=True)(x)),
    "cells": lambda x: layers.RNN([layers.GRUCell(3), layers.LSTMCell(4)])(x),
    "both_ways": lambda x: layers.Bidirectional(layers.LSTM(3))(x),
    "both_ways_of_steps": lambda x: layers.Bidirectional(layers.GRU(3, return_sequences=True))(x),
    "in_time": lambda x: layers.GRU(3)(layers.TimeDistributed(layers.Dense(4))(x)),
    "attention": lambda x: layers.GlobalAveragePooling1D()(
        layers.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)
    ),
    "convolution": lambda x: layers.GlobalAveragePooling1D()(layers.Dense(4)(x)),
    "own": lambda x: Attends()(x),
    "states": lambda x: layers.GRU(4)(x, initial_state=layers.Dense(4)(x[:, 0])),
}


def embedded(body, given=False):
    inputs = keras.Input((STEPS,), dtype="int32")
    x = layers.Embedding(10, 4, mask_zero=True)(inputs)
    return inputs, BODIES[body](x)


def masked(body):
    inputs = keras.Input((STEPS, 4))
    return inputs, BODIES[body](layers.Masking()(inputs))


def nested(body):
    inputs = keras.Input((STEPS,), dtype="int32")
    x = layers.Embedding(10, 4, mask_zero=True)(inputs)
    inner = keras.Input((STEPS, 4))
    return inputs, keras.Model(inner, BODIES[body](inner))(x)


def explicit(body):
    inputs = keras.Input((STEPS,), dtype="int32")
    x = layers.Embedding(10, 4)(inputs)
    mask = keras.ops.not_equal(inputs, 2)
    return inputs, layers.LSTM(3)(x, mask=mask)


def compiled(make, body):
    keras.utils.set_random_seed(0)
    inputs, x = make(body)
    head = layers.Dense(2)(x)
    model = keras.Model(inputs, head)
    model.compile(keras.optimizers.SGD(0.1), "mse", weighted_metrics=["mae"])
    return model


def inputs_of(model):
    if len(model.input_shape) == 2:
        return TOKENS
    x = np.random.default_rng(0).normal(size=(len(TOKENS), STEPS, 4)).astype("float32")
    return x * (TOKENS > 0)[..., None]


def targets_of(model):
    return np.random.default_rng(1).normal(size=(len(TOKENS), *model.output_shape[1:]))


def same_results(stock, wrapped, fit=False):
    """Assert that both compute, evaluate and, if asked for, train to the same numbers."""
    x, y = inputs_of(stock), targets_of(stock)
    for model in (stock, wrapped) if fit else ():
        model.fit(x, y, epochs=2, batch_size=len(x), shuffle=False, verbose=0)
    np.testing.assert_allclose(np.array(stock(x)), np.array(wrapped(x)), atol=1e-6)
    ours, theirs = (m.evaluate(x, y, verbose=0) for m in (stock, wrapped))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


MAKERS = [(embedded, body) for body in BODIES if body != "stacked"]
MAKERS += [(masked, body) for body in ("in_time", "own")]
MAKERS += [(nested, "stacked")]
MAKERS += [(explicit, "")]
IDS = [f"{make.__name__}-{body}" for make, body in MAKERS]


@pytest.mark.backend_independent
@pytest.mark.parametrize(("make", "body"), MAKERS, ids=IDS)
def test_pruned(make, body):
    stock = compiled(make, body)
    # Nothing is cut off: what is wrapped is the net itself.
    trained = {"lstm", "both_ways_of_steps", "own"}
    same_results(
        stock, pruning.prepare(stock, PruningConfig(0.5)), fit=make is embedded and body in trained
    )


@pytest.mark.parametrize("body", ["both_ways", "own"])
def test_clustered_and_rate_aware(body):
    stock = compiled(embedded, body)
    grid = [np.round(16 * w) / 16 if w.ndim > 1 else w for w in stock.get_weights()]
    stock.set_weights(grid)
    same_results(stock, rate.prepare(stock))
    few = [np.round(2 * w) / 2 if w.ndim > 1 else w for w in stock.get_weights()]
    stock.set_weights(few)
    config = ClusteringConfig(2, layers=lambda layer: isinstance(layer, layers.Dense))
    kernel = stock.layers[-1].kernel
    kernel.assign(
        np.where(np.arange(kernel.shape[0])[:, None] % 2, 0.5, -0.5) + np.zeros(kernel.shape)
    )
    same_results(stock, clustering.prepare(stock, config))


@tensorflow_only
@pytest.mark.parametrize("body", ["lstm", "both_ways_of_steps"])
def test_wrapped_as_in_tfmot(body):
    stock = compiled(embedded, body)
    if body == "lstm":  # As tfmot, which doesn't prune both ways at once.
        pruned = tfmot.sparsity.keras.prune_low_magnitude(stock)
        pruned.compile("sgd", "mse", weighted_metrics=["mae"])
        same_results(stock, pruned)
    few = [np.sign(w) * 0.5 if w.ndim > 1 else w for w in stock.get_weights()]
    stock.set_weights(few)
    clustered = tfmot.clustering.keras.cluster_weights(
        stock,
        number_of_clusters=2,
        cluster_centroids_init=tfmot.clustering.keras.CentroidInitialization.LINEAR,
    )
    clustered.compile("sgd", "mse", weighted_metrics=["mae"])
    same_results(stock, clustered)


def test_arguments_go_by_the_names_of_the_layer():
    attention = layers.MultiHeadAttention(2, 3, name="attention")
    inputs = keras.Input((STEPS, 4))
    x = attention(query=inputs, value=inputs, use_causal_mask=True)
    model = keras.Model(inputs, layers.Dense(2)(x))
    model.compile("sgd", "mse")
    same_results(model, pruning.prepare(model, PruningConfig(0.5)))


def test_a_mask_that_a_layer_ends_goes_no_further():
    wrapped = Pruned(layers.LSTM(3))
    inputs = keras.Input((STEPS,), dtype="int32")
    wrapped(layers.Embedding(10, 4, mask_zero=True)(inputs))
    assert wrapped.compute_mask(np.zeros((5, 5, 4)), np.ones((5, 5), bool)) is None
    kept = Pruned(layers.LSTM(3, return_sequences=True))
    assert kept.compute_mask(np.zeros((5, 5, 4)), "mask") == "mask"
