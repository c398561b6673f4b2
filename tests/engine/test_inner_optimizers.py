"""Moving averages of constrained weights are constrained, for they may take their place."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import KerasCompressError
from keras_compress.clustering import ClusteringCallback
from keras_compress.engine.inner_optimizers import clips_by_norm, moving_averages
from keras_compress.pruning import PolynomialDecay, PruningCallback, PruningConfig
from tests.training import dense, fit_dense, kernels_of, zeros_of

GRADUAL = PruningConfig(PolynomialDecay(0.0, 0.5, 0, 6), frequency=2)


class Sees(keras.callbacks.Callback):
    """Keeps the kernels as a checkpoint would save them."""

    def on_epoch_end(self, epoch, logs=None):
        self.kernels = kernels_of(self.model)


def constrained(kernels) -> bool:
    zeros = np.mean(np.concatenate([k.ravel() for k in kernels]) == 0)
    return zeros >= 0.5 and all(np.unique(k).size <= 5 for k in kernels)


@pytest.mark.parametrize(
    ("order", "clip"),
    [((0, 1, 2, 3), None), ((0, 1, 2, 3), 0.1), ((2, 3, 1, 0), None), ((0, 2, 3, 1), None)],
)
def test_swapped_averages_are_on_the_constraint_in_any_order(order, clip):
    model = dense(keras.optimizers.Adam(0.01, use_ema=True, clipnorm=clip))
    sees = Sees()
    callbacks = [
        PruningCallback(GRADUAL),
        ClusteringCallback(5),
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
        sees,
    ]
    fit_dense(model, 4, [callbacks[i] for i in order])
    assert constrained(sees.kernels) and constrained(kernels_of(model))


@pytest.mark.parametrize("frequency", [None, 3])
def test_averages_that_overwrite_the_weights_are_on_the_constraint(frequency):
    optimizer = keras.optimizers.SGD(0.05, use_ema=True, ema_overwrite_frequency=frequency)
    model = dense(optimizer)
    fit_dense(model, 4, [PruningCallback(GRADUAL), ClusteringCallback(5)])
    assert constrained(kernels_of(model))


class Reads(keras.callbacks.Callback):
    """Keeps the first kernel after each step."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(kernels_of(self.model)[0])


@pytest.mark.parametrize("clip", [None, 10.0])
def test_the_average_of_a_centroid_is_that_of_its_values(clip):
    """By hand: the average follows the centroid, whether one member carries it or all."""
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5, clipnorm=clip)
    model, reads = dense(optimizer), Reads()
    fit_dense(model, 1, [ClusteringCallback(4), reads])
    average = reads.seen[0]
    for values in reads.seen[1:]:
        average = 0.5 * average + 0.5 * values
    np.testing.assert_allclose(kernels_of(model)[0], average, rtol=1e-5, atol=1e-6)


def test_variables_of_one_name_are_told_apart_by_their_order():
    variables = [keras.Variable(np.zeros((2, 2), "float32"), name="same") for _ in range(2)]
    optimizer = keras.optimizers.SGD(use_ema=True)
    optimizer.build(variables)
    found = [moving_averages(optimizer, variable, variables) for variable in variables]
    assert [len(each) for each in found] == [1, 1] and found[0][0] is not found[1][0]
    optimizer.apply([np.zeros((2, 2)), np.ones((2, 2))], variables)
    assert float(found[0][0][0, 0]) == 0 and float(found[1][0][0, 0]) != 0


def test_averages_that_cannot_be_found_are_refused():
    variable = keras.Variable(np.zeros((2, 2), "float32"), name="kernel")

    class Own(keras.optimizers.SGD):
        """Keeps averages by itself."""

        variables = property(lambda self: [])

    optimizer = Own(use_ema=True)
    optimizer.build([variable])
    with pytest.raises(KerasCompressError, match="use_ema=False"):
        moving_averages(optimizer, variable, [variable])


def test_optimizers_within_others_are_seen():
    clipped = keras.optimizers.SGD(clipnorm=1.0)
    assert clips_by_norm(clipped) and not clips_by_norm(keras.optimizers.SGD(clipvalue=1.0))
    assert clips_by_norm(keras.optimizers.LossScaleOptimizer(clipped))
    assert clips_by_norm(keras.optimizers.SGD(global_clipnorm=1.0))


def test_several_optimizers_for_one_model():
    averaging = keras.optimizers.Adam(0.01, use_ema=True)
    several = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.1), {"hidden/.*": averaging})
    model = dense(keras.optimizers.MultiOptimizer(several))
    fit_dense(model, 3, [PruningCallback(GRADUAL)])
    assert zeros_of(model) == pytest.approx(0.5, abs=0.01)
