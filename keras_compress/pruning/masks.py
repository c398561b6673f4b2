"""Magnitude criterion: which weights to keep.

Pruning by absolute value is the criterion of Han et al. (arXiv 1506.02626, section 3) and of
Deep Compression (arXiv 1510.00149, section 2).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def magnitude_mask(weight: np.ndarray, sparsity: float) -> np.ndarray:
    """Return the mask that keeps the largest weights by absolute value.

    Args:
        weight: Array of any shape.
        sparsity: Share to prune, in [0, 1); `round(sparsity * size)` values are pruned, no more
            and no fewer, ties included.

    Returns:
        A bool array of the same shape, `True` where a weight is kept.
    """
    return global_magnitude_masks([weight], sparsity)[0]


def global_magnitude_masks(weights: Sequence[np.ndarray], sparsity: float) -> list[np.ndarray]:
    """Return masks that keep the largest values of all `weights` ranked together.

    Args:
        weights: Arrays of any shapes.
        sparsity: Share of all their values to prune, in [0, 1).

    Returns:
        A bool array for each of `weights`, `True` where a value is kept.
    """
    magnitudes = np.concatenate([np.abs(weight).ravel() for weight in weights])
    keep = np.ones(magnitudes.size, dtype=bool)
    pruned = min(round(sparsity * magnitudes.size), magnitudes.size - 1)
    if pruned > 0:
        keep[np.argpartition(magnitudes, pruned - 1)[:pruned]] = False
    bounds = np.cumsum([weight.size for weight in weights])[:-1]
    parts = np.split(keep, bounds)
    return [part.reshape(weight.shape) for part, weight in zip(parts, weights, strict=True)]
