"""TensorFlow's converter over a SavedModel: its settings, and one call.

Nothing of Keras or of the model's own code is needed, so that a process of its own can make the
call too.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["INTEGER_ACTIVATIONS", "ConverterSettings", "run_converter", "single_samples"]

#: The type of the activations, of the precisions that are integers throughout.
INTEGER_ACTIVATIONS = {"int8": "int8", "int16x8": "int16"}


@dataclass(frozen=True)
class ConverterSettings:
    """The arguments of `convert` that the converter has a switch for."""

    precision: str
    io_dtype: str | None
    per_channel: bool
    sparse: bool
    allow_custom_ops: bool
    trained_ranges: bool = False


def run_converter(
    folder: str, settings: ConverterSettings, calibration: dict[str, np.ndarray] | None
) -> bytes:
    """Return what the converter makes of the SavedModel in `folder`.

    Args:
        folder: The SavedModel's.
        settings: How to convert.
        calibration: For each argument of the signature, the samples that integers measure
            ranges on; `None` for the other precisions.
    """
    import tensorflow as tf

    with _quiet_logger(tf):
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.allow_custom_ops = settings.allow_custom_ops
        _set_precision(converter, tf, settings)
        if settings.precision in INTEGER_ACTIVATIONS and calibration is not None:
            converter.representative_dataset = lambda: single_samples(calibration)
        if settings.sparse:
            converter.optimizations = [
                *converter.optimizations,
                tf.lite.Optimize.EXPERIMENTAL_SPARSITY,
            ]
        data: bytes = converter.convert()
    return data


def _set_precision(converter: Any, tf: Any, settings: ConverterSettings) -> None:
    precision = settings.precision
    builtins = tf.lite.OpsSet.TFLITE_BUILTINS
    converter.target_spec.supported_ops = [builtins]
    if precision == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision in ("dynamic", *INTEGER_ACTIVATIONS):
        # TensorFlow has no public switch for one scale a tensor.
        converter._experimental_disable_per_channel = not settings.per_channel
    if precision in INTEGER_ACTIVATIONS:
        if not settings.trained_ranges:
            # With this the converter insists on data, which marked ranges make needless.
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.TFLITE_BUILTINS_INT8
                if precision == "int8"
                else tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ]
        edge = tf.dtypes.as_dtype(settings.io_dtype or INTEGER_ACTIVATIONS[precision])
        converter.inference_input_type = edge
        converter.inference_output_type = edge


def single_samples(calibration: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Iterate over the samples, each as a batch of one for each argument."""
    for i in range(len(next(iter(calibration.values())))):
        yield {name: array[i : i + 1] for name, array in calibration.items()}


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
