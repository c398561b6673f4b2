"""Biases of zeros stay in the graph, as zeros."""

import keras
import numpy as np
import pytest

from keras_compress import exporter
from keras_compress.tflite import read_tflite


def _net(normalized: bool = False) -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [keras.Input((6,), name="x"), keras.layers.Dense(5, name="first")]
    if normalized:
        layers.append(keras.layers.BatchNormalization())
    last = keras.layers.Dense(3, name="last")
    return keras.Sequential([*layers, keras.layers.ReLU(name="relu"), last], name="net")


def _dense_biases(data: bytes) -> list[np.ndarray]:
    file = read_tflite(data)
    dense = [each for each in file.operators if each.name == "FULLY_CONNECTED"]
    return [file.tensor(each.inputs[2]).array() for each in dense]


def _require_no_marks(data: bytes) -> None:
    for tensor in read_tflite(data).tensors:
        if tensor.is_constant and tensor.dtype == "FLOAT32":
            values = np.abs(tensor.array())
            assert not ((values > 0) & (values < 1e-20)).any(), tensor.name


def test_a_net_with_zero_biases_stays_as_it_is_and_has_the_graph_of_one_with_others():
    empty, full = _net(), _net()
    for layer in (full.layers[0], full.layers[-1]):
        layer.bias.assign(np.arange(1, 1 + layer.units))
    before = [np.array(weight) for weight in empty.get_weights()]
    plain, other = exporter.convert(empty).tflite, exporter.convert(full).tflite
    for old, new in zip(before, empty.get_weights(), strict=True):
        assert np.array_equal(old, new)
    assert len(plain) == len(other)
    assert [each.tolist() for each in _dense_biases(plain)] == [[0.0] * 5, [0.0] * 3]
    assert [each.tolist() for each in _dense_biases(other)] == [[1, 2, 3, 4, 5], [1, 2, 3]]


def test_no_mark_is_left_where_a_normalization_is_folded():
    _require_no_marks(exporter.convert(_net(normalized=True)).tflite)


def test_weights_as_small_as_marks_are_left_alone():
    model = _net()
    kernel = np.array(model.layers[0].kernel)
    kernel[0, 0] = 2.0**-115
    model.layers[0].kernel.assign(kernel)
    data = exporter.convert(model).tflite
    found = [t.array() for t in read_tflite(data).tensors if t.shape == (5, 6)]
    assert (found[0] == np.float32(2.0**-115)).sum() == 1


@pytest.mark.parametrize("precision", ["float16", "dynamic", "int8"])
def test_other_precisions_convert_as_well(precision):
    model = _net()
    x = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
    exported = exporter.convert(
        model, precision=precision, representative_data=x if precision == "int8" else None
    )
    _require_no_marks(exported.tflite)
