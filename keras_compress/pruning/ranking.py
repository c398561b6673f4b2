"""Keeps the highest of scores, of one array or of several ranked together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def keep_highest(
    scores: Sequence[np.ndarray], sparsity: float, minimum: int = 1
) -> list[np.ndarray]:
    """Return masks that keep the highest of all `scores`, ranked together.

    Args:
        scores: Arrays of any shapes.
        sparsity: Share to drop, in [0, 1]: `round(sparsity * size)` of them, no more and no
            fewer, ties included.
        minimum: How many are kept at least. Defaults to `1`.

    Returns:
        A bool array for each of `scores`, `True` where it is kept.
    """
    together = np.concatenate([each.ravel() for each in scores])
    keep = np.ones(together.size, dtype=bool)
    dropped = min(round(sparsity * together.size), together.size - minimum)
    if dropped > 0:
        keep[np.argpartition(together, dropped - 1)[:dropped]] = False
    bounds = np.cumsum([each.size for each in scores])[:-1]
    parts = np.split(keep, bounds)
    return [part.reshape(each.shape) for part, each in zip(parts, scores, strict=True)]
