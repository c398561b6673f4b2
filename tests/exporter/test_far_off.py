"""Results that are too far from Keras' are told of in every precision; a crash is an error."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from keras_compress import exporter
from keras_compress.errors import ExportError
from keras_compress.exporter.comparison import compare
from keras_compress.exporter.notes import _findings
from keras_compress.exporter.verification import Verification
from tests.exporter import models


def test_an_encoding_that_int8_breaks_is_told():
    codes = np.random.default_rng(0).integers(0, 7, (64, 1)).astype("int32")
    entry = keras.Input((1,), dtype="int32")
    encoded = keras.layers.CategoryEncoding(7, output_mode="one_hot")(entry)
    net = models.randomized(keras.Model(entry, keras.layers.Dense(3, name="out")(encoded)))
    with pytest.warns(exporter.ExportWarning, match=r"'out'.*off the Keras model's.*64 samples"):
        done = exporter.convert(net, precision="int8", representative_data=codes)
    assert "too far for int8" in done.to_dict()["notes"][0]
    json.dumps(done.to_dict(), allow_nan=False)


@pytest.mark.parametrize("io_dtype", ["int8", "float32"])
def test_samples_beyond_the_calibrated_range_are_told(io_dtype):
    net = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(3, name="out")])
    models.randomized(net)
    data = models.samples(32, (4,))
    with pytest.warns(exporter.ExportWarning):
        done = exporter.convert(
            net,
            precision="int8",
            representative_data=data,
            samples=5 * data - 2,
            io_dtype=io_dtype,
        )
    text = " ".join(done.notes)
    assert "for input 'x' lie outside" in text and "result 'out' lie beyond" in text
    (output,) = done.verification.outputs
    assert 0.01 < output.saturated <= 1


def compared(expected, received, limits=None):
    return compare("r", np.asarray(expected), np.asarray(received), limits)


def test_what_is_compared():
    far = compared([[300.0], [301.0], [302.0]], [[301.0], [301.0], [301.0]])
    assert far.relative_error < 0.01 and far.spread_error == pytest.approx(1.0)
    assert compared([[5.0], [5.0]], [[5.0], [5.1]]).spread_error is None
    assert compared([[0.0], [0.0]], [[0.0], [1.0]]).relative_error is None
    assert compared([0.0, 1.0, 2.0, 3.0], [0.0] * 4, (-1.0, 1.5)).saturated == 0.5


def test_what_varies_otherwise_is_warned_of_though_it_is_near():
    far = compared([[300.0], [301.0], [302.0]], [[301.0], [301.0], [301.0]])
    found = Verification(3, "samples", (far,), (), (), "runtime")
    assert _findings(far, found, "dynamic") == ["is off the Keras model's by 100.0% of its spread"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_results_that_are_not_finite(value):
    with pytest.raises(ExportError, match="converted model's result 'r' is NaN or infinite"):
        compared([1.0, 2.0], [1.0, value])
    with pytest.raises(ExportError, match="Keras model's own result 'r'"):
        compared([1.0, value], [1.0, 2.0])


def test_a_recurrent_layer_that_kills_the_converter_is_named():
    net = keras.Sequential([keras.Input((3, 2)), keras.layers.GRU(2, name="memory")])
    data = models.samples(2, (3, 2))
    with pytest.raises(ExportError, match=r"crashed.*'memory'.*unroll=True"):
        exporter.convert(net, precision="int8", representative_data=data)


@pytest.mark.parametrize("stateful", [True, False])
def test_what_a_file_cannot_hold(stateful):
    if stateful:
        entry = keras.Input(batch_shape=(1, 2, 2))
        result = keras.layers.LSTM(2, stateful=True, unroll=True, name="memory")(entry)
    else:
        entry = keras.Input((2,), dtype="int64")
        result = keras.layers.IntegerLookup(vocabulary=[1, 5])(entry)
    with pytest.raises(ExportError, match="memory" if stateful else "look-up table"):
        exporter.convert(keras.Model(entry, result))


def test_inputs_and_models_without_numbers():
    words = keras.Input((1,), dtype="string", name="words")
    model = keras.Model(words, keras.layers.StringLookup(vocabulary=["a"])(words))
    with pytest.raises(ExportError, match=r"numbers or booleans.*'words' of type string"):
        exporter.convert(model)
    with pytest.raises(ExportError, match="has to have layers"):
        exporter.convert(keras.Sequential([keras.Input((2,))]))
