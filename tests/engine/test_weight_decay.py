"""Copies of a compiled model leave out of weight decay what the model leaves out."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import clustering, pruning
from keras_compress.engine.cloning import copy_model
from keras_compress.pruning import PruningCallback
from tests.training import dense, vectors


def decaying(kind=keras.Model, scaled=False, **told):
    """A net whose optimizer does nothing but decay, as its gradients are zero."""
    optimizer = keras.optimizers.SGD(0.5, weight_decay=0.2)
    model = dense("sgd", kind)
    names = {v.path: v for v in model.variables}
    if "var_list" in told:
        told["var_list"] = [names[path] for path in told["var_list"]]
    optimizer.exclude_from_weight_decay(**told)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, zero_loss)
    return model


@keras.saving.register_keras_serializable(package="keras_compress_tests")
def zero_loss(y_true, y_pred):
    return 0.0 * keras.ops.sum(y_pred, axis=-1)


def decayed(model) -> set[str]:
    """The trained variables, by layer and name, that a step makes smaller."""
    for variable in model.trainable_variables:
        variable.assign(np.linspace(1, 2, int(np.prod(variable.shape))).reshape(variable.shape))
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in model.trainable_variables]
    x, y = vectors()
    model.fit(x[:16], y[:16], batch_size=16, epochs=1, verbose=0)
    moved = {
        v.path
        for v, old in zip(model.trainable_variables, before, strict=True)
        if not np.allclose(keras.ops.convert_to_numpy(v), old)
    }
    return moved


ALL = {"hidden/kernel", "hidden/bias", "logits/kernel", "logits/bias"}


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(
    "told, left_out",
    [
        ({"var_names": ["bias"]}, {"hidden/bias", "logits/bias"}),
        ({"var_list": ["hidden/kernel"]}, {"hidden/kernel"}),
        ({"var_list": ["hidden/kernel"], "var_names": ["bi", "nothing"]}, ALL - {"logits/kernel"}),
        ({}, set()),
    ],
    ids=["names", "variables", "both", "nothing"],
)
def test_copies_decay_the_same_weights(told, left_out, scaled):
    model = decaying(scaled=scaled, **told)
    assert decayed(copy_model(model)) == ALL - left_out
    assert decayed(pruning.finalize(pruning.prepare(model))) == ALL - left_out
    assert decayed(copy_model(copy_model(model))) == ALL - left_out
    assert decayed(model) == ALL - left_out


def test_what_a_callback_trained():
    model = decaying(var_list=["hidden/kernel"])
    x, y = vectors()
    model.fit(x, y, verbose=0, callbacks=[PruningCallback(0.5)])
    assert decayed(pruning.finalize(model)) == ALL - {"hidden/kernel"}


def test_centroids_stand_for_the_weights_they_are_shared_by():
    model = decaying(var_list=["hidden/kernel"])
    wrapped = clustering.prepare(model, clustering.ClusteringConfig(4))
    moved = decayed(wrapped)
    assert {path.split("/")[-1] for path in moved} == {"bias", "kernel_centroids"}
    assert not any("hidden" in path and "centroids" in path for path in moved)
    assert any("logits" in path and "centroids" in path for path in moved)
    assert decayed(clustering.finalize(wrapped)) == ALL - {"hidden/kernel"}


def test_clusters_that_a_callback_makes_leave_the_others_out():
    x, y = vectors()
    layers = [clustering.Clustered(keras.layers.Dense(6)), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input(x.shape[1:]), *layers])
    optimizer = keras.optimizers.SGD(0.5, weight_decay=0.2)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, zero_loss)
    model.fit(x, y, verbose=0, callbacks=[clustering.ClusteringCallback(16)])
    moved = decayed(model)
    assert moved and not any("bias" in path for path in moved)
