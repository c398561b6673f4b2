"""Wrapped layers keep doing all that the layer does."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import clustering, pruning
from keras_compress.pruning import Pruned, PruningCallback, PruningConfig
from tests.training import outputs


def test_state_within_a_wrapped_layer_still_changes():
    inner = keras.Sequential(
        [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    )
    model = keras.Sequential([keras.Input((3,)), Pruned(inner)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(3, 1, (32, 3)).astype("float32")
    state = inner.non_trainable_variables
    if keras.backend.backend() == "torch":
        # Whose dropout draws from torch's own generator.
        state = [variable for variable in state if "seed" not in variable.path]
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in state]
    model.fit(x, np.zeros((32, 4)), verbose=0)
    after = [np.array(keras.ops.convert_to_numpy(v)) for v in state]
    assert len(state) >= 2
    assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_activity_losses_of_a_wrapped_layer_count():
    def build(wrap):
        keras.utils.set_random_seed(0)
        dense = keras.layers.Dense(4, activity_regularizer=keras.regularizers.L2(0.5))
        return keras.Sequential([keras.Input((3,)), wrap(dense)])

    x = np.ones((8, 3), "float32")
    losses = []
    for wrap in (lambda layer: layer, Pruned):
        model = build(wrap)
        model.compile("sgd", "mse")
        losses.append(model.evaluate(x, np.zeros((8, 4)), verbose=0))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_masks_of_padded_sequences_reach_the_wrapped_layer():
    inputs = keras.Input((6,), dtype="int32")
    x = keras.layers.Embedding(10, 4, mask_zero=True)(inputs)
    model = keras.Model(inputs, keras.layers.LSTM(3, name="memory")(x))
    wrapped = pruning.prepare(model, PruningConfig(0.5))
    tokens = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]])
    np.testing.assert_allclose(outputs(wrapped, tokens), outputs(model, tokens), atol=1e-6)


@pytest.mark.parametrize("technique", [pruning, clustering])
def test_saved_wrappers_compute_the_same(technique, tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            keras.layers.Conv2D(6, 3, name="c"),
            keras.layers.Flatten(),
            keras.layers.Dense(5, name="d"),
        ]
    )
    wrapped = technique.prepare(model)
    wrapped.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(16, 8, 8, 2)).astype("float32")
    wrapped.fit(
        x,
        np.zeros((16, 5)),
        verbose=0,
        callbacks=[PruningCallback(0.5)] if technique is pruning else [],
    )
    wrapped.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(outputs(loaded, x), outputs(wrapped, x))
    wrapped.save_weights(tmp_path / "m.weights.h5")
    rebuilt = keras.models.model_from_json(wrapped.to_json())
    rebuilt.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(outputs(rebuilt, x), outputs(wrapped, x))
