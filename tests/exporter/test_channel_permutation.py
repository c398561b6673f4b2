"""Units in another order: the same function, a smaller file, and nothing moved that must stay."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_compress
from keras_compress import exporter
from keras_compress.errors import ExportError

layers = keras.layers


def prune(model, sparsity=0.8, seed=0):
    """Zero all but a share of the weights, in patterns that several units have in common."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        weights = layer.get_weights()
        if getattr(layer, "kernel", None) is None or not weights:
            # Statistics that differ from channel to channel, so that a mix-up shows.
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in weights])
            continue
        kernel = weights[0].reshape(-1, weights[0].shape[-1])
        kinds = rng.uniform(size=(len(kernel), 4)) > sparsity
        kept = kinds[:, rng.integers(0, 4, kernel.shape[1])]
        weights[0] = (0.25 * np.sign(kernel) * kept).reshape(weights[0].shape)
        weights[1:] = [rng.normal(size=w.shape) for w in weights[1:]]
        layer.set_weights(weights)
    return model


def outputs(model, seed=1):
    x = np.random.default_rng(seed).normal(size=(5, *model.input_shape[1:])).astype("float32")
    return np.asarray(model.predict(x, verbose=0))


def test_a_dense_net_computes_the_same_in_fewer_bytes():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(120, activation="relu", name="a"),
            layers.Dropout(0.5),
            layers.Dense(60, name="b"),
            layers.ReLU(),
            layers.Dense(10, activation="softmax", name="c"),
        ]
    )
    prune(model, 0.9)
    before = [w.copy() for w in model.get_weights()]
    ordered = exporter.permute_channels(model)
    assert set(ordered.orders) == {"a", "b"}
    assert list(ordered.left_alone) == ["c"]
    for order in ordered.orders.values():
        assert sorted(order) == list(range(len(order)))
        assert not np.array_equal(order, np.arange(len(order)))
    np.testing.assert_allclose(outputs(ordered.model), outputs(model), atol=1e-5)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    sizes = [
        len(keras_compress.pack(exporter.convert(m, verify=False).tflite, codec="smallest"))
        for m in (ordered.model, model)
    ]
    assert sizes[0] < 0.92 * sizes[1]


def test_convolutions_move_what_stands_between_them_and_their_reader():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 2)),
            layers.Conv2D(16, 3, name="a"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.MaxPooling2D(),
            layers.Conv2D(12, 2, name="b"),
            layers.Flatten(),
            layers.Dense(20, activation="relu", name="c"),
            layers.Dense(3, name="d"),
        ]
    )
    prune(model)
    ordered = exporter.permute_channels(model)
    assert set(ordered.orders) == {"a", "b", "c"}
    assert ordered.left_alone == {"d": "its units are results of the model"}
    np.testing.assert_allclose(outputs(ordered.model), outputs(model), rtol=1e-4, atol=1e-4)


def test_units_that_several_layers_read_stay():
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 3))
    a = layers.Conv2D(8, 3, padding="same", name="a")(x)
    b = layers.Conv2D(8, 3, padding="same", name="b")(a)
    c = keras.ops.relu(layers.Add(name="sum")([a, b]))
    d = layers.Dense(6, name="d")(layers.GlobalAveragePooling2D()(c))
    model = prune(keras.Model(x, layers.Dense(2, name="e")(d)))
    ordered = exporter.permute_channels(model)
    assert set(ordered.orders) == {"d"}
    assert ordered.left_alone["a"] == "2 layers read 'a'"
    assert ordered.left_alone["b"] == "'sum' of type Add lies behind it"
    np.testing.assert_allclose(outputs(ordered.model), outputs(model), atol=1e-5)


def test_a_layer_used_twice_stays_and_so_does_what_it_reads():
    keras.utils.set_random_seed(0)
    x = keras.Input((6,))
    shared = layers.Dense(6, name="shared")
    d = layers.Dense(6, name="d")(x)
    model = prune(keras.Model(x, layers.Dense(2, name="e")(shared(shared(d)))))
    ordered = exporter.permute_channels(model)
    assert not ordered.orders
    assert (
        ordered.left_alone["d"] == ordered.left_alone["shared"] == "'shared' is used more than once"
    )
    np.testing.assert_array_equal(outputs(ordered.model), outputs(model))


def test_what_can_not_be_ordered_says_why():
    keras.utils.set_random_seed(0)
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4)], name="inner")
    outer = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="a"), inner])
    assert exporter.permute_channels(outer).left_alone["a"] == "the model holds another, 'inner'"

    full = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="a"), layers.Dense(2)])
    assert "less than half" in exporter.permute_channels(full).left_alone["a"]

    wide = keras.Sequential(
        [
            keras.Input((4, 4, 4)),
            layers.Conv2D(4, 3, activation="softmax", name="a"),
            layers.Conv2D(4, 1, groups=2, name="grouped"),
            layers.Conv2D(4, 1, name="b"),
            layers.Softmax(),
            layers.Conv2D(4, 1, name="c"),
        ]
    )
    left_alone = exporter.permute_channels(prune(wide)).left_alone
    assert "softmax" in left_alone["a"]
    assert "not looked into" in left_alone["grouped"]
    assert "Softmax lies behind it" in left_alone["b"]


@pytest.mark.parametrize("kind", ["subclassed", "unbuilt", "none"])
def test_models_without_a_graph_are_refused(kind):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    models = {"subclassed": Net(), "unbuilt": keras.Sequential([layers.Dense(2)]), "none": None}
    if kind == "subclassed":
        models[kind](np.zeros((1, 3), "float32"))
    with pytest.raises(ExportError):
        exporter.permute_channels(models[kind])
