"""Running a `.tflite` model on this machine, in real numbers."""

from __future__ import annotations

import numpy as np

from keras_compress.errors import ExportError, KerasCompressError
from keras_compress.tflite.model_file import Signature, Tensor, TfliteFile
from keras_compress.tflite.runtime import load_runtime, make_interpreter

__all__ = ["densified_constants", "dequantized", "quantized", "run_tflite", "signature_of"]


def run_tflite(data: bytes, file: TfliteFile, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a `.tflite` model of batch 1 over `rows` and return its results by name.

    Float samples are quantized for, and quantized results dequantized from, an integer model.

    Args:
        data: The file.
        file: The same, read.
        rows: For each argument of its signature, an array with samples along the first axis.

    Raises:
        ExportError: If the runtime refuses the model or fails on a sample.
    """
    signature = signature_of(file)
    collected: dict[str, list[np.ndarray]] = {name: [] for name in signature.outputs}
    try:
        interpreter = make_interpreter(load_runtime(), data)
        interpreter.allocate_tensors()
        for i in range(len(next(iter(rows.values())))):
            for name, index in signature.inputs.items():
                value = quantized(rows[name][i : i + 1], file.tensor(index))
                interpreter.set_tensor(index, value)
            interpreter.invoke()
            for name, index in signature.outputs.items():
                value = interpreter.get_tensor(index)
                collected[name].append(dequantized(value, file.tensor(index)))
    except (RuntimeError, ValueError) as error:
        if isinstance(error, KerasCompressError):
            raise
        raise ExportError(
            "The runtime can't run the converted model on these samples: "
            f"{' '.join(str(error).split())[:300]}. Results whose size depends on the input, and "
            "layers whose results are always zero in int8, do this."
        ) from error
    return {name: _concatenated(parts) for name, parts in collected.items()}


def _concatenated(parts: list[np.ndarray]) -> np.ndarray:
    # A result without a sample axis is one number, or one table, a sample.
    if parts[0].ndim == 0 or any(part.shape[1:] != parts[0].shape[1:] for part in parts):
        return np.concatenate([part.reshape(-1) for part in parts])
    return np.concatenate(parts)


def densified_constants(data: bytes, file: TfliteFile) -> dict[int, np.ndarray]:
    """Return the values of constants stored sparse, by index, as the runtime unpacks them."""
    pairs = [
        (operator.inputs[0], operator.outputs[0])
        for operator in file.operators
        if operator.name == "DENSIFY"
    ]
    if not pairs:
        return {}
    interpreter = make_interpreter(load_runtime(), data, delegate="none", keep_every_tensor=True)
    interpreter.allocate_tensors()
    for index in file.inputs:
        tensor = file.tensor(index)
        interpreter.set_tensor(index, np.zeros(tensor.shape, tensor.dtype.lower()))
    interpreter.invoke()
    return {source: interpreter.get_tensor(result).copy() for source, result in pairs}


def quantized(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Return `values` as `tensor` holds them; as they are if it isn't quantized."""
    if tensor.dtype not in ("INT8", "UINT8", "INT16") or not tensor.scales.size:
        return values
    scale, zero_point = tensor.quantization()
    limits = np.iinfo(tensor.dtype.lower())
    rounded = np.round(values / scale) + zero_point
    return np.clip(rounded, limits.min, limits.max).astype(limits.dtype)


def dequantized(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Return the real numbers (float64) that `values` of `tensor` stand for."""
    if not tensor.scales.size:
        return values.astype(np.float64)
    scale, zero_point = tensor.quantization()
    return (values.astype(np.float64) - zero_point) * scale


def signature_of(file: TfliteFile) -> Signature:
    """Return the one signature of an exported file.

    Raises:
        ExportError: If it has none.
    """
    if not file.signatures:
        raise ExportError("The model has no signature, so its arguments have no names.")
    return file.signatures[0]
