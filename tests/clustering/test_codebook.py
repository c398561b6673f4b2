"""Codebooks and their initialisations."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import KerasCompressError
from keras_compress.clustering import ClusteringConfig, initial_centroids, make_codebook
from keras_compress.clustering.clusterer import codebook_for
from keras_compress.clustering.codebook import INITIALIZATIONS, existing_codebook, nearest
from keras_compress.clustering.reassignment import Reassigned
from keras_compress.engine.weights import select_weights

pytestmark = pytest.mark.backend_independent

WEIGHT = np.random.default_rng(0).normal(0, 0.1, (40, 30)).astype("float32")
PRUNED = np.where(np.abs(WEIGHT) > 0.1, WEIGHT, 0).astype("float32")


def test_linear_spans_the_range_evenly():
    centroids = initial_centroids(WEIGHT, 5, "linear")
    np.testing.assert_allclose(centroids, np.linspace(WEIGHT.min(), WEIGHT.max(), 5), rtol=1e-6)


def test_density_shares_the_weights_evenly():
    centroids = initial_centroids(WEIGHT, 4, "density")
    counts = np.bincount(np.searchsorted((centroids[1:] + centroids[:-1]) / 2, WEIGHT.ravel()))
    assert counts.min() > 0.15 * WEIGHT.size


def test_random_draws_values_and_repeats_with_its_seed():
    centroids = initial_centroids(WEIGHT, 6, "random", seed=3)
    assert np.isin(centroids, WEIGHT).all()
    np.testing.assert_array_equal(centroids, initial_centroids(WEIGHT, 6, "random", seed=3))
    assert not np.array_equal(centroids, initial_centroids(WEIGHT, 6, "random", seed=4))


@pytest.mark.parametrize("init", INITIALIZATIONS)
@pytest.mark.parametrize("pruned", [False, True], ids=["dense", "pruned"])
def test_every_initialisation_gives_at_most_n_values_and_keeps_zeros(init, pruned):
    weight = PRUNED if pruned else WEIGHT
    codebook = make_codebook(weight, 8, init=init)
    values = codebook.values()
    assert codebook.has_zero == pruned
    assert codebook.centroids.shape == (8,)
    assert np.unique(values).size <= 8
    if pruned:
        np.testing.assert_array_equal(values == 0, weight == 0)
    free = codebook.centroids[1:] if pruned else codebook.centroids
    kept = weight[weight != 0]
    nearest = free[np.abs(kept[:, None] - free[None]).argmin(1)]
    np.testing.assert_allclose(
        np.abs(values[weight != 0] - kept), np.abs(nearest - kept), rtol=1e-5, atol=1e-8
    )


def test_kmeans_start_is_closer_than_any_other():
    errors = {
        init: float(((make_codebook(WEIGHT, 8, init=init).values() - WEIGHT) ** 2).sum())
        for init in INITIALIZATIONS
    }
    assert errors["kmeans"] == min(errors.values())


def test_an_existing_codebook_is_taken_as_it_is():
    values = make_codebook(PRUNED, 8).values()
    again = existing_codebook(values, 10, preserve_sparsity=True)
    np.testing.assert_array_equal(again.values(), values)
    assert again.has_zero and again.centroids[0] == 0 and again.centroids.shape == (10,)


@pytest.mark.parametrize(
    "act",
    [
        lambda: make_codebook(np.array([1.0, 1.0, 2.0], "float32"), 3),
        lambda: make_codebook(np.array([0.0, 1.0], "float32"), 1),
        lambda: ClusteringConfig(n_clusters=1),
        lambda: ClusteringConfig(n_clusters=2.5),
        lambda: ClusteringConfig(init="lucky"),
        lambda: ClusteringConfig(gradient_aggregation="max"),
        lambda: initial_centroids(WEIGHT, 3, "lucky"),
    ],
)
def test_bad_arguments_state_rule_and_value(act):
    with pytest.raises(KerasCompressError, match="Received"):
        act()


@pytest.mark.parametrize("per_channel", [False, True], ids=["weight", "channel"])
def test_a_value_in_the_middle_goes_to_the_lower_centroid(per_channel):
    centroids = np.array([-1.0, 0.5, 2.0], "float32")
    values = np.array([-1.5, -0.25, -0.24, 1.25, 1.26, 9.0], "float32")
    found = nearest(values, centroids)
    assert found.tolist() == [0, 0, 1, 1, 2, 2] and found.dtype == np.int32
    # As a layer does it within a training step.
    layer = Reassigned(keras.layers.Dense(2), 3, per_channel=per_channel)
    layer.build((None, 6))
    kernel = np.stack([values, values[::-1]], axis=-1)
    layer.layer.kernel.assign(kernel)
    shuffled = centroids[[2, 0, 1]]
    layer.centroids[0].assign(np.concatenate([shuffled] * (2 if per_channel else 1)))
    layer.move_to_nearest()
    assignment = keras.ops.convert_to_numpy(layer.assignments[0])
    expected = np.array([1, 2, 0])[np.stack([found, found[::-1]], axis=-1)]
    np.testing.assert_array_equal(assignment, expected + np.array([0, 3 if per_channel else 0]))


def test_values_that_have_merged_are_a_codebook_only_when_training_goes_on():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    ref = select_weights(model).chosen[0]
    merged = np.array([[0.5, 0.5, -1.0], [-1.0, 0.5, 2.0]], "float32")
    config = ClusteringConfig(4)
    codebook = codebook_for(ref, merged, config, resumed=True)
    np.testing.assert_array_equal(codebook.values(), merged)
    assert codebook.centroids.size == 4
    with pytest.raises(KerasCompressError, match="distinct values"):
        codebook_for(ref, merged, config, resumed=False)
