"""Codebooks: where centroids start, and which centroid each weight belongs to.

The initialisations are those of Deep Compression (arXiv 1510.00149, section 3.2: random,
density-based, linear), and exact k-means, which needs no start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from keras_compress.clustering.kmeans import kmeans_1d
from keras_compress.errors import KerasCompressError

Initialization = Literal["kmeans", "linear", "density", "random"]
INITIALIZATIONS: tuple[str, ...] = ("kmeans", "linear", "density", "random")


@dataclass(frozen=True)
class Codebook:
    """Shared values of one weight.

    Attributes:
        centroids: Shape `(n_clusters,)`, float32, ascending but for a leading zero.
        assignment: Index of the centroid of each value; int32, shaped like the weight.
        has_zero: Whether centroid 0 is the fixed zero of pruned weights.
    """

    centroids: np.ndarray
    assignment: np.ndarray
    has_zero: bool

    def values(self) -> np.ndarray:
        """Return the weight made of centroids, float32."""
        return self.centroids[self.assignment]

    def counts(self) -> np.ndarray:
        """Return the members of each cluster, at least 1 so that they divide; float32."""
        members = np.bincount(self.assignment.ravel(), minlength=self.centroids.size)
        return np.maximum(members, 1).astype(np.float32)

    def free(self) -> np.ndarray:
        """Return 1 for each centroid that is trained and 0 for the fixed zero; float32."""
        free = np.ones(self.centroids.size, dtype=np.float32)
        if self.has_zero:
            free[0] = 0.0
        return free


def make_codebook(
    weight: np.ndarray,
    n_clusters: int,
    *,
    init: Initialization = "kmeans",
    preserve_sparsity: bool = True,
    seed: int = 0,
    label: str = "the weight",
    importance: np.ndarray | None = None,
) -> Codebook:
    """Return the codebook of `weight`.

    Args:
        weight: Array of any shape, finite.
        n_clusters: Number of shared values; the zero of pruned weights is one of them.
        init: `"kmeans"` (optimal), `"linear"` (evenly from the least to the greatest value),
            `"density"` (evenly in the cumulative distribution) or `"random"` (drawn from the
            values). Defaults to `"kmeans"`.
        preserve_sparsity: Whether exact zeros keep a centroid of their own, which stays zero.
            Defaults to `True`.
        seed: Seed of `"random"`. Defaults to `0`.
        label: What errors call the weight.
        importance: Weight of each value's squared error in `"kmeans"`, shaped like `weight`.
            Defaults to `None` (all alike).

    Raises:
        KerasCompressError: If there are more clusters than distinct values.
    """
    distinct = np.unique(weight)
    if n_clusters > distinct.size:
        raise KerasCompressError(
            "`n_clusters` may not be more than the distinct values of a weight. Received: "
            f"n_clusters={n_clusters} for {label} with {distinct.size} distinct values. Use "
            "fewer clusters there, or leave the layer out by `layers`."
        )
    has_zero = bool(preserve_sparsity and (distinct == 0).any())
    if not has_zero:
        centroids = initial_centroids(weight, n_clusters, init, seed, importance)
        return Codebook(centroids, nearest(weight, centroids), False)
    if n_clusters < 2:
        raise KerasCompressError(
            "A pruned weight needs at least two clusters, one of them zero. "
            f"Received: n_clusters={n_clusters} for {label}."
        )
    kept = weight != 0
    its = None if importance is None else importance[kept]
    centroids = initial_centroids(weight[kept], n_clusters - 1, init, seed, its)
    assignment = np.zeros(weight.shape, dtype=np.int32)
    assignment[kept] = nearest(weight[kept], centroids) + 1
    return Codebook(np.concatenate([[np.float32(0)], centroids]), assignment, True)


def existing_codebook(weight: np.ndarray, n_clusters: int, preserve_sparsity: bool) -> Codebook:
    """Return the codebook of a weight that has at most `n_clusters` distinct values already.

    The values stay as they are; this is how training on a clustered model is resumed. The
    codebook is filled up to `n_clusters` with copies that no value is assigned to.
    """
    distinct, inverse = np.unique(weight, return_inverse=True)
    centroids = distinct.astype(np.float32)
    assignment = inverse.reshape(weight.shape).astype(np.int32)
    has_zero = bool(preserve_sparsity and (centroids == 0).any())
    if has_zero:
        zero = int(np.flatnonzero(centroids == 0)[0])
        order = np.concatenate([[zero], np.delete(np.arange(centroids.size), zero)])
        rank = np.empty(centroids.size, dtype=np.int32)
        rank[order] = np.arange(centroids.size, dtype=np.int32)
        centroids, assignment = centroids[order], rank[assignment]
    filler = np.full(n_clusters - centroids.size, centroids[-1], dtype=np.float32)
    return Codebook(np.concatenate([centroids, filler]), assignment, has_zero)


def initial_centroids(
    values: np.ndarray,
    n_clusters: int,
    init: Initialization,
    seed: int = 0,
    importance: np.ndarray | None = None,
) -> np.ndarray:
    """Return `n_clusters` distinct starting centroids for `values`, float32, ascending.

    `importance`, shaped like `values`, weighs their squared errors in `"kmeans"`.
    """
    flat = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if init == "kmeans":
        centroids = kmeans_1d(values, n_clusters, importance)
    elif init == "linear":
        centroids = np.linspace(flat[0], flat[-1], n_clusters)
    elif init == "density":
        # The middles of n equal shares of the distribution; ties are spread over the values.
        places = (np.arange(n_clusters) + 0.5) / n_clusters
        centroids = np.quantile(flat, places)
        if np.unique(centroids).size < n_clusters:
            centroids = np.quantile(np.unique(flat), places)
    elif init == "random":
        generator = np.random.default_rng(seed)
        centroids = np.sort(generator.choice(np.unique(flat), n_clusters, replace=False))
    else:
        raise KerasCompressError(
            f"`init` must be one of {', '.join(INITIALIZATIONS)}. Received: init={init!r}."
        )
    return centroids.astype(np.float32)


def nearest(values: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return for each value the index of the nearest of the ascending `centroids`, int32."""
    borders = (centroids[1:].astype(np.float64) + centroids[:-1].astype(np.float64)) / 2
    return np.searchsorted(borders, values, side="left").astype(np.int32)
