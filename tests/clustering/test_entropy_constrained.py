from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_compress import clustering, pruning
from keras_compress.clustering import (
    ClusteringCallback,
    ClusteringConfig,
    ReassignmentCallback,
    entropy_constrained_codebook,
    fisher_importance,
    make_codebook,
    prepare_reassignment,
)
from keras_compress.clustering.codebook import Codebook
from keras_compress.clustering.entropy_constrained import (
    assign_entropy_constrained,
    code_lengths,
    codebook_entropy,
    unit_of_distortion,
)
from keras_compress.errors import KerasCompressError
from tests.training import compiled, data, fit

pytestmark = pytest.mark.backend_independent


def cost(weight, codebook, rate_weight):
    distortion = np.square(weight - codebook.values()).mean() / unit_of_distortion(weight)
    return distortion + rate_weight * codebook_entropy(codebook.assignment, codebook.centroids.size)


def normal(seed=0, size=4000):
    return np.random.default_rng(seed).normal(0, 0.1, size).astype("float32")


def test_code_lengths_are_logarithms_of_shares():
    assignment = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    assert code_lengths(assignment, 4).tolist() == [1.0, 2.0, 2.0, np.inf]
    assert codebook_entropy(assignment, 4) == pytest.approx(1.5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.0, 0.2))
def test_each_weight_goes_where_it_is_cheapest(seed, rate_weight):
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=(7, 9)).astype("float32")
    centroids = np.sort(generator.normal(size=5)).astype("float32")
    lengths = generator.uniform(0.5, 6, 5)
    lengths[2] = np.inf
    importance = generator.uniform(0.1, 2, weight.shape)
    found = assign_entropy_constrained(weight, centroids, lengths, rate_weight, importance, 1.0)
    for value, h, index in zip(weight.ravel(), importance.ravel(), found.ravel(), strict=True):
        costs = [
            h * (float(value) - float(c)) ** 2 + (rate_weight * b if np.isfinite(b) else np.inf)
            for c, b in zip(centroids, lengths, strict=True)
        ]
        assert costs[index] == pytest.approx(min(costs), rel=1e-9)


@pytest.mark.parametrize("rate_weight", [0.001, 0.01, 0.05])
def test_the_cost_falls_below_that_of_the_nearest_centroids(rate_weight):
    weight = normal()
    start = make_codebook(weight, 16)
    found = entropy_constrained_codebook(weight, start, rate_weight)
    assert cost(weight, found, rate_weight) < cost(weight, start, rate_weight)
    assert codebook_entropy(found.assignment, 16) < codebook_entropy(start.assignment, 16)


def test_at_equal_bits_it_is_nearer_than_fewer_clusters():
    weight = normal()
    few = make_codebook(weight, 6)
    bits = codebook_entropy(few.assignment, 6)
    rates = np.linspace(0.02, 0.12, 40)
    many = [entropy_constrained_codebook(weight, make_codebook(weight, 8), r) for r in rates]
    fitting = [c for c in many if codebook_entropy(c.assignment, 8) <= bits]
    error = min(np.square(weight - c.values()).mean() for c in fitting)
    assert error < 0.95 * np.square(weight - few.values()).mean()


def test_a_price_of_zero_changes_nothing_that_is_optimal():
    weight = normal()
    start = make_codebook(weight, 8)
    found = entropy_constrained_codebook(weight, start, 0.0)
    np.testing.assert_allclose(found.values(), start.values(), atol=1e-6)


def test_pruned_values_stay_zero_and_others_may_join_them():
    weight = normal()
    weight[np.abs(weight) < 0.1] = 0
    start = make_codebook(weight, 8)
    found = entropy_constrained_codebook(weight, start, 0.3)
    assert found.centroids[0] == 0 and np.all(found.values()[weight == 0] == 0)
    assert np.count_nonzero(found.values()) < np.count_nonzero(weight)


@pytest.mark.parametrize("api", ["callback", "wrapper"])
def test_the_config_takes_it_through_callback_and_wrapper(api):
    entropies = []
    for rate_weight in (0.0, 0.1):
        model = compiled()
        config = ClusteringConfig(8, layers="hidden", rate_weight=rate_weight)
        callbacks = [ClusteringCallback(config)]
        if api == "wrapper":
            model, callbacks = clustering.prepare(model, config), []
        fit(model, epochs=1, callbacks=callbacks)
        kernel = np.array(clustering.finalize(model).get_layer("hidden").kernel)
        _, inverse = np.unique(kernel, return_inverse=True)
        entropies.append(codebook_entropy(inverse, 8))
    assert entropies[1] < 0.9 * entropies[0]


def test_reassignment_lowers_the_bits_while_the_net_trains():
    model = compiled(optimizer=keras.optimizers.Adam(0.003))
    fit(model, epochs=4)
    config = ClusteringConfig(8, rate_weight=0.02)
    wrapped = prepare_reassignment(model, config)
    callback = ReassignmentCallback(config, frequency=3)
    history = fit(wrapped, epochs=6, callbacks=[callback]).history
    assert history["bits_per_weight"][-1] < history["bits_per_weight"][0] - 0.05
    assert max(history["reassigned"]) > 0
    small = clustering.finalize(wrapped)
    for name in ("conv", "hidden", "logits"):
        assert np.unique(np.array(small.get_layer(name).kernel)).size <= 8
    x, _ = data()
    np.testing.assert_allclose(
        small.predict(x, verbose=0), wrapped.predict(x, verbose=0), rtol=1e-4, atol=1e-5
    )
    assert history["accuracy"][-1] > 0.9


