"""Exact k-means in one dimension.

In one dimension the optimal clusters are intervals of the sorted values, so the optimum is found
by dynamic programming over where the intervals end (Wang and Song, Ckmeans.1d.dp, The R Journal
3/2, 2011). The optimal ends move monotonically with the last value, which lets each layer of the
table be filled by divide and conquer in O(n log n); a whole level of it is one vector operation.
"""

from __future__ import annotations

import numpy as np

# Above this many distinct values neighbours are merged for the dynamic programming, and its
# result is then polished on all values: the loss of optimality is far below float32 precision.
_EXACT_LIMIT = 1 << 16


def kmeans_1d(
    values: np.ndarray, n_clusters: int, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Return the centroids that minimise the summed squared distance to `values`.

    Args:
        values: Array of any shape, finite.
        n_clusters: Number of centroids, at most the number of distinct values.
        sample_weight: Non-negative importance of each value, shaped like `values`. Defaults to
            `None` (all alike).

    Returns:
        Array of shape `(n_clusters,)`, float64, ascending.

    Raises:
        ValueError: If there are more clusters than distinct values.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    points, inverse = np.unique(flat, return_inverse=True)
    weights: np.ndarray
    if sample_weight is None:
        weights = np.bincount(inverse, minlength=points.size).astype(np.float64)
    else:
        weight_of = np.asarray(sample_weight, dtype=np.float64).ravel()
        weights = np.bincount(inverse, weights=weight_of, minlength=points.size)
    if n_clusters > points.size:
        raise ValueError(f"{n_clusters} clusters of {points.size} distinct values")
    if n_clusters == points.size:
        return points
    # Sums of squares lose fewer digits around the mean.
    shift = float(np.average(points, weights=weights) if weights.any() else points.mean())
    coarse = _merge_neighbours(points - shift, weights, _EXACT_LIMIT)
    sums = _PrefixSums(*coarse)
    starts = _optimal_starts(sums, n_clusters)
    centroids = sums.means(starts, np.append(starts[1:], coarse[0].size))
    if coarse[0].size < points.size:
        centroids = lloyd_1d(points - shift, weights, centroids)
    return np.sort(centroids + shift)


def lloyd_1d(
    points: np.ndarray, weights: np.ndarray, centroids: np.ndarray, iterations: int = 100
) -> np.ndarray:
    """Polish `centroids` by Lloyd's algorithm on sorted `points`; O(k log n) an iteration."""
    sums = _PrefixSums(points, weights)
    for _ in range(iterations):
        borders = (centroids[1:] + centroids[:-1]) / 2
        starts = np.concatenate([[0], np.searchsorted(points, borders, side="right")])
        ends = np.append(starts[1:], points.size)
        filled = ends > starts
        moved = np.where(filled, sums.means(starts, np.maximum(ends, starts + 1)), centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return centroids


class _PrefixSums:
    """Cost and mean of any interval of sorted, weighted points in constant time."""

    def __init__(self, points: np.ndarray, weights: np.ndarray) -> None:
        self.size = points.size
        self.points = points
        self.weight = np.concatenate([[0.0], np.cumsum(weights)])
        self.first = np.concatenate([[0.0], np.cumsum(weights * points)])
        self.second = np.concatenate([[0.0], np.cumsum(weights * points * points)])

    def costs(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Summed squared distance of `points[start:end]` to their mean."""
        weight = self.weight[ends] - self.weight[starts]
        first = self.first[ends] - self.first[starts]
        second = self.second[ends] - self.second[starts]
        mean_part = np.divide(first * first, weight, out=np.zeros_like(first), where=weight > 0)
        return np.maximum(second - mean_part, 0.0)

    def means(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Mean of `points[start:end]`; the middle point where all weights are zero."""
        ends = np.minimum(ends, self.size)
        weight = self.weight[ends] - self.weight[starts]
        first = self.first[ends] - self.first[starts]
        middle = self.points[np.minimum((starts + ends) // 2, self.size - 1)]
        return np.divide(first, weight, out=middle.astype(np.float64), where=weight > 0)


def _merge_neighbours(
    points: np.ndarray, weights: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    if points.size <= limit:
        return points, weights
    # Half of the bins by rank, half by value: dense and outlying regions keep their resolution.
    by_rank = np.arange(points.size) * (limit // 2) // points.size
    span = points[-1] - points[0]
    by_value = np.minimum((points - points[0]) / span * (limit // 2), limit // 2 - 1).astype(int)
    new_bin = np.concatenate([[True], (np.diff(by_rank) > 0) | (np.diff(by_value) > 0)])
    starts = np.flatnonzero(new_bin)
    total = np.add.reduceat(weights, starts)
    first = np.add.reduceat(weights * points, starts)
    centres = np.divide(first, total, out=points[starts].copy(), where=total > 0)
    return centres, total


def _optimal_starts(sums: _PrefixSums, n_clusters: int) -> np.ndarray:
    """Return where each of the optimal intervals begins."""
    n = sums.size
    ends = np.arange(1, n + 1)
    cost = sums.costs(np.zeros(n, dtype=np.int64), ends)
    choices = np.zeros((n_clusters, n), dtype=np.int32)
    for k in range(1, n_clusters):
        cost, choices[k] = _next_layer(sums, cost, k)
    starts = np.zeros(n_clusters, dtype=np.int64)
    end = n - 1
    for k in range(n_clusters - 1, 0, -1):
        starts[k] = choices[k, end]
        end = int(starts[k]) - 1
    return starts


def _next_layer(sums: _PrefixSums, previous: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Best cost of points 0..j in k+1 intervals, and where the last one begins, for every j.

    Level by level: each range of `j` is split at its middle, whose best start bounds the starts
    on either side; the candidates of all middles of a level are one flat array.
    """
    n = sums.size
    cost = np.full(n, np.inf)
    choice = np.full(n, k, dtype=np.int32)
    low, high = np.array([k]), np.array([n - 1])
    first, last = np.array([k]), np.array([n - 1])
    while low.size:
        middle = (low + high) // 2
        top = np.minimum(last, middle)
        counts = top - first + 1
        offsets = np.concatenate([[0], np.cumsum(counts)[:-1]])
        owner = np.repeat(np.arange(middle.size), counts)
        start = first[owner] + np.arange(counts.sum()) - offsets[owner]
        total = previous[start - 1] + sums.costs(start, middle[owner] + 1)
        best = np.minimum.reduceat(total, offsets)
        # The first candidate that reaches the minimum of its range.
        hits = np.flatnonzero(total == best[owner])
        _, where = np.unique(owner[hits], return_index=True)
        best_start = start[hits[where]]
        cost[middle], choice[middle] = best, best_start
        left, right = low < middle, middle < high
        low, high, first, last = (
            np.concatenate([low[left], middle[right] + 1]),
            np.concatenate([middle[left] - 1, high[right]]),
            np.concatenate([first[left], best_start[right]]),
            np.concatenate([best_start[left], last[right]]),
        )
    return cost, choice
