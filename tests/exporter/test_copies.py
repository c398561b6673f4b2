"""What `permute_channels` and `pad_for_sparse_kernels` return computes what the model computes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import exporter
from keras_compress.errors import KerasCompressError

layers = keras.layers
VECTORS = np.random.default_rng(3).normal(5, 3, (16, 12)).astype("float32")
IMAGES = np.random.default_rng(4).uniform(0, 255, (4, 16, 16, 3)).astype("float32")


def sparse(model, seed=0):
    """Zero three quarters of each kernel, in patterns of which units have a few in common."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.name != "kernel":
            continue
        rows = int(np.prod(variable.shape[:-1]))
        kinds = rng.uniform(size=(rows, 3)) > 0.75
        kept = kinds[:, rng.integers(0, 3, variable.shape[-1])].reshape(variable.shape)
        variable.assign(rng.normal(size=variable.shape) * kept)
    return model


def adapted(data, **kwargs):
    layer = layers.Normalization(**kwargs)
    layer.adapt(data)
    return layer


def dense_net(first, units=12, name=None):
    entries = [keras.Input((12,)), *first]
    entries += [layers.Dense(units, activation="relu", name="a"), layers.Dense(6, name="b")]
    return keras.Sequential(entries, name=name)


def check_ordered(model, x=VECTORS, moved=("a",)):
    before = [np.array(v) for v in model.variables]
    ordered = exporter.permute_channels(model)
    assert tuple(ordered.orders) == moved
    assert (
        any(not np.array_equal(o, np.arange(len(o))) for o in ordered.orders.values()) or not moved
    )
    np.testing.assert_allclose(np.array(ordered.model(x)), np.array(model(x)), rtol=1e-4, atol=1e-3)
    assert all(np.array_equal(a, v) for a, v in zip(before, model.variables, strict=True))
    assert not {id(v) for v in model.variables} & {id(v) for v in ordered.model.variables}
    ours, theirs = ([v.trainable for v in m.variables] for m in (model, ordered.model))
    assert ours == theirs and type(ordered.model) is type(model)
    return ordered


@pytest.mark.parametrize("invert", [False, True])
def test_units_behind_an_adapted_normalization(invert):
    check_ordered(sparse(dense_net([adapted(VECTORS, invert=invert)])))


def test_units_behind_a_model_of_preprocessing_stay_and_the_copy_computes_the_same():
    first = keras.Sequential([keras.Input((12,)), adapted(VECTORS)], name="first")
    ordered = check_ordered(sparse(dense_net([first])), moved=())
    assert "holds another, 'first'" in ordered.left_alone["a"]


def test_units_behind_functions_and_a_class_of_ones_own():
    class Net(keras.Sequential):
        def train_step(self, *args):
            raise AssertionError

    model = Net(
        [
            keras.Input((12,)),
            layers.Lambda(lambda x: x - 5.0),
            layers.Dense(12, activation="relu", name="a"),
            layers.Dense(6, name="b"),
        ]
    )
    model.classes = ["one", "two"]
    ordered = check_ordered(sparse(model))
    assert list(ordered.model.classes) == ["one", "two"]


def test_frozen_layers_are_ordered_and_stay_frozen():
    model = sparse(dense_net([adapted(VECTORS)]))
    model.get_layer("a").trainable = False
    assert not check_ordered(model).model.get_layer("a").trainable


class Transposed(layers.Layer):
    """Multiplies by the transpose of another layer's kernel."""

    def __init__(self, of, **kwargs):
        super().__init__(**kwargs)
        self.of = of

    def call(self, x):
        return keras.ops.matmul(x, keras.ops.transpose(self.of.kernel))

    def get_config(self):
        return {**super().get_config(), "of": keras.saving.serialize_keras_object(self.of)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("of")), **config)


def test_units_of_a_tied_weight_stay():
    inputs = keras.Input((12,))
    a = layers.Dense(9, name="a")
    c = layers.Dense(9, name="c")(layers.Dense(12, name="b")(a(inputs)))
    ordered = check_ordered(sparse(keras.Model(inputs, Transposed(a)(c))), moved=("b",))
    assert ordered.left_alone["a"] == "a weight of 'a' is read in two places"
    assert len(ordered.model.trainable_variables) == 6


def test_units_of_a_weight_that_the_graph_reads_stay():
    inputs = keras.Input((12,))
    a = layers.Dense(9, name="a")
    b = layers.Dense(12, name="b")(a(inputs))
    model = sparse(keras.Model(inputs, keras.ops.matmul(b, a.kernel)))
    ordered = check_ordered(model, moved=())
    assert ordered.left_alone["a"] == "a weight of 'a' is read in two places"


