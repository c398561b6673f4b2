"""A copy of a layer computes what the layer computes, for every stock layer of Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import KerasCompressError
from keras_compress.copying.layer_copy import copy_layer
from keras_compress.engine.cloning import copy_model
from tests.copying.stock_layers import (
    DRAW_UNSEEDED,
    HASHING,
    SEQUENCE,
    STOCK,
    VECTOR,
    model_of,
    same,
    shake,
    values,
)
from tests.training import tensorflow_only


def _marks(name: str) -> list[pytest.MarkDecorator]:
    # Without weights there is nothing of the back end's to copy but seeds, which regularizing and
    # preprocessing layers have in common: those that augment images take long to compile.
    kind = STOCK[name].__module__.split(".")[-2]
    kinds = {"pooling", "merging", "reshaping", "image_preprocessing", "preprocessing"}
    marks = [pytest.mark.backend_independent] if kind in kinds else []
    return [*marks, tensorflow_only] if name in HASHING else marks


@pytest.mark.parametrize("name", [pytest.param(n, marks=_marks(n)) for n in sorted(STOCK)])
def test_stock_layers(name):
    model, inputs = model_of(name)
    shake(model)
    # In training too: what is drawn at random comes of a seed that is copied.
    drawn = keras.backend.backend() != "torch" and name not in DRAW_UNSEEDED
    same(model, inputs if len(inputs) > 1 else inputs[0], training=drawn)


def swishlike(x):
    return x * keras.ops.sigmoid(1.5 * x)


class Halved(keras.initializers.Initializer):
    """An initializer that nobody registered."""

    def __call__(self, shape, dtype=None):
        return 0.5 * keras.ops.ones(shape, dtype=dtype)


class Scale(layers.Layer):
    """A layer that nobody registered, with a number that may be changed later."""

    def __init__(self, by=2.0, **kwargs):
        super().__init__(**kwargs)
        self.by = by

    def call(self, x):
        return self.by * x


class Composite(layers.Layer):
    """A layer that only a call can build."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = layers.Dense(4), layers.Dense(3)
        self.norm = layers.BatchNormalization()

    def call(self, x):
        return self.second(self.norm(self.first(x)))


FACTOR = 3.0

WITH_FUNCTIONS = {
    "lambda": lambda: layers.Lambda(lambda x: FACTOR * x),
    "function": lambda: layers.Lambda(swishlike, output_shape=VECTOR, mask=None),
    "arguments": lambda: layers.Lambda(lambda x, by: x * by, arguments={"by": np.arange(6.0)}),
    "activation": lambda: layers.Dense(6, activation=swishlike),
    "lambda_activation": lambda: layers.Dense(6, activation=lambda x: x * x),
    "initializer": lambda: layers.Dense(6, kernel_initializer=Halved()),
    "regularizer": lambda: layers.Dense(6, kernel_regularizer=keras.ops.sum),
    "own_class": lambda: Scale(5.0),
    "composite": Composite,
}


@pytest.mark.parametrize("name", WITH_FUNCTIONS)
def test_functions_and_classes_that_are_not_registered(name):
    inputs = keras.Input(VECTOR)
    model = keras.Model(inputs, layers.Dense(2)(WITH_FUNCTIONS[name]()(inputs)))
    shake(model)
    same(model, values(VECTOR), training=True)


def test_attributes_changed_since():
    scale = Scale()
    scale.by = 7.0
    inputs = keras.Input(VECTOR)
    same(keras.Model(inputs, layers.Dense(2)(scale(inputs))), values(VECTOR))
    convolution = layers.Conv1D(3, 2)
    convolution.supports_masking = True
    assert copy_layer(convolution).supports_masking


@pytest.mark.backend_independent
@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantized_layers(mode):
    inputs = keras.Input((8,))
    x = layers.Dense(6, activation="relu")(inputs)
    x = layers.EinsumDense("ab,bc->ac", 4)(x)
    model = keras.Model(inputs, layers.Dense(2)(x))
    shake(model)
    model.quantize(mode)
    copy = same(model, values((8,)))
    ours, theirs = ([layer.dtype_policy.name for layer in m.layers] for m in (model, copy))
    assert ours == theirs


