"""`export_binary`: a model with binary layers as custom operators, and its twin without any."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_compress.errors import ExportError
from keras_compress.exporter.binary_rewrite import TWIN_NAME, rewrite_binary
from keras_compress.exporter.pipeline import Export, convert

__all__ = ["BinaryExport", "convert_binary", "export_binary"]


@dataclass(frozen=True)
class BinaryExport:
    """A binary model and its twin.

    Attributes:
        tflite: The file with custom operators; open it with `keras_compress.load_interpreter`.
        twin: The `Export` of the same model in built-in operators alone, verified against Keras.
        binary: Names of the results of layers that compute with bits.
        packed_weights: Names of kernels stored as bits for layers with real inputs.
        passed_as_bits: Names of tensors that go from layer to layer as bits.
        relative_error: Largest relative error of a result against Keras' own, on the samples that
            the twin was verified on: Euclidean norm of the difference over that of the result.
            `None` if it was not verified.
    """

    tflite: bytes
    twin: Export
    binary: tuple[str, ...]
    packed_weights: tuple[str, ...]
    passed_as_bits: tuple[str, ...]
    relative_error: float | None


def convert_binary(model: Any, *, samples: Any = None, **options: Any) -> BinaryExport:
    """Convert a model with binary layers, for the binary kernels and for any runtime.

    Args:
        model: A built `keras.Model` with layers of `keras_compress.binary`.
        samples: Inputs to verify on. Defaults to `None`: as for `convert`.
        **options: The other arguments of `convert`. `precision="int8"` quantizes what is beside
            the binary layers.

    Returns:
        A `BinaryExport`.

    Raises:
        ExportError: As for `convert`, and if no binary layer is found in the converted file.
    """
    from keras_compress.exporter import inputs, tflite_file, tracing, verification

    with _constant_kernels(model):
        twin = convert(model, samples=samples, **options)
    rewritten = rewrite_binary(twin.tflite)
    if not rewritten.binary and not rewritten.packed_weights:
        raise ExportError(
            "A binary export needs layers with kernels of +scale and -scale. Received: "
            f"{model.name!r}, in whose conversion none was found. Use `convert`."
        )
    error = None
    if twin.verification is not None:
        data = options.get("representative_data") if samples is None else samples
        takes = inputs.describe_inputs(model, samples=data, input_shape=options.get("input_shape"))
        rows = takes.random_rows(16) if data is None else takes.rows(data, argument="samples")
        expected = tracing.run_model(model, takes, rows)
        file = tflite_file.read_tflite(rewritten.tflite)
        received = verification.run_tflite(
            rewritten.tflite,
            file,
            {spec.name: array for spec, array in zip(takes.specs, rows, strict=True)},
        )
        names = [output.name for output in twin.verification.outputs]
        error = max(
            float(np.linalg.norm(received[name].reshape(-1) - wanted.reshape(-1)))
            / max(float(np.linalg.norm(wanted)), 1e-30)
            for name, wanted in zip(names, expected, strict=True)
        )
    return BinaryExport(
        rewritten.tflite,
        twin,
        rewritten.binary,
        rewritten.packed_weights,
        rewritten.passed_as_bits,
        error,
    )


def export_binary(
    model: Any, folder: str | os.PathLike[str], *, codec: str = "auto", **options: Any
) -> BinaryExport:
    """Convert and write `model.tflite`, `model.kcz` and the twin, `model.twin.tflite`.

    Args:
        model: As for `convert_binary`.
        folder: Where to write; made if need be.
        codec: How `model.kcz` is packed. Defaults to `"auto"`.
        **options: The other arguments of `convert_binary`.

    Raises:
        KerasCompressError: As for `convert_binary`, and if the folder can't be written to.
    """
    from keras_compress.packing import pack
    from keras_compress.storage import write_files

    exported = convert_binary(model, **options)
    write_files(
        Path(folder),
        {
            "model.tflite": exported.tflite,
            "model.kcz": pack(exported.tflite, codec=codec),
            TWIN_NAME: exported.twin.tflite,
        },
    )
    return exported


@contextlib.contextmanager
def _constant_kernels(model: Any) -> Iterator[None]:
    """Let binary layers compute with finished kernels within the block.

    Traced, a kernel would be binarized anew from its latent weights whenever the file is run, and
    the converter would fold nothing into it.
    """
    from keras_compress.exporter.checks import layers_of

    changed = []
    try:
        for layer in layers_of(model):
            if getattr(layer, "has_binary_kernel", False):
                own = type(layer)
                values = np.asarray(layer.quantized_kernel, np.float32)
                # A property can't be shadowed on the instance.
                layer.__class__ = type(own.__name__, (own,), {"quantized_kernel": values})
                changed.append((layer, own))
        yield
    finally:
        for layer, own in changed:
            layer.__class__ = own
