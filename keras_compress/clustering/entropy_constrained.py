"""Entropy-constrained assignment: a weight goes where it is near *and* cheap to write.

A codebook is coded by its statistics, so a value that many weights share costs few bits. Each
weight goes to the centroid that minimises `distortion + rate_weight * code length`, the length
being `-log2` of the share of weights there (Chou, Lookabaugh and Gray, IEEE Trans. ASSP 37/1,
1989; for the weights of nets Choi, El-Khamy and Lee, arXiv 1612.01543, section 4).
"""

from __future__ import annotations

import numpy as np

from keras_compress.clustering.codebook import Codebook

# Values handled at a time, so that the table of costs stays small.
_CHUNK = 1 << 16


def code_lengths(assignment: np.ndarray, n_clusters: int) -> np.ndarray:
    """Return the ideal code length of each centroid in bits; infinite where it has no member."""
    counts = np.bincount(assignment.ravel(), minlength=n_clusters).astype(np.float64)
    with np.errstate(divide="ignore"):
        return -np.log2(counts / max(counts.sum(), 1.0))


def codebook_entropy(assignment: np.ndarray, n_clusters: int) -> float:
    """Return the bits a weight that an ideal coder of single symbols needs."""
    lengths = code_lengths(assignment, n_clusters)
    share = 2.0**-lengths
    return float(np.sum(np.where(share > 0, share * np.where(share > 0, lengths, 0.0), 0.0)))


def unit_of_distortion(weight: np.ndarray, importance: np.ndarray | None = None) -> float:
    """Return the mean (importance-weighted) square of the values that aren't zero.

    Distortion is counted in it, so that one `rate_weight` means the same in every layer.
    """
    kept = weight != 0
    squares = np.square(weight[kept].astype(np.float64))
    if importance is not None:
        squares = squares * importance[kept]
    return float(squares.mean()) if squares.size and squares.any() else 1.0


def assign_entropy_constrained(
    weight: np.ndarray,
    centroids: np.ndarray,
    lengths: np.ndarray,
    rate_weight: float,
    importance: np.ndarray | None = None,
    unit: float | None = None,
) -> np.ndarray:
    """Return for each value the index of its cheapest centroid.

    Args:
        weight: Array of any shape.
        centroids: Shape `(n_clusters,)`.
        lengths: Code length of each centroid in bits; an infinite one is never chosen.
        rate_weight: Price of a bit in units of distortion.
        importance: Weight of each value's squared error, shaped like `weight`. Defaults to
            `None` (1).
        unit: What distortion is divided by. Defaults to `None` (`unit_of_distortion`).

    Returns:
        An int32 array shaped like `weight`.
    """
    unit = unit_of_distortion(weight, importance) if unit is None else unit
    price = np.where(np.isfinite(lengths), rate_weight * unit * lengths, np.inf)
    flat = weight.ravel().astype(np.float64)
    weights = None if importance is None else np.asarray(importance, np.float64).ravel()
    found = np.empty(flat.size, dtype=np.int32)
    for start in range(0, flat.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        cost = np.square(flat[part, None] - centroids[None].astype(np.float64))
        if weights is not None:
            cost *= weights[part, None]
        found[part] = np.argmin(cost + price, axis=1)
    return found.reshape(weight.shape)


def entropy_constrained_codebook(
    weight: np.ndarray,
    codebook: Codebook,
    rate_weight: float,
    importance: np.ndarray | None = None,
    iterations: int = 50,
) -> Codebook:
    """Return `codebook` moved to where distortion plus rate is least.

    Assignment, code lengths and centroids are improved in turn, none of which can raise the
    cost, until nothing changes. Values that are exactly zero stay with a fixed zero; others may
    join them. Centroids that lose all their members stay in the codebook, unused.

    Args:
        weight: Array of any shape, finite.
        codebook: Where to start.
        rate_weight: Price of a bit: the distortion, in mean squares of the kept weights, that
            one bit a weight is worth. 0 gives the nearest centroid.
        importance: Weight of each value's squared error. Defaults to `None` (1).
        iterations: Most rounds to make. Defaults to `50`.
    """
    unit = unit_of_distortion(weight, importance)
    centroids = codebook.centroids.astype(np.float64)
    assignment = codebook.assignment
    weights = np.ones(weight.size) if importance is None else importance.ravel().astype(float)
    flat = weight.ravel().astype(np.float64)
    pruned = weight == 0
    for _ in range(iterations):
        lengths = code_lengths(assignment, centroids.size)
        moved = assign_entropy_constrained(
            weight, centroids, lengths, rate_weight, importance, unit
        )
        if codebook.has_zero:
            moved[pruned] = 0
        total = np.bincount(moved.ravel(), weights, minlength=centroids.size)
        first = np.bincount(moved.ravel(), weights * flat, minlength=centroids.size)
        means = np.divide(first, total, out=centroids.copy(), where=total > 0)
        if codebook.has_zero:
            means[0] = 0.0
        same = np.array_equal(moved, assignment)
        centroids, assignment = means, moved
        if same:
            break
    return Codebook(centroids.astype(np.float32), assignment, codebook.has_zero)
