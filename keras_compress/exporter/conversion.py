"""Running TensorFlow's converter over a traced model, with batch 1 and built-in operators."""

from __future__ import annotations

import logging
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.errors import ExportError
from keras_compress.exporter.ai_edge import quantize_with_ai_edge
from keras_compress.exporter.checks import layers_of
from keras_compress.exporter.converter_process import (
    ConverterCrashError,
    can_crash,
    run_converter_apart,
)
from keras_compress.exporter.inputs import ModelInputs
from keras_compress.exporter.tf_converter import ConverterSettings, run_converter
from keras_compress.exporter.tracing import Trace
from keras_compress.exporter.zero_biases import cleared_marks, marked_zero_biases
from keras_compress.tflite.in_place import keep_outputs
from keras_compress.tflite.model_file import TfliteFile
from keras_compress.tflite.reader import read_tflite

if TYPE_CHECKING:
    import keras

__all__ = ["convert_trace"]


def convert_trace(
    trace: Trace,
    model: keras.Model,
    inputs: ModelInputs,
    *,
    precision: str,
    calibration: list[np.ndarray] | None,
    io_dtype: str | None,
    per_channel: bool,
    sparse: bool,
    allow_custom_ops: bool,
    trained_ranges: bool = False,
    quantizer: str = "tensorflow",
) -> tuple[bytes, dict[str, int]]:
    """Return the `.tflite` bytes of a traced model, and its tensor behind each of its results.

    The arguments are those of `convert`, and whether the model brings its ranges itself. The
    results are those of the trace, probes included, which are no longer results of the file.

    Raises:
        ExportError: If an operation has no built-in TFLite counterpart, or the converter fails.
    """
    import tensorflow as tf

    holder = tf.Module()
    # `from_concrete_functions` leaves Keras 3 variables unfrozen; a SavedModel freezes them,
    # if something it saves owns them.
    holder.kept_variables = [variable.value for variable in model.variables]
    holder.serving = trace.function
    by_ai_edge = quantizer == "ai-edge"
    settings = ConverterSettings(
        "float32" if by_ai_edge else precision,
        None if by_ai_edge else io_dtype,
        per_channel,
        sparse,
        allow_custom_ops,
        trained_ranges,
    )
    rows = None
    if calibration is not None:
        names = [spec.name for spec in inputs.specs]
        rows = dict(zip(names, calibration, strict=True))
    with (
        tempfile.TemporaryDirectory(prefix="keras_compress_") as scratch,
        marked_zero_biases(model) as marked,
    ):
        folder = str(Path(scratch, "saved"))
        _save(tf, holder, folder, trace, model)
        try:
            if can_crash(trace.concrete, settings.precision):
                data = run_converter_apart(folder, settings, rows, scratch=scratch)
            else:
                data = run_converter(folder, settings, rows)
        except ConverterCrashError as crash:
            raise ExportError(_explain_crash(model, crash, precision)) from None
        except Exception as error:
            raise ExportError(_explain(model, error)) from error
    if marked:
        data = cleared_marks(data)
    if by_ai_edge:
        data = quantize_with_ai_edge(data, precision=precision, io_dtype=io_dtype, calibration=rows)
    file = read_tflite(data)
    _check_result(file, model, allow_custom_ops)
    indices = dict(file.signatures[0].outputs) if file.signatures else {}
    return keep_outputs(data, trace.outputs), indices


def _save(tf: Any, holder: Any, folder: str, trace: Trace, model: keras.Model) -> None:
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        tf.saved_model.save(holder, folder, signatures=trace.concrete)
    except AssertionError as error:
        # What TensorFlow says of it is about objects that users of Keras never see.
        raise ExportError(
            f"An exported model computes from its inputs and weights alone. Received: "
            f"{model.name!r}, which reads a look-up table, or a state that is no weight, such as "
            f"a stateful recurrent layer's{_named(_stateful(model))}. Do look-ups in the app, and "
            "give a state to the model as an input."
        ) from error
    finally:
        logger.setLevel(level)


def _stateful(model: keras.Model) -> list[str]:
    return [layer.name for layer in layers_of(model) if getattr(layer, "stateful", False)]


def _rolled(model: keras.Model) -> list[str]:
    """Names of the recurrent layers that run as a loop."""
    import keras

    return [
        layer.name
        for layer in layers_of(model)
        if isinstance(layer, keras.layers.RNN) and not layer.unroll
    ]


def _named(names: list[str]) -> str:
    return f" ({', '.join(repr(name) for name in names[:5])})" if names else ""


def _explain_crash(model: keras.Model, crash: ConverterCrashError, precision: str) -> str:
    rolled = _rolled(model)
    if rolled:
        cause = (
            f"Recurrent layers that run as a loop do this: {', '.join(map(repr, rolled[:5]))}. "
            "Build the same model with `unroll=True` in these layers, give it the weights "
            "(`unrolled.set_weights(model.get_weights())`) and export that"
        )
    else:
        cause = "Loops and branches do this: write them out as single steps"
    return (
        f"TFLite's converter crashed on {model.name!r} while converting to {precision} ({crash}). "
        f'{cause}; or export with precision="dynamic" or "float16".'
    )


def _check_result(file: TfliteFile, model: keras.Model, allow_custom_ops: bool) -> None:
    flex = [name for name in file.custom_operators if name.startswith("Flex")]
    custom = [name for name in file.custom_operators if not name.startswith("Flex")]
    if flex or (custom and not allow_custom_ops):
        raise ExportError(
            "An exported model has built-in TFLite operators alone. Received: "
            f"{', '.join(flex or custom)} in {model.name!r}. Replace the layers behind them."
        )
    for tensor in file.tensors:
        if tensor.is_readable and tensor.dtype in ("FLOAT32", "FLOAT16"):
            values = tensor.array()
            if not np.isfinite(values).all():
                raise ExportError(
                    "The converter made a constant that is not finite: "
                    f"{tensor.name!r}. A BatchNormalization with a variance near zero, or "
                    "weights too large for the precision, do this."
                )


def _explain(model: keras.Model, error: Exception) -> str:
    """Turn a converter's pages of output into the operators that it has no counterpart for."""
    text = str(error)
    found = re.search(r"(?:Flex|Custom|TF Select) ops?: ([^\n]+)", text)
    if found is None:
        unlegalized = sorted(set(re.findall(r"'(tf\.[A-Za-z0-9_]+)' op is", text)))
        names = ", ".join(unlegalized)
    else:
        names = found.group(1).strip()
    if names:
        return (
            "An exported model has built-in TFLite operators alone. Received: operations "
            f"without one in {model.name!r}: {names}. Replace the layers that use them."
        )
    line = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    return f"TFLite's converter failed on {model.name!r}: {line.strip()[:400]}"