def test_reassignment_keeps_what_was_pruned_and_goes_on_from_a_file(tmp_path):
    model = compiled()
    fit(model, epochs=1, callbacks=[pruning.PruningCallback(0.6)])
    model = pruning.finalize(model)
    zeros = np.array(model.get_layer("hidden").kernel) == 0
    config = ClusteringConfig(8, rate_weight=0.01)
    results = []
    for broken in (False, True):
        wrapped = prepare_reassignment(model, config)
        if broken:
            fit(wrapped, epochs=1, callbacks=[ReassignmentCallback(config, 4)])
            wrapped.save(tmp_path / "half.keras")
            wrapped = keras.models.load_model(tmp_path / "half.keras")
        start = {"initial_epoch": 1} if broken else {}
        fit(wrapped, epochs=2, callbacks=[ReassignmentCallback(config, 4)], **start)
        results.append(np.array(clustering.finalize(wrapped).get_layer("hidden").kernel))
    assert np.all(results[0][zeros] == 0)
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)


def test_fisher_importance_is_the_mean_squared_gradient():
    model = compiled()
    x, y = data()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    found = fisher_importance(model, x, y, loss, layers="logits", batches=4, batch_size=16)
    assert set(found) == {"logits/kernel"}
    features = keras.Model(model.inputs, model.get_layer("hidden").output)
    total = np.zeros((16, 4))
    for batch in range(4):
        part = slice(16 * batch, 16 * batch + 16)
        h = features.predict(x[part], verbose=0)
        z = model.predict(x[part], verbose=0)
        p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
        total += (h.T @ (p - np.eye(4)[y[part]]) / 16) ** 2
    expected = (total / total.mean() + 0.01) / 1.01
    np.testing.assert_allclose(found["logits/kernel"], expected, rtol=2e-3, atol=1e-4)


def test_importance_moves_the_centroids():
    weight = normal(size=512)
    heavy = np.where(weight > 0, 100.0, 1.0)
    plain = make_codebook(weight, 8).centroids
    weighted = make_codebook(weight, 8, importance=heavy).centroids
    assert (weighted > 0).sum() > (plain > 0).sum()
    model = compiled()
    kernel = np.array(model.get_layer("logits").kernel)
    importance = {"logits/kernel": np.where(kernel > 0, 100.0, 1.0)}
    config = ClusteringConfig(8, layers="logits", importance=importance)
    fit(model, epochs=1, callbacks=[ClusteringCallback(config)])
    assert np.unique(np.array(model.get_layer("logits").kernel)).size == 8


@pytest.mark.parametrize(
    "bad", [np.ones((2, 2)), np.full((16, 4), np.nan), np.full((16, 4), -1.0), np.zeros((16, 4))]
)
def test_an_importance_that_does_not_fit_is_refused(bad):
    config = ClusteringConfig(4, layers="logits", importance={"logits/kernel": bad})
    with pytest.raises(KerasCompressError, match="must have the shape of its weight"):
        clustering.prepare(compiled(), config)


def test_bad_settings_are_refused():
    with pytest.raises(KerasCompressError, match="rate_weight=-1"):
        ClusteringConfig(8, rate_weight=-1)
    with pytest.raises(KerasCompressError, match="one codebook a weight"):
        ClusteringConfig(8, rate_weight=0.1, per_channel=True)
    with pytest.raises(KerasCompressError, match="one codebook a weight"):
        prepare_reassignment(compiled(), ClusteringConfig(8, per_channel=True))
    with pytest.raises(KerasCompressError, match="frequency=0"):
        ReassignmentCallback(ClusteringConfig(8), frequency=0)
    with pytest.raises(KerasCompressError, match="prepare_reassignment"):
        fit(compiled(), callbacks=[ReassignmentCallback(ClusteringConfig(8))])
    x, y = data()
    with pytest.raises(KerasCompressError, match="0 samples"):
        fisher_importance(compiled(), x[:0], y[:0], keras.losses.MeanSquaredError())


def test_centroids_are_means_weighed_by_importance():
    weight = np.array([0.0, 1.0, 10.0, 12.0], "float32")
    importance = np.array([3.0, 1.0, 1.0, 4.0])
    start = Codebook(np.array([1.0, 11.0], "float32"), np.array([0, 0, 1, 1], "int32"), False)
    found = entropy_constrained_codebook(weight, start, 0.0, importance)
    np.testing.assert_allclose(found.centroids, [0.25, (10 + 4 * 12) / 5])
    # A fixed zero is no mean.
    fixed = Codebook(np.array([0.0, 11.0], "float32"), start.assignment, True)
    assert entropy_constrained_codebook(weight, fixed, 0.0, importance).centroids[0] == 0


def test_what_matters_little_goes_where_it_is_cheap():
    weight = np.array([1.0, 1.0, 1.0, -1.0], "float32")
    start = Codebook(np.array([-1.0, 1.0], "float32"), np.array([1, 1, 1, 0], "int32"), False)
    for importance, cluster in ((1.0, 0), (0.01, 1)):
        its = np.array([1.0, 1.0, 1.0, importance])
        assert entropy_constrained_codebook(weight, start, 1.0, its).assignment[3] == cluster
