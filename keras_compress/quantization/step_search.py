"""The steps that weights start from where they are trained: those of least error, or their own."""

from __future__ import annotations

import numpy as np

from keras_compress.quantization.numerics import LEAST_STEP

__all__ = ["best_steps"]

# How far a weight may lie from a multiple of a step that it is said to lie on, in steps.
_OFF_GRID = 1e-3


def best_steps(kernel: np.ndarray, axes: tuple[int, ...], limit: int) -> np.ndarray:
    """Return the steps by which integers up to `limit` come nearest to a kernel.

    Weights that are few multiples of one step already, as rate-aware training leaves them, keep
    that step, and so every one of their values.

    Args:
        kernel: The kernel, float32.
        axes: The axes that count the channels, each with a step of its own; empty for one step in
            all.
        limit: The largest integer.

    Returns:
        Steps above 0 that broadcast against `kernel`.
    """
    axes = tuple(axis % kernel.ndim for axis in axes)
    others = tuple(axis for axis in range(kernel.ndim) if axis not in axes)
    magnitudes = np.abs(kernel)
    largest = np.maximum(magnitudes.max(axis=others, keepdims=True) / limit, LEAST_STEP)
    best, least = largest, np.full(largest.shape, np.inf)
    for share in np.linspace(1.0, 0.3, 36):
        steps = largest * share
        error = np.clip(np.rint(kernel / steps), -limit, limit) * steps - kernel
        total = np.square(error, dtype=np.float64).sum(axis=others, keepdims=True)
        best, least = np.where(total < least, steps, best), np.minimum(total, least)
    own = np.where(magnitudes > 0, magnitudes, np.inf).min(axis=others, keepdims=True)
    multiples = kernel / np.where(np.isfinite(own), own, 1.0)
    off = np.abs(multiples - np.rint(multiples)).max(axis=others, keepdims=True)
    fits = np.isfinite(own) & (off < _OFF_GRID) & (largest <= own * (1 + _OFF_GRID))
    return np.where(fits, own, best).astype(np.float32)
