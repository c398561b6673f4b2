"""The projected optimizer is the user's optimizer in all but the constraint."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import KerasCompressError, pruning
from keras_compress.engine.optimizer import ProjectedOptimizer, attach_optimizer
from keras_compress.pruning import OneShot, PruningCallback
from keras_compress.pruning.pruner import MaskProjection
from tests.training import compiled, fit


def hidden_sparsity(model) -> float:
    return float(np.mean(np.asarray(model.get_layer("hidden").kernel) == 0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.Adam(0.01, clipnorm=0.5),
        lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True, global_clipnorm=1.0),
        lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
        lambda: keras.optimizers.RMSprop(0.01, clipvalue=0.1),
        lambda: keras.optimizers.Lion(0.001),
        lambda: keras.optimizers.Adafactor(0.01),
        lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
        lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=3),
        lambda: keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.05, 12)),
    ],
    ids=["adam", "sgd", "adamw", "rmsprop", "lion", "adafactor", "accumulation", "ema", "decay"],
)
def test_zeros_hold_under_any_optimizer(make):
    model = compiled(optimizer=make())
    fit(model, callbacks=[PruningCallback(OneShot(0.75))])
    assert hidden_sparsity(model) == pytest.approx(0.75, abs=0.001)


def test_without_a_constraint_it_trains_to_the_same_numbers():
    plain = compiled(optimizer=keras.optimizers.Adam(0.01))
    wrapped = compiled(optimizer=ProjectedOptimizer(keras.optimizers.Adam(0.01)))
    fit(plain)
    fit(wrapped)
    for a, b in zip(plain.weights, wrapped.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_learning_rate_and_iterations_are_the_wrapped_optimizers():
    model = compiled(optimizer=keras.optimizers.Adam(0.01))
    optimizer = attach_optimizer(model)
    assert attach_optimizer(model) is optimizer
    optimizer.learning_rate = 0.002
    assert float(optimizer.inner_optimizer.learning_rate) == pytest.approx(0.002)
    fit(model, callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch: 0.003)])
    assert float(optimizer.learning_rate) == pytest.approx(0.003)
    assert int(optimizer.iterations) == int(optimizer.inner_optimizer.iterations) == 12


def test_it_serializes_with_the_optimizer_in_it(tmp_path):
    optimizer = ProjectedOptimizer(keras.optimizers.Adam(0.02))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert again.inner_optimizer.get_config() == optimizer.inner_optimizer.get_config()
    model = compiled(optimizer=optimizer)
    fit(model, callbacks=[PruningCallback(OneShot(0.5))])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert isinstance(loaded.optimizer, ProjectedOptimizer)
    assert int(loaded.optimizer.iterations) == 12
    fit(model)
    fit(loaded, callbacks=[PruningCallback(OneShot(0.5), initial_step=12)])
    for a, b in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_finalize_gives_the_users_kind_of_optimizer_back():
    model = compiled(optimizer=keras.optimizers.SGD(0.05))
    fit(model, callbacks=[PruningCallback(OneShot(0.5))])
    assert isinstance(pruning.finalize(model).optimizer, keras.optimizers.SGD)


def test_a_model_that_is_not_compiled_is_refused():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(KerasCompressError, match="compile"):
        attach_optimizer(model)


def test_a_projection_of_a_foreign_variable_is_refused():
    optimizer = attach_optimizer(compiled())
    foreign = keras.Variable(np.zeros((2, 2), "float32"))
    with pytest.raises(KerasCompressError, match="built with"):
        optimizer.add_projection(MaskProjection(foreign))
