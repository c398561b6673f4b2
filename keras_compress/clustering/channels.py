"""A codebook for each output channel, laid end to end as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_compress.clustering.codebook import (
    Codebook,
    Initialization,
    existing_codebook,
    make_codebook,
)

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class ChannelCodebook(Codebook):
    """Codebooks of the channels of one weight, one after the other.

    Attributes:
        fixed: bool, shaped like `centroids`: which of them are the fixed zeros of pruned weights.
    """

    fixed: np.ndarray

    def free(self) -> np.ndarray:
        return np.asarray(~self.fixed, dtype=np.float32)


def channel_axis(variable: keras.Variable) -> int:
    """Return the axis of the output channels of a kernel."""
    return -2 if variable.name == "depthwise_kernel" else -1


def codebook_size(variable: keras.Variable, n_clusters: int, per_channel: bool) -> int:
    """Return how many centroids the weight has in all."""
    return n_clusters * int(variable.shape[channel_axis(variable)]) if per_channel else n_clusters


def make_channel_codebook(
    weight: np.ndarray,
    n_clusters: int,
    axis: int,
    *,
    init: Initialization,
    preserve_sparsity: bool,
    seed: int,
) -> ChannelCodebook:
    """Return the codebooks of `weight`, `n_clusters` for each place of `axis`.

    A channel with no more distinct values than clusters keeps its values.
    """
    channels = np.moveaxis(weight, axis, 0)
    centroids, assignments, fixed = [], [], []
    for place, channel in enumerate(channels):
        if np.unique(channel).size <= n_clusters:
            codebook = existing_codebook(channel, n_clusters, preserve_sparsity)
        else:
            codebook = make_codebook(
                channel, n_clusters, init=init, preserve_sparsity=preserve_sparsity, seed=seed
            )
        centroids.append(codebook.centroids)
        assignments.append(codebook.assignment + np.int32(place * n_clusters))
        fixed.append(codebook.free() == 0)
    assignment = np.moveaxis(np.stack(assignments), 0, axis)
    return ChannelCodebook(np.concatenate(centroids), assignment, False, np.concatenate(fixed))
