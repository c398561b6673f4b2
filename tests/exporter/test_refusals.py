"""What the exporter refuses, with a message that says what to do."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import exporter
from keras_compress.errors import ExportError
from tests.exporter import models


def test_unbuilt_models():
    with pytest.raises(ExportError, match="built"):
        exporter.convert(keras.Sequential([keras.layers.Dense(2)]))
    with pytest.raises(ExportError, match="built"):
        exporter.convert(models.Subclassed())


def test_other_objects():
    with pytest.raises(ExportError, match=r"keras\.Model.*Dense"):
        exporter.convert(keras.layers.Dense(2))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(value):
    model = models.plain()
    kernel = model.get_layer("second").kernel.numpy()
    kernel[0, 0, 0, 0] = value
    model.get_layer("second").kernel.assign(kernel)
    with pytest.raises(ExportError, match=r"net/second/kernel.*checkpoint"):
        exporter.convert(model)


def test_layers_still_wrapped():
    class Wrapped(keras.layers.Layer):
        requires_finalize = True

        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((4,)), Wrapped(name="inner_one"), keras.layers.Dense(2)])
    outer = keras.Sequential([keras.Input((4,)), model])
    with pytest.raises(ExportError, match=r"finalize\(model\).*inner_one"):
        exporter.convert(outer)


def test_the_engines_wrapper_is_recognized():
    from keras_compress.engine.wrapper import SubstitutedLayer

    assert SubstitutedLayer.requires_finalize is True


def test_models_quantized_by_keras():
    model = models.plain()
    model.quantize("int8")
    with pytest.raises(ExportError, match="quantize"):
        exporter.convert(model)


def test_int8_needs_data():
    with pytest.raises(ExportError, match="representative_data"):
        exporter.convert(models.plain(), precision="int8")


@pytest.mark.parametrize("precision", ["dynamic", "int8"])
def test_sparse_with_quantized_weights(precision):
    with pytest.raises(ExportError, match="sparse"):
        exporter.convert(
            models.plain(), precision=precision, sparse=True, representative_data=models.samples()
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, "precision"),
        ({"io_dtype": "int8"}, "io_dtype"),
        ({"io_dtype": "uint8", "precision": "int8"}, "io_dtype"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"input_shape": (3,)}, "shape|call"),
        ({"input_shape": (0, 12, 3)}, "input_shape"),
    ],
)
def test_settings(options, message):
    if options.get("precision") == "int8":
        options = {**options, "representative_data": models.samples()}
    with pytest.raises(ExportError, match=message):
        exporter.convert(models.plain(), **options)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 5, 5, 3), np.float32), "shape"),
        (np.zeros((0, 12, 12, 3), np.float32), "at least one"),
        (np.full((1, 12, 12, 3), np.nan, np.float32), "finite"),
        ([np.zeros((1, 12, 12, 3)), np.zeros((1, 4))], "one array for each"),
        (np.array([["a"]]), "shape|numbers"),
        (iter([]), "samples"),
    ],
)
def test_samples_that_do_not_fit(samples, message):
    with pytest.raises(ExportError, match=message):
        exporter.convert(models.plain(), samples=samples)


def test_operations_without_a_builtin():
    class Strings(keras.layers.Layer):
        def call(self, x):
            import tensorflow as tf

            return tf.strings.to_number(tf.strings.as_string(x))

    model = keras.Sequential([keras.Input((4,)), Strings()])
    with pytest.raises(ExportError, match=r"built-in TFLite operators.*AsString"):
        exporter.convert(model)


def test_tolerance():
    x = models.samples()
    with pytest.raises(ExportError, match=r"tolerance.*'scores'"):
        exporter.convert(models.plain(), precision="int8", representative_data=x, tolerance=1e-9)
    exporter.convert(models.plain(), samples=x, tolerance=1e-4)


def test_float16_overflow():
    model = models.plain()
    bias = model.get_layer("second").bias
    bias.assign(np.full(bias.shape, 1e6))
    with pytest.raises(ExportError, match="65504"):
        exporter.convert(model, precision="float16")


def test_a_model_that_is_not_finite_on_the_samples():
    class Divides(keras.layers.Layer):
        def call(self, x):
            return 1.0 / (x - x)

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2), Divides()])
    with pytest.raises(ExportError, match=r"NaN or infinite|not finite"):
        exporter.convert(model)


@pytest.mark.filterwarnings("ignore::keras_compress.exporter.ExportWarning")
def test_export_handlers():
    class Swish(keras.layers.Layer):
        def call(self, x):
            return x * keras.ops.sigmoid(x)

    class Broken(Swish):
        pass

    @exporter.register_export_handler(Swish)
    def hard_swish(layer, x):
        return x * keras.ops.relu6(x + 3) / 6

    @exporter.register_export_handler(Broken)
    def shifted(layer, x):
        return x + 100.0

    try:
        model = models.randomized(
            keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), Swish()])
        )
        exported = exporter.convert(model)
        assert "LOGISTIC" not in exported.operators
        # Verified against what the layer itself computes, so the difference shows.
        assert 1e-3 < exported.verification.max_abs_error < 0.5
        with pytest.raises(ExportError, match="tolerance"):
            exporter.convert(
                keras.Sequential([keras.Input((4,)), Broken()]),
                samples=np.ones((1, 4)),
                tolerance=1,
            )
        with pytest.raises(ExportError, match="one export handler"):
            exporter.register_export_handler(Swish, lambda layer, x: x)
    finally:
        from keras_compress.exporter import handlers

        handlers._HANDLERS.pop(Swish)
        handlers._HANDLERS.pop(Broken)
    with pytest.raises(ExportError, match="class"):
        exporter.register_export_handler("Swish", lambda layer, x: x)
