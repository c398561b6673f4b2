"""Constraints are looked after by the weights, whoever else changes these."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import KerasCompressError, clustering, pruning
from keras_compress.clustering import ClusteringCallback
from keras_compress.pruning import (
    ConstantSparsity,
    OneShot,
    PolynomialDecay,
    PruningCallback,
    PruningConfig,
)
from tests.training import dense, fit_dense, kernels_of, tensorflow_only, vectors, zeros_of

BACKEND = keras.backend.backend()


class OwnStep(keras.Model):
    """Trains by `update(gradients)`, whatever it is compiled with."""

    def by_another_optimizer(self, gradients):
        self.other.apply(gradients, self.trainable_variables)

    def by_assigning(self, gradients):
        for variable, gradient in zip(self.trainable_variables, gradients, strict=True):
            variable.assign(variable - 0.1 * gradient)

    def by_what_was_compiled(self, gradients):
        self.compiled_with.apply(gradients, self.trainable_variables)

    def the_last_layer_by_another(self, gradients):
        variables = self.trainable_variables
        self.optimizer.apply(gradients[:2], variables[:2])
        self.other.apply(gradients[2:], variables[2:])

    def by_variables_of_the_tape(self, gradients):
        pairs = zip(gradients, [v.value for v in self.trainable_variables], strict=True)
        self.optimizer.apply_gradients(pairs)

    if BACKEND == "tensorflow":

        def train_step(self, data):
            import tensorflow as tf

            x, y = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x, y, self(x, training=True))
            values = [v.value for v in self.trainable_variables]
            self.update(tape.gradient(loss, values))
            return {"loss": loss}

    elif BACKEND == "jax":

        def train_step(self, state, data):
            import jax

            weights, others, optimizer_variables, metrics = state
            x, y = data

            def loss_of(weights):
                return self.compute_loss(x, y, self.stateless_call(weights, others, x)[0])

            loss, gradients = jax.value_and_grad(loss_of)(weights)
            weights = [w - 0.1 * g for w, g in zip(weights, gradients, strict=True)]
            return {"loss": loss}, (weights, others, optimizer_variables, metrics)


def own(update="by_assigning") -> OwnStep:
    model = dense("sgd", OwnStep)
    model.compiled_with = model.optimizer
    model.other = keras.optimizers.SGD(0.1)
    variables = model.trainable_variables
    model.other.build(variables[2:] if update == "the_last_layer_by_another" else variables)
    model.compiled_with.build(variables)
    model.update = getattr(model, update)
    return model


TECHNIQUES = {
    "pruning": lambda: PruningCallback(OneShot(0.5)),
    "pruning later": lambda: PruningCallback(OneShot(0.5, step=1000)),
    "clustering": lambda: ClusteringCallback(4),
}


def refused(model, callback, epochs=3, **kwargs) -> None:
    ended = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: done.append(epoch))
    done: list[int] = []
    with pytest.raises(KerasCompressError, match="something else changed"):
        fit_dense(model, epochs, [callback, ended], **kwargs)
    assert not done, "it was refused after the first epoch only"


@pytest.mark.skipif(BACKEND == "torch", reason="torch's train_step is another one")
@pytest.mark.parametrize("technique", TECHNIQUES)
def test_weights_that_are_updated_by_hand_are_refused(technique):
    model = own()
    refused(model, TECHNIQUES[technique]())
    assert zeros_of(model) < 0.1
    assert pruning.report(model).sparsity == pytest.approx(zeros_of(model))
    rows = [row for row in clustering.report(model) if row.weight == "kernel"]
    assert {row.action for row in rows} == {"left alone"}


@tensorflow_only
@pytest.mark.parametrize(
    ("update", "technique"),
    [
        ("by_another_optimizer", "pruning"),
        ("by_another_optimizer", "pruning later"),
        ("by_what_was_compiled", "clustering"),
        ("the_last_layer_by_another", "pruning"),
        ("the_last_layer_by_another", "clustering"),
    ],
)
def test_updates_by_other_optimizers_are_refused(update, technique):
    refused(own(update), TECHNIQUES[technique]())


@tensorflow_only
def test_they_are_refused_with_data_of_unknown_length_too():
    x, y = vectors()

    def batches():
        for _ in range(4):
            yield x[:16], y[:16]

    with pytest.raises(KerasCompressError, match="something else changed"):
        own("by_another_optimizer").fit(
            batches(), verbose=0, callbacks=[PruningCallback(OneShot(0.5))]
        )


@tensorflow_only
@pytest.mark.parametrize("technique", ["pruning", "clustering"])
def test_the_compiled_optimizer_may_be_called_in_any_form(technique):
    model = own("by_variables_of_the_tape")
    stock = dense("sgd")
    for each in (model, stock):
        fit_dense(each, 2, [TECHNIQUES[technique]()])
    for one, other in zip(kernels_of(model), kernels_of(stock), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@tensorflow_only
def test_the_optimizer_of_a_pruner_may_be_one_of_several():
    model = own("by_another_optimizer")
    pruner = pruning.Pruner(model, PruningConfig(0.5), optimizer=model.other)
    pruner.update(0)
    model.other = pruner.optimizer
    fit_dense(model, 1)
    assert zeros_of(model) == pytest.approx(0.5)


class Replaces(keras.callbacks.Callback):
    """Brings the weights of the begin back after the second epoch."""

    def on_train_begin(self, logs=None):
        self.first = [np.array(w) for w in self.model.get_weights()]

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.model.set_weights(self.first)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("technique", ["pruning", "clustering"])
def test_constraints_are_derived_anew_from_weights_loaded_between_epochs(technique, order):
    callback = TECHNIQUES[technique]()
    model, again = dense("sgd"), dense("sgd")
    fit_dense(model, 3, [callback, Replaces()][::order])
    # As if the last epoch had been the first.
    fit_dense(again, 1, [TECHNIQUES[technique]()])
    for one, other in zip(kernels_of(model), kernels_of(again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_reports_and_logs_speak_of_the_weights_that_the_model_has():
    model = dense()
    first = model.get_weights()
    history = fit_dense(model, 1, [PruningCallback(ConstantSparsity(0.5))])
    assert history.history["sparsity"] == [pytest.approx(0.5)]
    model.set_weights(first)
    assert pruning.report(model).sparsity == 0.0
    fit_dense(model, 1, [PruningCallback(0.25)])
    assert pruning.report(model).sparsity == pytest.approx(0.25) == zeros_of(model)


def test_a_report_of_clusters_speaks_of_the_weights_that_the_model_has():
    model = dense()
    first = model.get_weights()
    fit_dense(model, 1, [ClusteringCallback(4)])
    rows = {row.layer: row for row in clustering.report(model) if row.weight == "kernel"}
    assert {row.action for row in rows.values()} == {"clustered"}
    model.set_weights(first)
    rows = {row.layer: row for row in clustering.report(model) if row.weight == "kernel"}
    assert {row.action for row in rows.values()} == {"left alone"}
    assert rows["hidden"].distinct == 128


@pytest.mark.parametrize("order", [1, -1])
def test_a_training_that_was_killed_goes_on_from_its_backup(order, tmp_path):
    config = PruningConfig(PolynomialDecay(0.0, 0.5, 0, 10), frequency=2)

    def trained(*others):
        model = dense(keras.optimizers.SGD(0.1))
        callbacks = [PruningCallback(config), *others][::order]
        fit_dense(model, 4, callbacks)
        return kernels_of(model)

    class Kills(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise InterruptedError

    backup = keras.callbacks.BackupAndRestore
    with pytest.raises(InterruptedError):
        trained(backup(tmp_path), Kills())
    for one, other in zip(trained(backup(tmp_path)), trained(), strict=True):
        np.testing.assert_array_equal(one, other)
