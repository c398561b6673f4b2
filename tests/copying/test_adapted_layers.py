"""A copy of a layer that learned from data, such as a vocabulary, knows what the layer knows."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress.copying.layer_copy import copy_layer
from tests.copying.stock_layers import SEQUENCE, TEXT, same, shake, values
from tests.training import tensorflow_only


def adapted_normalization(**arguments):
    layer = layers.Normalization(**arguments)
    layer.adapt(values(SEQUENCE) * 5 + 2)
    return layer


@pytest.mark.parametrize(
    "make",
    [
        adapted_normalization,
        lambda: adapted_normalization(invert=True),
        lambda: adapted_normalization(axis=(1, 2)),
        lambda: adapted_normalization(axis=None),
        lambda: layers.Normalization(mean=[1.0] * 6, variance=[4.0] * 6),
        lambda: layers.Normalization(mean=2.0, variance=9.0, axis=None, invert=True),
        lambda: keras.Sequential([keras.Input(SEQUENCE), adapted_normalization()]),
        lambda: layers.TimeDistributed(layers.Normalization(mean=1.0, variance=4.0, axis=None)),
        lambda: layers.Pipeline([layers.Rescaling(2.0), layers.Rescaling(0.5, 1.0)]),
    ],
    ids=["plain", "inverted", "axes", "scalar", "given", "given_once", "nested", "in_time", "line"],
)
def test_adapted_layers_of_numbers(make):
    inputs = keras.Input(SEQUENCE)
    model = keras.Model(inputs, layers.Dense(3)(make()(inputs)))
    copy = same(model, values(SEQUENCE))
    # Another adaptation of the original doesn't reach the copy.
    before = keras.ops.convert_to_numpy(copy(values(SEQUENCE)))
    shake(model)
    np.testing.assert_array_equal(before, keras.ops.convert_to_numpy(copy(values(SEQUENCE))))


@tensorflow_only
def test_discretization_by_what_it_saw():
    layer = layers.Discretization(num_bins=4, output_mode="one_hot")
    layer.adapt(values((1,)) * 9)
    inputs = keras.Input((1,))
    same(keras.Model(inputs, layers.Dense(2)(layer(inputs))), values((1,)) * 9)


@tensorflow_only
def test_pairs_that_are_crossed_and_hashed():
    inputs = [keras.Input((1,), dtype="int32") for _ in range(2)]
    crossed = layers.HashedCrossing(7, output_mode="one_hot")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(crossed))
    same(model, [values((1,), integers=True, seed=i) for i in range(2)])


LOOKUPS = {
    "int": {},
    "multi_hot": {"output_mode": "multi_hot"},
    "count": {"output_mode": "count", "pad_to_max_tokens": True, "max_tokens": 12},
    "tf_idf": {"output_mode": "tf_idf"},
    "several_unknown": {"num_oov_indices": 3},
}


def on_words(layer, shape=(1,), dtype="string"):
    inputs = keras.Input(shape, dtype=dtype)
    x = layer(inputs)
    if len(x.shape) == 2 and x.dtype.startswith("int"):
        x = layers.Flatten()(layers.Embedding(20, 3)(x))
    elif len(x.shape) == 3 or x.dtype.startswith("int"):
        x = layers.GlobalAveragePooling1D()(layers.Embedding(20, 3)(x))
    return keras.Model(inputs, layers.Dense(2)(x))


@tensorflow_only
@pytest.mark.parametrize("mode", LOOKUPS)
def test_words_that_a_layer_learned(mode):
    import tensorflow as tf

    words = np.array([["to"], ["be"], ["or"], ["a\nb"], ["c\u2028 d"], [""], ["to"]])
    lookup = layers.StringLookup(**LOOKUPS[mode])
    lookup.adapt(words)
    same(on_words(lookup), tf.constant([["to"], ["a\nb"], ["c\u2028 d"], ["never"], ["be"]]))


@tensorflow_only
@pytest.mark.parametrize("mode", LOOKUPS)
def test_numbers_that_a_layer_learned(mode):
    lookup = layers.IntegerLookup(**LOOKUPS[mode])
    lookup.adapt(np.array([[11], [22], [22], [33], [-4]]))
    same(on_words(lookup, dtype="int64"), np.array([[33], [11], [99], [-4]]))


@tensorflow_only
@pytest.mark.parametrize("mode", ["int", "multi_hot", "tf_idf"])
def test_texts(mode):
    import tensorflow as tf

    length = {"output_sequence_length": 5} if mode == "int" else {}
    layer = layers.TextVectorization(output_mode=mode, standardize=lower, **length)
    layer.adapt(tf.constant(TEXT))
    same(on_words(layer, shape=()), tf.constant(["to do", "BE not never", ""]))


def lower(text):
    import tensorflow as tf

    return tf.strings.lower(text)


@tensorflow_only
def test_a_vocabulary_given_at_first():
    import tensorflow as tf

    words = layers.StringLookup(
        vocabulary=["b", "a"], idf_weights=[0.5, 0.25], output_mode="tf_idf"
    )
    same(on_words(words), tf.constant([["a"], ["b"], ["c"]]))
    inverse = layers.StringLookup(vocabulary=["b", "a"], invert=True)
    assert copy_layer(inverse).get_vocabulary() == inverse.get_vocabulary()


@tensorflow_only
def test_tabular_features():
    space = keras.utils.FeatureSpace(
        features={
            "age": "float_normalized",
            "size": "float_discretized",
            "town": "string_categorical",
            "kind": keras.utils.FeatureSpace.integer_categorical(),
        },
        crosses=[("town", "kind")],
        crossing_dim=8,
    )
    import tensorflow as tf

    table = {
        "age": np.array([20.0, 40.0, 70.0, 33.0], "float32"),
        "size": np.array([1.0, 5.0, 2.0, 9.0], "float32"),
        "town": np.array(["a", "b", "b", "c"]),
        "kind": np.array([1, 2, 3, 3]),
    }
    space.adapt(tf.data.Dataset.from_tensor_slices(table))
    encoded = space.get_encoded_features()
    model = keras.Model(space.get_inputs(), layers.Dense(2)(encoded))
    same(model, {key: tf.constant(value)[:, None] for key, value in table.items()})
