"""Integers by ai-edge-quantizer instead of TensorFlow's converter."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import exporter, quantization
from keras_compress.binary import BinaryConv2D
from keras_compress.errors import ExportError
from keras_compress.tflite import read_tflite

pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    one, two = keras.Input((12, 12, 3), name="picture"), keras.Input((5,), name="facts")
    x = layers.Conv2D(8, 3, use_bias=False)(one)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(layers.DepthwiseConv2D(3)(x))
    x = layers.Concatenate()([x, layers.Dense(80, activation="relu", name="wide")(two)])
    return keras.Model([one, two], layers.Dense(40, name="logits")(x))


@pytest.fixture(scope="module")
def data():
    draw = np.random.default_rng(0)
    return {
        "picture": draw.random((32, 12, 12, 3), dtype="float32"),
        "facts": draw.random((32, 5), dtype="float32"),
    }


def kernels(exported) -> list[str]:
    tensors = read_tflite(exported.tflite).tensors
    return [t.dtype for t in tensors if t.shape in ((8, 3, 3, 3), (80, 5), (40, 88))]


@pytest.mark.parametrize("io_dtype", ["int8", "float32"])
def test_whole_integers(model, data, io_dtype):
    options = {"precision": "int8", "representative_data": data, "io_dtype": io_dtype}
    ours = exporter.convert(model, **options)
    theirs = exporter.convert(model, quantizer="ai-edge", **options)
    assert theirs.tflite != ours.tflite
    assert kernels(theirs) == ["INT8"] * 3
    file = read_tflite(theirs.tflite)
    types = {file.tensors[i].dtype for i in (*file.inputs, *file.outputs)}
    assert types == {io_dtype.upper()}
    assert theirs.verification.outputs[0].relative_error < 0.05
    assert theirs.to_dict()["options"]["quantizer"] == "ai-edge"


def test_weights_alone(model, data):
    exported = exporter.convert(model, precision="dynamic", quantizer="ai-edge", samples=data)
    assert "INT8" in kernels(exported)
    file = read_tflite(exported.tflite)
    assert {file.tensors[i].dtype for i in (*file.inputs, *file.outputs)} == {"FLOAT32"}
    assert exported.verification.outputs[0].relative_error < 0.05


def test_what_does_not_go_together_is_told(model, data, monkeypatch):
    def refused(match, net=model, **options):
        with pytest.raises(ExportError, match=match):
            exporter.convert(net, **options)

    refused("`quantizer` must be one of", quantizer="nncf")
    refused('precision="float16"', quantizer="ai-edge", precision="float16")
    both = {"quantizer": "ai-edge", "precision": "int8"}
    refused("per_channel=False", representative_data=data, per_channel=False, **both)
    prepared = quantization.prepare(model)
    refused("trained on integers", prepared, **both)
    bits = keras.Sequential([keras.Input((8, 8, 32)), BinaryConv2D(32, 3)])
    refused("Binary layers", bits, quantizer="ai-edge", precision="dynamic")
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    refused(r"keras-compress\[ai-edge\]", representative_data=data, **both)
