"""What the integers of a quantized file can hold, and which values lie beyond."""

from __future__ import annotations

import numpy as np

from keras_compress.tflite.model_file import Tensor, TfliteFile

__all__ = ["clipped_inputs", "integer_limits", "result_limits", "result_step", "share_outside"]


def integer_limits(tensor: Tensor) -> tuple[float, float] | None:
    """The ends of what a quantized tensor can hold, a step beyond; `None` for any other."""
    if tensor.dtype not in ("INT8", "UINT8", "INT16") or tensor.scales.size != 1:
        return None
    scale, zero_point = (float(np.asarray(part).reshape(-1)[0]) for part in tensor.quantization())
    ends = np.iinfo(tensor.dtype.lower())
    return (ends.min - zero_point - 1) * scale, (ends.max - zero_point + 1) * scale


def result_limits(file: TfliteFile, name: str) -> tuple[float, float] | None:
    """The same for the result `name` of a file with a signature, be it turned to float or not."""
    return integer_limits(_computed_result(file, name))


def result_step(file: TfliteFile, name: str) -> float | None:
    """The distance of two numbers of an integer result; `None` for a float one."""
    tensor = _computed_result(file, name)
    return None if integer_limits(tensor) is None else float(tensor.scales[0])


def _computed_result(file: TfliteFile, name: str) -> Tensor:
    index = file.signatures[0].outputs[name]
    for operator in file.operators:
        if operator.name == "DEQUANTIZE" and index in operator.outputs:
            index = operator.inputs[0]
    return file.tensor(index)


def share_outside(values: np.ndarray, limits: tuple[float, float] | None) -> float:
    """The share of `values` beyond `limits`; 0 where there are none."""
    if limits is None or not values.size:
        return 0.0
    # Softmax ends a step below 1; the last bit of a float decides nothing.
    slack = 1e-6 * (limits[1] - limits[0])
    outside = (values < limits[0] - slack) | (values > limits[1] + slack)
    return float(outside.mean())


def clipped_inputs(
    file: TfliteFile, rows: dict[str, np.ndarray]
) -> dict[str, tuple[float, float, float]]:
    """For inputs whose samples the file's integers can't hold: the share beyond, and the ends.

    Args:
        file: A converted file with a signature.
        rows: For each argument of the signature, samples.
    """
    found = {}
    for name, index in file.signatures[0].inputs.items():
        for operator in file.operators:
            if operator.name == "QUANTIZE" and index in operator.inputs:
                index = operator.outputs[0]
        limits = integer_limits(file.tensor(index))
        share = share_outside(rows[name].astype(np.float64), limits)
        if share and limits is not None:
            found[name] = (share, *limits)
    return found