@pytest.mark.parametrize(
    "activation",
    ["softmax", "log_softmax", "sparsemax", lambda x: x - keras.ops.max(x, -1)[:, None]],
)
def test_units_under_an_activation_that_goes_over_them_stay(activation):
    entries = [keras.Input((12,)), layers.Dense(12, name="a"), layers.Activation(activation)]
    inside = [keras.Input((12,)), layers.Dense(12, activation=activation, name="a")]
    for first in (entries, inside):
        model = keras.Sequential([*first, layers.Dense(6, name="b")])
        assert "a" in check_ordered(sparse(model), moved=()).left_alone


def test_units_with_more_than_a_kernel_and_a_bias_stay():
    model = sparse(dense_net([]))
    model.get_layer("a").enable_lora(2)
    model.get_layer("a").lora_kernel_b.assign(np.ones((2, 12)))
    ordered = check_ordered(model, moved=())
    assert "LoRA" in ordered.left_alone["a"]


def test_units_of_a_model_with_a_call_of_its_own_stay():
    class Flipped(keras.Sequential):
        def call(self, inputs, training=None, mask=None):
            a, b = self.layers
            return b(a(inputs)[:, ::-1])

    entries = [keras.Input((12,)), layers.Dense(12, name="a"), layers.Dense(6, name="b")]
    ordered = check_ordered(sparse(Flipped(entries)), moved=())
    assert "call" in ordered.left_alone["a"]


def image_net(first=(), inner=False):
    """A net with one convolution of stride 2, within a model of its own if `inner`."""
    stem = layers.Conv2D(4, 3, 2, padding="same", name="stem", activation="relu")
    inputs = x = keras.Input((16, 16, 3))
    for layer in first:
        x = layer(x)
    body = keras.Sequential([keras.Input((16, 16, 3)), stem], name="body") if inner else stem
    x = body(x)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalMaxPooling2D()(x)))


def as_padded(model, x):
    """What the convolution would see of `x` if both its sides were padded by one."""
    stem = next(w for w in model.weights if w.name == "kernel" and len(w.shape) == 4)
    bias = model.weights[[id(w) for w in model.weights].index(id(stem)) + 1]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    maps = np.maximum(np.array(keras.ops.conv(padded, stem, 2, "valid")) + np.array(bias), 0)
    return np.array(model.layers[-1](maps.max((1, 2))))


@pytest.mark.parametrize("inner", [False, True])
def test_a_net_with_an_adapted_normalization_is_made_ready(inner):
    scale = adapted(IMAGES)
    model = image_net([scale, layers.Lambda(lambda x: 0.5 * x)], inner)
    model.layers[-1].trainable = False
    ready = exporter.pad_for_sparse_kernels(model)
    seen = 0.5 * np.array(scale(IMAGES))
    np.testing.assert_allclose(
        np.array(ready(IMAGES)), as_padded(model, seen), rtol=1e-4, atol=1e-4
    )
    ours, theirs = ([v.trainable for v in m.variables] for m in (model, ready))
    assert ours == theirs and not ready.layers[-1].trainable
    assert not {id(v) for v in model.variables} & {id(v) for v in ready.variables}


def test_padding_is_done_in_the_layers_own_type():
    model = image_net([layers.Rescaling(1 / 255)])
    low = keras.models.clone_model(
        model,
        clone_function=lambda of: type(of).from_config({**of.get_config(), "dtype": "float16"}),
    )
    ready = exporter.pad_for_sparse_kernels(low)
    stem = ready.get_layer("stem")
    assert {layer.compute_dtype for layer in stem.layers} == {"float16"}


def test_a_convolution_used_twice_and_one_that_is_tied():
    shared = layers.Conv2D(3, 3, 2, padding="same", name="shared")
    inputs = keras.Input((16, 16, 3))
    twice = keras.Model(inputs, shared(shared(inputs)))
    ready = exporter.pad_for_sparse_kernels(twice)
    assert ready.count_params() == twice.count_params()

    class Reads(Transposed):
        def call(self, x):
            return self.of(x)

    tied = keras.Model(inputs, [shared(inputs), Reads(shared)(inputs)])
    ready = exporter.pad_for_sparse_kernels(tied)
    for one, other in zip(ready(IMAGES), tied(IMAGES), strict=True):
        np.testing.assert_array_equal(np.array(one), np.array(other))


def test_what_can_not_be_copied_is_named():
    class Odd(layers.Layer):
        def __init__(self, table, **kwargs):
            super().__init__(**kwargs)

        def call(self, x):
            return x

    model = dense_net([Odd(object(), name="odd")])
    for make in (exporter.permute_channels, exporter.pad_for_sparse_kernels):
        with pytest.raises(KerasCompressError, match="'odd' of type Odd"):
            make(model)
