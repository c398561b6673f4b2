"""Keeping what pruning and clustering left: zeros at zero, equal weights equal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from keras import ops

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["mean_of_clusters", "numbered_clusters"]


def numbered_clusters(kernel: Tensor) -> np.ndarray:
    """Return for each weight the number of its value among the values of the kernel, int32."""
    values = np.asarray(kernel, np.float32)
    return np.unique(values, return_inverse=True)[1].reshape(values.shape).astype(np.int32)


def mean_of_clusters(kernel: Tensor, clusters: object) -> Tensor:
    """Return the kernel with the mean of its cluster in the place of each weight.

    Each weight of a cluster then has the same gradient, so that an optimizer keeps them equal.

    Args:
        kernel: The kernel.
        clusters: For each weight the number of its cluster, of the same shape.
    """
    size = math.prod(int(n) for n in kernel.shape)
    flat, numbers = ops.reshape(kernel, (-1,)), ops.reshape(clusters, (-1,))
    sums = ops.segment_sum(flat, numbers, num_segments=size)
    counts = ops.segment_sum(ops.ones_like(flat), numbers, num_segments=size)
    means = sums / ops.maximum(counts, 1.0)
    return ops.reshape(ops.take(means, numbers), kernel.shape)
