"""Wrappers within other layers are taken off, or refused before the training."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import KerasCompressError, clustering, pruning, rate
from keras_compress.clustering import Clustered, ClusteringCallback
from keras_compress.pruning import OneShot, Pruned, PruningCallback
from keras_compress.rate import RateAware, RateCallback
from tests.training import outputs

X = np.random.default_rng(0).normal(size=(32, 3, 4)).astype("float32")
Y = (X.sum((1, 2)) > 0).astype("int32")

TECHNIQUES = {
    "pruning": (Pruned, lambda: PruningCallback(OneShot(0.5)), pruning),
    "clustering": (lambda layer: Clustered(layer, 4), lambda: ClusteringCallback(4), clustering),
    "rate": (RateAware, lambda: RateCallback(1e-5), rate),
}


def compiled(model):
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_a_wrapper_that_is_an_argument_of_the_layer_around_it(technique, dtype):
    wrapper, callback, package = TECHNIQUES[technique]
    around = layers.TimeDistributed(
        wrapper(layers.Dense(5, name="inner", dtype=dtype)), dtype=dtype
    )
    model = compiled(
        keras.Sequential([keras.Input((3, 4)), around, layers.Flatten(), layers.Dense(2)])
    )
    assert around.output.dtype == around.compute_dtype and around.output.shape == (None, 3, 5)
    if technique == "rate" and dtype != "float32":
        with pytest.raises(KerasCompressError, match=r"RateAware\(TimeDistributed\(layer\)\)"):
            model.fit(X, Y, verbose=0, callbacks=[callback()])
        return
    model.fit(X, Y, verbose=0, callbacks=[callback()])
    small = package.finalize(model)
    assert type(small.layers[0].layer) is layers.Dense
    np.testing.assert_array_equal(outputs(small, X), outputs(model, X))
    kernel = np.array(keras.ops.convert_to_numpy(small.layers[0].layer.kernel))
    if technique == "pruning":
        assert np.count_nonzero(kernel) == 10
    if technique == "clustering":
        assert len(np.unique(kernel)) <= 4


def test_codebooks_made_in_a_second_fit():
    # The optimizer was built with kernels that are no longer trained.
    entries = [
        keras.Input((3, 4)),
        Clustered(layers.Dense(5), 4),
        layers.Flatten(),
        layers.Dense(2),
    ]
    model = compiled(keras.Sequential(entries))
    model.fit(X, Y, verbose=0)
    model.optimizer.learning_rate = 0.01
    model.fit(X, Y, verbose=0, callbacks=[ClusteringCallback(4)])
    assert int(model.optimizer.iterations) == 2
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    before = np.array(keras.ops.convert_to_numpy(model.layers[0].centroids[0]))
    model.fit(X, Y, verbose=0, callbacks=[ClusteringCallback(4)])
    assert (before != keras.ops.convert_to_numpy(model.layers[0].centroids[0])).all()
    small = clustering.finalize(model)
    assert len(np.unique(keras.ops.convert_to_numpy(small.layers[0].kernel))) <= 4


class Inside(layers.Layer):
    """Makes a wrapper itself."""

    def __init__(self, wrapper, **kwargs):
        super().__init__(**kwargs)
        self.wrapper = wrapper
        self.inner = TECHNIQUES[wrapper][0](layers.Dense(4))

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        return {**super().get_config(), "wrapper": self.wrapper}


class Own(keras.Model):
    """A graph that nobody knows."""

    def __init__(self, wrapper):
        super().__init__()
        self.flatten = layers.Flatten()
        self.dense = TECHNIQUES[wrapper][0](layers.Dense(2))

    def call(self, x):
        return self.dense(self.flatten(x))


@pytest.mark.parametrize("kind", ["within", "subclassed"])
@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_wrapper_that_could_not_be_taken_off_is_refused_before_the_first_step(technique, kind):
    _, callback, package = TECHNIQUES[technique]
    if kind == "within":
        entries = [keras.Input((3, 4)), Inside(technique), layers.Flatten(), layers.Dense(2)]
        model = compiled(keras.Sequential(entries))
    else:
        model = compiled(Own(technique))
        model(X[:1])
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in model.trainable_variables]
    with pytest.raises(KerasCompressError, match="to be taken off"):
        model.fit(X, Y, verbose=0, callbacks=[callback()])
    with pytest.raises(KerasCompressError, match="to be taken off"):
        package.finalize(model)
    after = [np.array(keras.ops.convert_to_numpy(v)) for v in model.trainable_variables]
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))


def test_keras_itself_refuses_a_wrapper_in_a_layer_that_makes_two_of_it():
    # It sets `go_backwards` in the configuration of what it is given.
    with pytest.raises((TypeError, ValueError), match="go_backwards"):
        layers.Bidirectional(Pruned(layers.LSTM(3)))
    around = Pruned(layers.Bidirectional(layers.LSTM(3)))
    model = keras.Sequential([keras.Input((3, 4)), around])
    small = pruning.finalize(model)
    np.testing.assert_array_equal(outputs(small, X), outputs(model, X))
