"""tfmot's masks as tensors: made inside the graph of a training step, as tfmot makes them.

The patterns of `keras_compress.pruning` rank on the host and prune exactly the share asked for.
tfmot compares with a threshold, so that equal magnitudes are kept together, and pools blocks from
another corner than it masks them. Who comes from there finds the same masks to the last value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


def magnitude_mask(weight: Tensor, sparsity: Tensor) -> tuple[Tensor, Tensor]:
    """Return `(threshold, mask)`: a bool mask that keeps magnitudes from the threshold on.

    Args:
        weight: Tensor of any shape.
        sparsity: Share of zeros, a float32 scalar in [0, 1). One value is kept at least.
    """
    ops = keras.ops
    magnitudes = ops.abs(weight)
    size = int(np.prod(magnitudes.shape))
    kept = ops.round(ops.cast(size, "float32") * (1.0 - ops.cast(sparsity, "float32")))
    place = size - ops.cast(ops.maximum(kept, 1.0), "int32")
    threshold = ops.take(ops.sort(ops.reshape(magnitudes, (-1,))), place)
    return threshold, ops.greater_equal(magnitudes, threshold)


def block_mask(
    weight: Tensor, sparsity: Tensor, block_size: Sequence[int], pooling: str
) -> tuple[Tensor, Tensor]:
    """Return `(threshold, mask)` of blocks that are kept or pruned as a whole.

    Args:
        weight: Tensor that is a matrix but for axes of size 1.
        sparsity: Share of blocks to prune, a float32 scalar in [0, 1).
        block_size: Rows and columns of a block; those at the edges may be smaller.
        pooling: `"AVG"` or `"MAX"` magnitude of a block.

    Raises:
        KerasCompressError: As in tfmot, if the weight holds one row or one column of blocks.
    """
    ops = keras.ops
    matrix = ops.squeeze(weight) if len(weight.shape) > 2 else weight
    pool = ops.average_pool if pooling == "AVG" else ops.max_pool
    rows, columns = (int(n) for n in block_size)
    if len(matrix.shape) != 2 or matrix.shape[0] <= rows or matrix.shape[1] <= columns:
        raise KerasCompressError(
            "A weight must hold at least two rows and two columns of blocks, as in tfmot. "
            f"Received: blocks of {rows} x {columns} for a weight of shape {tuple(weight.shape)}. "
            "Choose smaller blocks, or prune by `keras_compress.pruning` with `Blocks`."
        )

    def pooled(values: Tensor, size: int) -> Tensor:
        return pool(ops.expand_dims(values, 0), size, size, padding="same")[0]

    scores = ops.transpose(pooled(ops.transpose(pooled(ops.abs(matrix), rows)), columns))
    threshold, mask = magnitude_mask(scores, sparsity)
    mask = ops.repeat(ops.repeat(mask, rows, axis=0), columns, axis=1)
    height, width = matrix.shape
    return threshold, ops.reshape(mask[:height, :width], weight.shape)


def m_by_n_mask(weight: Tensor, m_by_n: tuple[int, int]) -> Tensor:
    """Return a bool mask with at least m zeros in each n consecutive inputs.

    Args:
        weight: Tensor of shape `(inputs, outputs)` or `(height, width, inputs, outputs)`.
        m_by_n: m and n. Inputs that n doesn't divide are filled up with zeros.

    Raises:
        KerasCompressError: If the weight is of another rank.
    """
    ops = keras.ops
    shape = tuple(int(size) for size in weight.shape)
    if len(shape) not in (2, 4):
        raise KerasCompressError(
            "m by n sparsity is laid on weights of 2 or 4 dimensions. "
            f"Received: a weight of shape {shape}. Prune its layer without `sparsity_m_by_n`."
        )
    zeros, group = m_by_n
    # As TFLite stores them: inputs last.
    there, back = ((1, 0), (1, 0)) if len(shape) == 2 else ((3, 0, 1, 2), (1, 2, 3, 0))
    laid = ops.transpose(ops.abs(weight), there)
    inputs = shape[-2]
    rows = ops.reshape(laid, (-1, inputs))
    rows = ops.pad(rows, ((0, 0), (0, -inputs % group)))
    groups = ops.reshape(rows, (-1, group))
    _, places = ops.top_k(groups, group - zeros)
    kept = ops.any(ops.cast(ops.one_hot(places, group), "bool"), axis=-2)
    mask = ops.reshape(kept, rows.shape)[:, :inputs]
    return ops.transpose(ops.reshape(mask, laid.shape), back)
