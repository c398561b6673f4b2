"""Every recurrent layer in every precision: right values, or an error that names the remedy.

In full int8 TensorFlow's converter crashes on loops; that the process lives is part of the test.
"""

from __future__ import annotations

import warnings

import keras
import pytest
from keras import layers

from keras_compress import exporter
from keras_compress.errors import ExportError
from keras_compress.exporter.checks import layers_of
from tests.exporter.models import randomized, samples

SEQUENCE, ROWS, IMAGES = (4, 3), (3, 5, 2), (3, 5, 5, 2)

KINDS = {
    "SimpleRNN": (layers.SimpleRNN, SEQUENCE),
    "GRU": (layers.GRU, SEQUENCE),
    "GRU, reset before": (lambda n, **k: layers.GRU(n, reset_after=False, **k), SEQUENCE),
    "LSTM": (layers.LSTM, SEQUENCE),
    "LSTM, sequences": (lambda n, **k: layers.LSTM(n, return_sequences=True, **k), SEQUENCE),
    "LSTM, backwards": (lambda n, **k: layers.LSTM(n, go_backwards=True, **k), SEQUENCE),
    "LSTM, masked": (
        lambda n, **k: keras.Sequential([layers.Masking(), layers.LSTM(n, **k)]),
        SEQUENCE,
    ),
    "Bidirectional": (lambda n, **k: layers.Bidirectional(layers.LSTM(n, **k)), SEQUENCE),
    "stacked cells": (
        lambda n, **k: layers.RNN([layers.GRUCell(n), layers.LSTMCell(n + 1)], **k),
        SEQUENCE,
    ),
    "ConvLSTM1D": (lambda n, **k: layers.ConvLSTM1D(n, 3, **k), ROWS),
    "ConvLSTM2D": (lambda n, **k: layers.ConvLSTM2D(n, 3, **k), IMAGES),
    "TimeDistributed": (lambda n, **k: layers.TimeDistributed(layers.LSTM(n, **k)), (2, *SEQUENCE)),
}

#: Norm of the largest error over that of the results.
TOLERANCES = {"float32": 1e-5, "float16": 5e-3, "dynamic": 0.05, "int8": 0.1}

# The others take as long and go the same way.
QUICK = {
    ("SimpleRNN", "loop", "float16"),
    ("GRU", "loop", "dynamic"),
    ("LSTM", "unrolled", "int8"),
    ("Bidirectional", "loop", "float16"),
    ("stacked cells", "loop", "float32"),
    ("ConvLSTM2D", "loop", "float32"),
    ("TimeDistributed", "loop", "dynamic"),
}


def case(kind, way, precision):
    marks = [] if (kind, way, precision) in QUICK else [pytest.mark.slow]
    return pytest.param(kind, way, precision, marks=marks, id=f"{kind}-{way}-{precision}")


# Precision and kind meet in the converter's loops of weights: of each precision a plain cell, one
# of several matrices and one of convolutions; of each kind one loop, and in int8 itself.
LOOPS = {
    "float32": ("GRU, reset before", "LSTM, sequences", "stacked cells", "ConvLSTM2D", "LSTM"),
    "float16": ("SimpleRNN", "LSTM, backwards", "Bidirectional", "ConvLSTM1D"),
    "dynamic": ("GRU", "LSTM, masked", "TimeDistributed", "ConvLSTM2D"),
}
CASES = [
    *(case(kind, "loop", precision) for precision, kinds in LOOPS.items() for kind in kinds),
    *(case(kind, "unrolled", "int8") for kind in KINDS),
    # Each takes the start of a process; `GRU` is in test_far_off.py.
    *(case(kind, "loop", "int8") for kind in ("Bidirectional", "ConvLSTM2D")),
    case("LSTM", "unrolled", "float32"),
]


def net_of(kind, **arguments):
    make, shape = KINDS[kind]
    keras.utils.set_random_seed(0)
    entries = [keras.Input(shape), make(3, **arguments), layers.Flatten(), layers.Dense(2)]
    return randomized(keras.Sequential(entries)), samples(16, shape)


@pytest.mark.parametrize("kind, way, precision", CASES)
def test_recurrent_layers(kind, way, precision):
    net, data = net_of(kind, **({"unroll": True} if way == "unrolled" else {}))
    given = {"representative_data" if precision == "int8" else "samples": data}
    if precision == "int8" and way == "loop":
        names = "|".join(layer.name for layer in layers_of(net) if is_loop(layer))
        with pytest.raises(ExportError, match=rf"({names}).*unroll=True"):
            exporter.convert(net, precision=precision, **given)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exporter.ExportWarning)
        done = exporter.convert(net, precision=precision, **given)
    (output,) = done.verification.outputs
    assert done.verification.samples == 16
    assert output.relative_error < TOLERANCES[precision]
    assert ("WHILE" in done.operators) == (way == "loop")


def is_loop(layer):
    return isinstance(layer, layers.RNN) and not layer.unroll


def test_time_distributed_layers_that_are_not_recurrent_go_in_int8():
    keras.utils.set_random_seed(0)
    entries = [keras.Input(SEQUENCE), layers.TimeDistributed(layers.Dense(3)), layers.Flatten()]
    net = randomized(keras.Sequential([*entries, layers.Dense(2)]))
    done = exporter.convert(net, precision="int8", representative_data=samples(16, SEQUENCE))
    assert done.verification.outputs[0].relative_error < TOLERANCES["int8"]
