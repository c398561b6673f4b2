"""The binary way of `convert`: custom operators for binary layers, and a fallback without any."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.exporter.binary_rewrite import rewrite_binary
from keras_compress.exporter.export_result import BinaryParts, Export, ExportWarning
from keras_compress.exporter.verification import Verification

if TYPE_CHECKING:
    import keras

__all__ = ["has_binary_kernels", "with_custom_operators"]


def has_binary_kernels(model: keras.Model) -> bool:
    """Whether a model has layers whose kernels are -1 and +1 times a scale."""
    from keras_compress.exporter.checks import layers_of

    return any(getattr(layer, "has_binary_kernel", False) for layer in layers_of(model))


def with_custom_operators(
    fallback: Export,
    verify: Callable[[bytes, Any], Verification] | None,
    rows: dict[str, np.ndarray],
) -> Export:
    """Return the binary export of `fallback`, or itself where no binary layer is found.

    Args:
        fallback: The model converted to built-in operators.
        verify: What compares a file, given as bytes and as read, with Keras; `None` to verify
            nothing.
        rows: For each argument of the model, samples to compare the two files on.
    """
    from keras_compress.tflite.reader import read_tflite
    from keras_compress.tflite.running import run_tflite

    rewritten = rewrite_binary(fallback.tflite)
    if not rewritten.layers and not rewritten.packed_weights:
        note = (
            "None of the model's binary layers could be stored as bits: the converter left none "
            f"with a kernel of two values and at least 1,024 weights in {fallback.precision}."
        )
        warnings.warn(note, ExportWarning, stacklevel=4)
        return replace(fallback, notes=(*fallback.notes, note))
    file = read_tflite(rewritten.tflite)
    checked, difference = None, None
    if verify is not None and fallback.verification is not None:
        checked = replace(
            verify(rewritten.tflite, file),
            # Tensors inside the binary file may hold bits, so layers are compared in the fallback.
            layers=fallback.verification.layers,
            unmapped_layers=fallback.verification.unmapped_layers,
        )
        received = run_tflite(rewritten.tflite, file, rows)
        expected = run_tflite(fallback.tflite, read_tflite(fallback.tflite), rows)
        difference = max(
            float(np.linalg.norm(received[name] - wanted))
            / max(float(np.linalg.norm(wanted)), 1e-30)
            for name, wanted in expected.items()
        )
    parts = BinaryParts(
        fallback,
        rewritten.layers,
        rewritten.packed_weights,
        rewritten.passed_as_bits,
        difference,
    )
    return replace(
        fallback,
        tflite=rewritten.tflite,
        verification=checked,
        operators=tuple(operator.name for operator in file.operators),
        binary=parts,
    )
