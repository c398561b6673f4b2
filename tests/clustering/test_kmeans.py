"""The one-dimensional k-means is the optimum."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_compress.clustering import kmeans, kmeans_1d

pytestmark = pytest.mark.backend_independent


def cost(values, centroids, weights=None):
    distance = np.min((values[:, None] - centroids[None, :]) ** 2, axis=1)
    return float(np.sum(distance if weights is None else distance * weights))


def optimum(values, n_clusters, weights):
    """Try every way of cutting the sorted values into intervals."""
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    best = np.inf
    for cuts in itertools.combinations(range(1, len(values)), n_clusters - 1):
        ends = [0, *cuts, len(values)]
        total = 0.0
        for a, b in itertools.pairwise(ends):
            mean = np.average(values[a:b], weights=weights[a:b])
            total += float(np.sum(weights[a:b] * (values[a:b] - mean) ** 2))
        best = min(best, total)
    return best


@settings(deadline=None)
@given(
    st.lists(st.integers(-50, 50), min_size=2, max_size=11, unique=True),
    st.integers(1, 5),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_reaches_the_optimum_found_by_brute_force(values, n_clusters, weighted, random):
    points = np.array(values, dtype=np.float64) / 7
    weights = np.array([random.uniform(0.1, 3) if weighted else 1.0 for _ in points])
    n_clusters = min(n_clusters, points.size)
    centroids = kmeans_1d(points, n_clusters, weights)
    assert centroids.shape == (n_clusters,)
    assert (np.diff(centroids) > 0).all()
    expected = optimum(points, n_clusters, weights)
    assert cost(points, centroids, weights) <= expected + 1e-9 * (1 + expected)


def test_is_no_worse_than_many_restarts_of_lloyd():
    sklearn_cluster = pytest.importorskip("sklearn.cluster")
    values = np.random.default_rng(0).standard_t(3, 4000)
    fitted = sklearn_cluster.KMeans(12, n_init=20, random_state=0).fit(values[:, None])
    assert cost(values, kmeans_1d(values, 12)) <= fitted.inertia_


def test_merging_neighbours_hardly_costs_anything(monkeypatch):
    values = np.random.default_rng(1).standard_t(3, 20_000)
    exact = cost(values, kmeans_1d(values, 16))
    monkeypatch.setattr(kmeans, "_EXACT_LIMIT", 2000)
    assert cost(values, kmeans_1d(values, 16)) <= exact * 1.0005


def test_more_clusters_than_values_is_an_error():
    with pytest.raises(ValueError, match="3 clusters of 2"):
        kmeans_1d(np.array([1.0, 2.0, 2.0]), 3)
