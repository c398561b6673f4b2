"""Pruning and clustering of the same weights: in one `fit`, one after the other, and refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import KerasCompressError, clustering, pruning, rate
from keras_compress.clustering import Clusterer, ClusteringCallback, ClusteringConfig
from keras_compress.pruning import PolynomialDecay, Pruner, PruningCallback, PruningConfig
from tests.training import dense, fit_dense, kernels_of, zeros_of

# Four steps an epoch: it ends with the second one.
GRADUAL = PruningConfig(PolynomialDecay(0.0, 0.5, 0, 8), frequency=2)


def both(order=1):
    return [PruningCallback(GRADUAL), ClusteringCallback(5)][::order]


def hold(model) -> bool:
    return all(np.mean(k == 0) == 0.5 and np.unique(k).size == 5 for k in kernels_of(model))


def test_both_hold_in_one_fit_and_order_does_not_matter():
    models = [dense(), dense()]
    for model, order in zip(models, (1, -1), strict=True):
        history = fit_dense(model, 4, both(order)).history
        assert hold(model) and hold(clustering.finalize(model))
        assert history["sparsity"][-1] == zeros_of(model) == 0.5
    for one, other in zip(*map(kernels_of, models), strict=True):
        np.testing.assert_array_equal(one, other)


def test_clusters_are_made_when_the_pruning_has_come_to_its_end():
    model = dense()
    with pytest.warns(UserWarning, match="not clustered"):
        fit_dense(model, 1, callbacks := both(-1))
    assert callbacks[0].clusterer is None
    assert all(np.unique(kernel).size > 8 for kernel in kernels_of(model))
    fit_dense(model, 2, callbacks)
    assert callbacks[0].clusterer is not None and hold(model)


def test_without_the_pruning_in_it_a_fit_clusters_at_once():
    model = dense()
    fit_dense(model, 1, [PruningCallback(GRADUAL)])
    zeros = zeros_of(model)
    fit_dense(model, 1, [ClusteringCallback(5)])
    assert zeros_of(model) == zeros and all(np.unique(k).size == 5 for k in kernels_of(model))


@pytest.mark.parametrize("stop", [1, 3])
def test_saved_in_between_and_trained_on_gives_the_same_numbers(stop, tmp_path):
    unbroken, broken = dense(), dense()
    fit_dense(unbroken, 4, both())
    if stop == 1:
        with pytest.warns(UserWarning, match="not clustered"):
            fit_dense(broken, stop, both())
    else:
        fit_dense(broken, stop, both())
    broken.save(tmp_path / "half.keras")
    resumed = keras.models.load_model(tmp_path / "half.keras")
    fit_dense(resumed, 4, both(), initial_epoch=stop)
    assert hold(resumed)
    for one, other in zip(kernels_of(unbroken), kernels_of(resumed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_both_go_on_in_a_second_fit_and_after_a_compile():
    model = dense()
    callbacks = both()
    fit_dense(model, 3, callbacks)
    fit_dense(model, 1, callbacks)
    assert hold(model)
    model.compile("sgd", model.loss)
    fit_dense(model, 1, callbacks)
    assert hold(model)


def test_under_a_strategy_with_averages_and_clipped_norms(two_replicas):
    with two_replicas.scope():
        model = dense(keras.optimizers.SGD(0.05, use_ema=True, global_clipnorm=0.1))
    fit_dense(model, 4, [*both(), keras.callbacks.SwapEMAWeights(swap_on_epoch=True)])
    assert hold(model)
    local = two_replicas.experimental_local_results(model.get_layer("hidden").kernel.value)
    np.testing.assert_array_equal(*[np.asarray(each) for each in local])


def test_masks_lie_beneath_rounded_weights():
    model = rate.prepare(dense(), rate.RateConfig(1e-4))
    fit_dense(model, 3, [PruningCallback(GRADUAL), rate.RateCallback(rate.RateConfig(1e-4))])
    kernels = kernels_of(rate.finalize(model))
    assert all(np.mean(kernel == 0) >= 0.5 for kernel in kernels)


def after(*callbacks):
    model = dense()
    fit_dense(model, 1, callbacks)
    return model


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (
            lambda: fit_dense(
                dense(), callbacks=[PruningCallback(lambda step: 0.5), ClusteringCallback(5)]
            ),
            "end_step",
        ),
        (
            lambda: fit_dense(
                dense(),
                callbacks=[
                    PruningCallback(0.5),
                    ClusteringCallback(ClusteringConfig(5, preserve_sparsity=False)),
                ],
            ),
            "preserve_sparsity",
        ),
        (
            lambda: fit_dense(after(ClusteringCallback(5)), callbacks=[PruningCallback(0.5)]),
            "pruned before they are clustered",
        ),
        (
            lambda: fit_dense(pruning.prepare(dense()), callbacks=[ClusteringCallback(5)]),
            "`Pruned`",
        ),
        (
            lambda: fit_dense(rate.prepare(dense()), callbacks=[ClusteringCallback(5)]),
            "`RateAware`",
        ),
        (
            lambda: fit_dense(
                clustering.prepare_reassignment(dense(), ClusteringConfig(5)),
                callbacks=[PruningCallback(0.5)],
            ),
            "`Reassigned`",
        ),
        (
            lambda: fit_dense(clustering.prepare(dense()), callbacks=[PruningCallback(0.5)]),
            "at least one weight to prune",
        ),
        (
            lambda: Clusterer(
                model := dense(),
                ClusteringConfig(5),
                optimizer=Pruner(model, GRADUAL, optimizer=model.optimizer).optimizer,
            ),
            "once the masks",
        ),
    ],
    ids=[
        "no-end",
        "zeros-not-kept",
        "clustered-first",
        "pruned-wrapper",
        "rate-wrapper",
        "reassigned-wrapper",
        "clustered-wrapper",
        "loop",
    ],
)
def test_what_makes_no_sense_together_is_refused(act, words):
    with pytest.raises(KerasCompressError, match=words):
        act()
