"""Activations of 16 bits over weights of 8."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import exporter
from keras_compress.binary import BinaryConv2D
from keras_compress.errors import ExportError
from keras_compress.tflite import read_tflite

pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 3))
    x = layers.ReLU()(layers.Conv2D(8, 3)(inputs))
    x = layers.GlobalAveragePooling2D()(layers.DepthwiseConv2D(3)(x))
    return keras.Model(inputs, layers.Dense(40, activation="softmax")(x))


@pytest.fixture(scope="module")
def data():
    return np.random.default_rng(0).random((32, 12, 12, 3), dtype="float32")


@pytest.mark.parametrize("io_dtype", [None, "int16", "float32"])
def test_activations_have_16_bits_and_weights_8(model, data, io_dtype):
    options = {"representative_data": data, "io_dtype": io_dtype, "tolerance": 1e-3}
    exported = exporter.convert(model, precision="int16x8", **options)
    file = read_tflite(exported.tflite)
    edges = {file.tensors[i].dtype for i in (*file.inputs, *file.outputs)}
    assert edges == {"FLOAT32" if io_dtype == "float32" else "INT16"}
    kernels = [t.dtype for t in file.tensors if t.shape in ((8, 3, 3, 3), (40, 8))]
    assert kernels == ["INT8", "INT8"]
    assert exported.options["io_dtype"] == (io_dtype or "int16")
    # Weights of 8 bits cost what they cost; activations add next to nothing.
    assert exported.verification.outputs[0].relative_error < 0.01


def test_it_is_nearer_to_float_than_int8(model, data):
    errors = [
        exporter.convert(model, precision=precision, representative_data=data, io_dtype="float32")
        .verification.outputs[0]
        .relative_error
        for precision in ("int16x8", "int8")
    ]
    assert errors[0] < 0.5 * errors[1]


def test_what_does_not_go_together_is_told(model, data):
    def refused(match, net=model, **options):
        with pytest.raises(ExportError, match=match):
            exporter.convert(net, precision="int16x8", **options)

    refused("needs `representative_data`")
    refused('io_dtype="int8" and precision="int16x8"', representative_data=data, io_dtype="int8")
    refused("`sparse=True` needs", representative_data=data, sparse=True)
    refused('makes precision="int8" or', representative_data=data, quantizer="ai-edge")
    bits = keras.Sequential([keras.Input((8, 8, 32)), BinaryConv2D(32, 3)])
    refused("Binary layers", bits, representative_data=np.ones((4, 8, 8, 32), "float32"))
    with pytest.raises(ExportError, match='"int16" with "int16x8"'):
        exporter.convert(model, precision="int8", representative_data=data, io_dtype="int16")
