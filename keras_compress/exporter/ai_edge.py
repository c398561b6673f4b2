"""Quantization of a float `.tflite` by Google's ai-edge-quantizer, an optional package."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import numpy as np

from keras_compress.errors import ExportError
from keras_compress.exporter.tf_converter import single_samples
from keras_compress.tflite.reader import read_tflite

__all__ = ["quantize_with_ai_edge"]


def quantize_with_ai_edge(
    data: bytes,
    *,
    precision: str,
    io_dtype: str | None,
    calibration: dict[str, np.ndarray] | None,
) -> bytes:
    """Return the integers' `.tflite` of a float one.

    `"int8"` is the package's recipe `static_wi8_ai8`, with ranges between the least and the
    greatest value seen; `"dynamic"` is `dynamic_wi8_afp32`.

    Args:
        data: A float32 model with one signature and batch 1.
        precision: `"int8"` or `"dynamic"`.
        io_dtype: Type of inputs and results, as of `convert`.
        calibration: For each argument of the signature, the samples that `"int8"` measures
            ranges on; `None` for `"dynamic"`.

    Raises:
        ExportError: If the package isn't installed, or refuses the model.
    """
    try:
        from ai_edge_quantizer import qtyping, quantizer, recipe
    except ImportError as error:
        raise ExportError(
            'quantizer="ai-edge" is a package of its own. Received: none installed. Run '
            '`pip install "keras-compress[ai-edge]"`.'
        ) from error
    signature = read_tflite(data).signatures[0].key
    # It prints sizes and times, and its interpreter warns of what it was told to do.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            worker = quantizer.Quantizer(bytearray(data))
            if precision == "dynamic":
                worker.load_quantization_recipe(recipe.dynamic_wi8_afp32())
                return bytes(worker.quantize().quantized_model)
            worker.load_quantization_recipe(recipe.static_wi8_ai8())
            if io_dtype == "float32":
                _leave_edges_float(worker, qtyping)
            ranges: dict[str, Any] = {}
            for sample in single_samples(calibration or {}):
                # A sample at a time: over several the package takes a moving average, by which
                # much of what was seen lies outside of the range.
                _widen(ranges, worker.calibrate({signature: [sample]}))
            return bytes(worker.quantize(ranges).quantized_model)
        except (RuntimeError, ValueError, KeyError, NotImplementedError) as error:
            raise ExportError(
                'quantizer="ai-edge" must know every operator of the model. Received: one of '
                f"which it says {type(error).__name__}: {error} Use the default quantizer."
            ) from error


def _leave_edges_float(worker: Any, qtyping: Any) -> None:
    for edge in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        worker.update_quantization_recipe(
            regex=".*", operation_name=edge, algorithm_key="no_quantize"
        )


def _widen(ranges: dict[str, Any], seen: dict[str, Any]) -> None:
    for name, values in seen.items():
        if name not in ranges:
            ranges[name] = dict(values)
        elif "min" in values:
            ranges[name]["min"] = np.minimum(ranges[name]["min"], values["min"])
            ranges[name]["max"] = np.maximum(ranges[name]["max"], values["max"])
