"""Running TensorFlow's converter over a traced model, with batch 1 and built-in operators."""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_compress.errors import ExportError
from keras_compress.exporter.graph_edits import keep_outputs
from keras_compress.exporter.inputs import ModelInputs
from keras_compress.exporter.tflite_file import TfliteFile, read_tflite
from keras_compress.exporter.tracing import Trace
from keras_compress.exporter.zero_biases import cleared_marks, marked_zero_biases

__all__ = ["convert_trace"]


def convert_trace(
    trace: Trace,
    model: Any,
    inputs: ModelInputs,
    *,
    precision: str,
    calibration: list[np.ndarray] | None,
    io_dtype: str | None,
    per_channel: bool,
    sparse: bool,
    allow_custom_ops: bool,
) -> tuple[bytes, dict[str, int]]:
    """Return the `.tflite` bytes of a traced model, and its tensor behind each of its results.

    The arguments are those of `convert`. The results are those of the trace, probes included,
    which are no longer results of the file.

    Raises:
        ExportError: If an operation has no built-in TFLite counterpart, or the converter fails.
    """
    import tensorflow as tf

    holder = tf.Module()
    # `from_concrete_functions` leaves Keras 3 variables unfrozen; a SavedModel freezes them,
    # if something it saves owns them.
    holder.kept_variables = [variable.value for variable in model.variables]
    holder.serving = trace.function
    with (
        tempfile.TemporaryDirectory(prefix="keras_compress_") as folder,
        _quiet_logger(tf),
        marked_zero_biases(model) as marked,
    ):
        tf.saved_model.save(holder, folder, signatures=trace.concrete)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.allow_custom_ops = allow_custom_ops
        _set_precision(converter, tf, precision, io_dtype, per_channel)
        if precision == "int8" and calibration is not None:
            converter.representative_dataset = _calibrator(inputs, calibration)
        if sparse:
            converter.optimizations = [
                *converter.optimizations,
                tf.lite.Optimize.EXPERIMENTAL_SPARSITY,
            ]
        try:
            data = converter.convert()
        except Exception as error:
            raise ExportError(_explain(model, error)) from error
    if marked:
        data = cleared_marks(data)
    file = read_tflite(data)
    _check_result(file, model, allow_custom_ops)
    indices = dict(file.signatures[0].outputs) if file.signatures else {}
    return keep_outputs(data, trace.outputs), indices


def _set_precision(
    converter: Any, tf: Any, precision: str, io_dtype: str | None, per_channel: bool
) -> None:
    builtins = tf.lite.OpsSet.TFLITE_BUILTINS
    converter.target_spec.supported_ops = [builtins]
    if precision == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision in ("int8", "dynamic"):
        # TensorFlow has no public switch for one scale a tensor.
        converter._experimental_disable_per_channel = not per_channel
    if precision == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        edge = tf.float32 if io_dtype == "float32" else tf.int8
        converter.inference_input_type = edge
        converter.inference_output_type = edge


def _calibrator(inputs: ModelInputs, calibration: list[np.ndarray]) -> Any:
    def rows() -> Iterator[dict[str, np.ndarray]]:
        for i in range(len(calibration[0])):
            yield {
                spec.name: array[i : i + 1]
                for spec, array in zip(inputs.specs, calibration, strict=True)
            }

    return rows


def _check_result(file: TfliteFile, model: Any, allow_custom_ops: bool) -> None:
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


def _explain(model: Any, error: Exception) -> str:
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


@contextlib.contextmanager
def _quiet_logger(tf: Any) -> Iterator[None]:
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Calibration uses an interpreter of which TensorFlow warns its own users.
            warnings.filterwarnings("ignore", module="tensorflow")
            yield
    finally:
        logger.setLevel(level)