@pytest.mark.parametrize("quantized", [False, True])
def test_layers_with_lora(quantized):
    inputs = keras.Input((3,), dtype="int32")
    x = layers.Embedding(9, 8)(inputs)
    x = layers.Flatten()(layers.Conv1D(4, 2)(x))
    model = keras.Model(inputs, layers.Dense(6)(x))
    for layer in (model.layers[1], model.layers[-1], model.layers[2]):
        layer.enable_lora(2)
    shake(model)
    if quantized:
        model.layers[-1].quantize("int8")
    copy = same(model, values((3,), integers=True))
    # What is trained from here on is the same too, not merged into the kernel.
    numbers = [(v.name, v.trainable, np.array(v)) for v in model.layers[-1].variables]
    for name, trainable, value in numbers:
        (other,) = (v for v in copy.layers[-1].variables if v.name == name)
        assert other.trainable is trainable
        np.testing.assert_array_equal(np.array(other), value)


def test_precision_of_each_layer():
    inputs = keras.Input((8,))
    x = layers.Dense(6, dtype="mixed_float16")(inputs)
    x = layers.Dense(5, dtype="bfloat16")(x)
    model = keras.Model(inputs, layers.Dense(2, dtype="float32")(x))
    copy = same(model, values((8,)))
    assert [v.dtype for v in copy.variables] == [v.dtype for v in model.variables]


def test_losses_that_layers_add():
    inputs = keras.Input(VECTOR)
    x = layers.ActivityRegularization(l2=0.1)(layers.Dense(3, activity_regularizer="l1")(inputs))
    model = keras.Model(inputs, layers.Dense(2, kernel_regularizer="l2")(x))
    model.compile("sgd", "mse")
    copy = copy_model(model)
    x, y = values(VECTOR), values((2,))
    assert copy.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0) > 0.1


PARTS = {
    "Bidirectional": lambda: layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
    "TimeDistributed": lambda: layers.TimeDistributed(layers.Dense(6)),
    "RNN": lambda: layers.RNN([layers.GRUCell(3), layers.LSTMCell(4)], return_sequences=True),
    "Composite": Composite,
    "Sequential": lambda: keras.Sequential([layers.Dense(5), layers.Dense(3)]),
}


def parts_of(layer):
    from keras_compress.layers import iter_layers

    return [layer, *(part for _, part in iter_layers(layer))]


@pytest.mark.parametrize("name", [*PARTS, "MultiHeadAttention"])
def test_frozen_parts_stay_frozen(name):
    inputs = keras.Input(SEQUENCE)
    if name in PARTS:
        layer = PARTS[name]()
        outputs = layer(inputs)
    else:
        layer = layers.MultiHeadAttention(2, 3)
        outputs = layer(inputs, inputs)
    model = keras.Model(inputs, layers.Dense(2)(outputs))
    parts = [part for part in parts_of(layer) if part.variables]
    for frozen in ([parts[-1]], [parts[0]], parts[1:2]):
        layer.trainable = True
        for part in frozen:
            part.trainable = False
        copy = same(model, values(SEQUENCE))
        ours, theirs = parts_of(model), parts_of(copy)
        assert [p.trainable for p in ours] == [p.trainable for p in theirs]
        ours, theirs = ([v.trainable for v in m.variables] for m in (model, copy))
        assert ours == theirs
        assert len(model.trainable_variables) == len(copy.trainable_variables)


class Untold(layers.Layer):
    """A layer whose configuration doesn't say how it was made."""

    def __init__(self, table, **kwargs):
        super().__init__(**kwargs)
        self.table = table

    def call(self, x):
        return x * self.table.by


class Table:
    by = 2.0


def test_a_layer_that_cannot_be_copied_is_named():
    with pytest.raises(KerasCompressError, match=r"'odd' of type Untold.*get_config"):
        copy_layer(Untold(Table(), name="odd"))


@keras.saving.register_keras_serializable(package="keras_compress_tests")
class Nameless(keras.layers.Layer):
    """A layer that gives its weight no name, so that Keras numbers it."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="random_normal")

    def call(self, x):
        return x * self.scale


def test_weights_without_a_name():
    inputs = keras.Input(VECTOR)
    model = keras.Model(inputs, Nameless()(Nameless()(inputs)))
    x = np.random.default_rng(0).normal(size=(3, *VECTOR)).astype("float32")
    copy = copy_model(model)
    expected, found = (keras.ops.convert_to_numpy(m(x)) for m in (model, copy))
    assert np.array_equal(expected, found)
