"""Where centroids start: tfmot's four initialisations, to its numbers."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import keras
import numpy as np

from keras_compress.clustering.kmeans import kmeans_1d


class CentroidInitialization(str, Enum):  # noqa: UP042 - the bases that tfmot gives it
    """How centroids start.

    `LINEAR`: evenly from the least to the greatest value. `RANDOM`: drawn evenly between these.
    `DENSITY_BASED`: where the cumulative distribution, of 30 points, passes evenly spaced shares.
    `KMEANS_PLUS_PLUS`: values drawn by k-means++, by TensorFlow's operation and tfmot's seed;
    where another back end trains, the exact optimum of k-means in one dimension.
    """

    LINEAR = "CentroidInitialization.LINEAR"
    RANDOM = "CentroidInitialization.RANDOM"
    DENSITY_BASED = "CentroidInitialization.DENSITY_BASED"
    KMEANS_PLUS_PLUS = "CentroidInitialization.KMEANS_PLUS_PLUS"


#: Points at which the density-based start takes the cumulative distribution.
_GRID = 30


def starting_centroids(
    values: np.ndarray,
    number_of_clusters: int,
    init: CentroidInitialization,
    *,
    preserve_sparsity: bool = False,
) -> np.ndarray:
    """Return the centroids that `values` start from, float32.

    With `preserve_sparsity` one of them is zero, and the others are shared out between the
    negative and the positive values as these are many; a weight of zeros has that one alone.

    Args:
        values: Float array of any shape.
        number_of_clusters: How many.
        init: How they start.
        preserve_sparsity: Whether zeros stay zero. Defaults to `False`.
    """
    flat = np.asarray(values, dtype=np.float32).ravel()
    start = _STARTS[init]
    if not preserve_sparsity:
        return start(flat, number_of_clusters, False)
    negative, positive = flat[flat < 0], flat[flat > 0]
    zero = np.zeros(1, np.float32)
    if not negative.size + positive.size:
        return zero
    others = number_of_clusters - 1
    below = int(np.round(others * (negative.size / (negative.size + positive.size))))
    parts = (start(negative, below, True), zero, start(positive, others - below, True))
    return np.concatenate(parts)


def starting_centroids_by_channel(
    values: np.ndarray,
    number_of_clusters: int,
    init: CentroidInitialization,
    *,
    axis: int,
    preserve_sparsity: bool = False,
) -> np.ndarray:
    """Return the centroids of each channel, float32 of shape `(channels, number_of_clusters)`.

    A channel of zeros has zeros throughout.
    """
    rows = []
    for channel in np.moveaxis(values, axis, 0):
        found = starting_centroids(
            channel, number_of_clusters, init, preserve_sparsity=preserve_sparsity
        )
        rows.append(np.concatenate([found, np.zeros(number_of_clusters - found.size, np.float32)]))
    return np.stack(rows)


def _linear(values: np.ndarray, count: int, _: bool) -> np.ndarray:
    if not count or not values.size:
        return np.zeros(0, np.float32)
    return _evenly(values.min(), values.max(), count)


def _random(values: np.ndarray, count: int, _: bool) -> np.ndarray:
    if not count or not values.size:
        return np.zeros(0, np.float32)
    drawn = keras.random.uniform((count,), float(values.min()), float(values.max()))
    return np.asarray(keras.ops.convert_to_numpy(drawn), dtype=np.float32)


def _kmeans(values: np.ndarray, count: int, _: bool) -> np.ndarray:
    distinct = np.unique(values)
    if distinct.size <= count:
        # There is nothing to draw; copies of the last fill up.
        filler = np.full(count - distinct.size, distinct[-1:] if distinct.size else 0.0)
        return np.concatenate([distinct, filler]).astype(np.float32) if count else distinct[:0]
    if not count:
        return distinct[:0]
    if keras.backend.backend() != "tensorflow":
        return np.asarray(kmeans_1d(values, count), dtype=np.float32)
    import tensorflow as tf

    found = tf.raw_ops.KmeansPlusPlusInitialization(
        points=values.reshape(-1, 1), num_to_sample=count, seed=9, num_retries_per_sample=-1
    )
    return np.asarray(found.numpy().ravel(), dtype=np.float32)


def _density(values: np.ndarray, count: int, preserve_sparsity: bool) -> np.ndarray:
    if not count or not values.size:
        return np.zeros(0, np.float32)
    least, greatest = values.min(), values.max()
    gap = np.float32(0.01)
    if preserve_sparsity:
        # Or a grid of small values would reach over zero.
        gap = np.float32(min(gap, min(abs(least), abs(greatest)) / np.float32(2)))
    grid = _evenly(least - gap, greatest + gap, _GRID)
    ordered = np.sort(values)
    shares = np.searchsorted(ordered, grid, side="right").astype(np.float32) / np.float32(
        values.size
    )
    places = np.searchsorted(shares, _evenly(np.float32(0.01), np.float32(1), count), side="right")
    # tfmot means to interpolate between this point and the one before, and arrives at this one.
    return grid[np.minimum(places, _GRID - 1)]


def _evenly(first: np.float32, last: np.float32, count: int) -> np.ndarray:
    """Return `count` values from `first` to `last`, in float32 throughout."""
    if count == 1:
        return np.array([first], np.float32)
    step = np.float32((np.float32(last) - np.float32(first)) / np.float32(count - 1))
    found = np.float32(first) + step * np.arange(count, dtype=np.float32)
    found[-1] = last
    return found.astype(np.float32)


_STARTS: dict[CentroidInitialization, Callable[[np.ndarray, int, bool], np.ndarray]] = {
    CentroidInitialization.LINEAR: _linear,
    CentroidInitialization.RANDOM: _random,
    CentroidInitialization.DENSITY_BASED: _density,
    CentroidInitialization.KMEANS_PLUS_PLUS: _kmeans,
}
