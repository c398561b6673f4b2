"""Magnitude criterion: which weights to keep.

Pruning by absolute value is the criterion of Han et al. (arXiv 1506.02626, section 3) and of
Deep Compression (arXiv 1510.00149, section 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from keras_compress.errors import KerasCompressError


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


def block_mask(
    weight: np.ndarray,
    sparsity: float,
    block_size: tuple[int, int],
    pooling: Literal["AVG", "MAX"] = "AVG",
) -> np.ndarray:
    """Return the mask that keeps whole blocks of a matrix, those of the largest magnitude.

    Args:
        weight: A matrix; sizes of 1 are left out of its shape. Blocks at the right and lower
            border may be cut.
        sparsity: Share of the blocks to prune, in [0, 1).
        block_size: Rows and columns of a block.
        pooling: How a block's magnitude is taken: `"AVG"` or `"MAX"`. Defaults to `"AVG"`.

    Returns:
        A bool array shaped like `weight`, `True` where a weight is kept.

    Raises:
        KerasCompressError: If `weight` has not two dimensions above 1.
    """
    matrix = np.abs(weight.squeeze()) if weight.ndim > 2 else np.abs(weight)
    if matrix.ndim != 2:
        raise KerasCompressError(
            "Block sparsity can only be used for 2-dimensional weights. "
            f"Received: a weight of shape {weight.shape}."
        )
    (rows, columns), (height, width) = matrix.shape, block_size
    down, across = -(-rows // height), -(-columns // width)
    margin = ((0, down * height - rows), (0, across * width - columns))
    blocks = np.pad(matrix, margin, constant_values=np.nan).reshape(down, height, across, width)
    pooled = (np.nanmean if pooling == "AVG" else np.nanmax)(blocks, axis=(1, 3))
    keep = magnitude_mask(pooled, sparsity)
    grown = keep.repeat(height, axis=0).repeat(width, axis=1)
    return grown[:rows, :columns].reshape(weight.shape)


def n_of_m_mask(weight: np.ndarray, zeros: int, group: int) -> np.ndarray:
    """Return the mask with `zeros` zeros in each `group` consecutive inputs of an output.

    With `zeros=2, group=4` it is the 2:4 pattern that sparse hardware and XNNPACK read (Mishra
    et al., arXiv 2104.08378, section 3). The inputs of an output lie side by side in a
    `.tflite` file, so the groups run along the second last axis of a Keras kernel.

    Args:
        weight: A kernel of two or more dimensions, `(..., inputs, outputs)`.
        zeros: Values to prune in each group.
        group: Size of a group; the last one of an output may be cut and then prunes less.

    Returns:
        A bool array shaped like `weight`, `True` where a weight is kept.
    """
    inputs_last = np.abs(np.moveaxis(weight, -2, -1))
    inputs = inputs_last.shape[-1]
    margin = [(0, 0)] * (weight.ndim - 1) + [(0, -inputs % group)]
    groups = np.pad(inputs_last, margin).reshape(-1, group)
    keep = np.ones(groups.shape, dtype=bool)
    order = np.argsort(groups, axis=1, kind="stable")[:, :zeros]
    np.put_along_axis(keep, order, False, axis=1)
    kept = keep.reshape(*inputs_last.shape[:-1], -1)[..., :inputs]
    return np.moveaxis(kept, -1, -2)
