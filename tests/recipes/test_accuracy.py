"""Accuracy of a `.tflite` is what counting by hand gives, for float and integer files."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress.errors import KerasCompressError
from keras_compress.exporter import convert
from keras_compress.recipes.accuracy import tflite_accuracy


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((50, 4, 4, 1), dtype="float32")


@pytest.fixture(scope="module")
def model():
    """Says 1 where the left half is brighter than the right one, else 0."""
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    kernel = np.zeros((16, 2), "float32")
    side = np.tile([1, 1, -1, -1], 4)
    kernel[:, 1], kernel[:, 0] = side, -side
    model.layers[-1].set_weights([kernel, np.zeros(2, "float32")])
    return model


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("io_dtype", [None, "float32"])
def test_counts_what_is_right(model, images, precision, io_dtype):
    exported = convert(model, precision=precision, representative_data=images, io_dtype=io_dtype)
    labels = (images[:, :, :2].sum((1, 2, 3)) > images[:, :, 2:].sum((1, 2, 3))).astype(int)
    exact = tflite_accuracy(exported.tflite, images, labels)
    assert exact == 1.0 if precision == "float32" else exact >= 0.96
    labels[:10] = 1 - labels[:10]
    assert tflite_accuracy(exported.tflite, images, labels) == pytest.approx(exact - 0.2, abs=0.05)


def test_images_that_do_not_fit(model, images):
    tflite = convert(model).tflite
    with pytest.raises(KerasCompressError, match=r"\(5, 4, 1\)"):
        tflite_accuracy(tflite, np.zeros((1, 5, 4, 1), "float32"), np.zeros(1, int))
    with pytest.raises(KerasCompressError, match="49 labels"):
        tflite_accuracy(tflite, images, np.zeros(49, int))
    with pytest.raises(KerasCompressError, match="0 images"):
        tflite_accuracy(tflite, images[:0], np.zeros(0, int))
