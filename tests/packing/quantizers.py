"""What quantizers leave of weights once they are dequantized: levels times a scale a block."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.packing.foreign_models import Foreign

_T = schema.TensorType
_TYPES = {"float32": _T.FLOAT32, "float16": _T.FLOAT16, "bfloat16": _T.BFLOAT16}
_NF4 = np.array([
    -1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.09105004, 0.0,
    0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0,
], np.float32)  # fmt: skip


def weights(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Rows of unlike spread."""
    rng = np.random.default_rng(seed)
    spread = np.exp(rng.normal(-3, 0.5, (rows, 1)))
    return (rng.standard_t(6, (rows, columns)) * spread).astype(np.float32)


def _half(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float16).astype(np.float32)


def q4_0(b: np.ndarray) -> np.ndarray:
    """GGUF's: the element of the largest size is -8, and the scale may be below zero."""
    largest = np.take_along_axis(b, np.abs(b).argmax(1)[:, None], 1)
    scale = _half(largest / -8)
    return (np.clip(np.floor(b / scale + 8.5), 0, 15) - 8) * scale


def q4_1(b: np.ndarray) -> np.ndarray:
    """GGUF's: from the smallest element on."""
    least = b.min(1, keepdims=True)
    step = (b.max(1, keepdims=True) - least) / 15
    return np.round((b - least) / step) * _half(step) + _half(least)


def q8_0(b: np.ndarray) -> np.ndarray:
    """GGUF's: to 127 either way."""
    step = np.abs(b).max(1, keepdims=True) / 127
    return np.round(b / step) * _half(step)


def int4(b: np.ndarray) -> np.ndarray:
    """To 7 either way, of a float32 scale; what rounds to zero keeps its sign."""
    scale = np.abs(b).max(1, keepdims=True) / np.float32(7)
    return np.round(b / scale) * scale


def nf4(b: np.ndarray) -> np.ndarray:
    """Levels that are no integers."""
    scale = np.abs(b).max(1, keepdims=True)
    return _NF4[np.abs(b[..., None] / scale[..., None] - _NF4).argmin(-1)] * scale


def zero_point(b: np.ndarray) -> np.ndarray:
    """Asymmetric, with an integer zero point a block."""
    low, high = np.minimum(b.min(1), 0), np.maximum(b.max(1), 0)
    scale = ((high - low) / 15).astype(np.float32)[:, None]
    zero = np.round(-low[:, None] / scale)
    return (np.clip(np.round(b / scale) + zero, 0, 15) - zero) * scale


QUANTIZERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "q4_0": q4_0, "q4_1": q4_1, "q8_0": q8_0, "int4": int4, "nf4": nf4, "zero_point": zero_point,
}  # fmt: skip


def blockwise(name: str, shape: tuple[int, int], block: int, *, axis: int = 1, seed: int = 0):
    """Weights of `shape` as the quantizer leaves them, in blocks along an axis."""
    w = weights(*shape, seed)
    w = w if axis else np.ascontiguousarray(w.T)
    made = QUANTIZERS[name](w.reshape(-1, block)).astype(np.float32).reshape(w.shape)
    return made if axis else np.ascontiguousarray(made.T)


def model_of(tensors: dict[str, np.ndarray], dtype: str = "float32") -> bytes:
    """A model with these tensors in a type of floats."""
    f = Foreign()
    for name, values in tensors.items():
        values = values.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        f.tensor(name, _TYPES[dtype], values.shape, f.buffer(values.tobytes()))
    return f.finish()
