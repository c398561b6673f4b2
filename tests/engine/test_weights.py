"""Finding weights in models of any structure."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import KerasCompressError, pruning
from keras_compress.engine.weights import iter_weights, kernel_indices, select_weights
from tests.training import nested, outputs, sequential, subclassed

pytestmark = pytest.mark.backend_independent


@keras.saving.register_keras_serializable(package="keras_compress_tests")
class Gate(keras.layers.Layer):
    """A custom layer with a weight of a name of its own and a layer within."""

    def build(self, input_shape):
        self.mixing = self.add_weight(shape=(input_shape[-1], 4), name="mixing")
        self.inner = keras.layers.Dense(4, name="inner")
        self.inner.build(input_shape)

    def call(self, x):
        return keras.ops.matmul(x, self.mixing) * self.inner(x)


def labels(model, layers=None):
    return {ref.label for ref in select_weights(model, layers).chosen}


def test_paths_name_the_layers_down_to_the_owner():
    assert {ref.label for ref in iter_weights(nested())} >= {"body/conv/kernel", "hidden/bias"}
    assert labels(subclassed()) == {"conv/kernel", "hidden/kernel", "logits/kernel"}


def test_wrappers_do_not_lengthen_the_paths():
    model = sequential()
    assert labels(pruning.prepare(model)) == labels(model)


def test_custom_layers_are_named_as_left_alone_until_they_are_chosen():
    model = keras.Sequential([keras.Input((3,)), Gate(name="gate"), keras.layers.Dense(2)])
    reasons = {ref.label: why for ref, why in select_weights(model).left_alone}
    assert "not a known kernel" in reasons["gate/mixing"]
    assert labels(model) == {"gate/inner/kernel", "dense/kernel"} or "gate/inner/kernel" in labels(
        model
    )
    assert labels(model, layers=Gate) == {"gate/mixing", "gate/inner/kernel"}
    wrapped = pruning.prepare(model, pruning.PruningConfig(0.5, layers="gate"))
    x = np.ones((2, 3), "float32")
    np.testing.assert_allclose(outputs(wrapped, x), outputs(model, x), atol=1e-6)
    assert len(wrapped.get_layer("gate").masks) == 2


def test_a_shared_layer_is_found_once():
    shared = keras.layers.Dense(3, name="shared")
    inputs = keras.Input((3,))
    model = keras.Model(inputs, shared(shared(inputs)))
    assert len([ref for ref in iter_weights(model) if ref.name == "kernel"]) == 1
    wrapped = pruning.prepare(model)
    x = np.ones((2, 3), "float32")
    np.testing.assert_allclose(outputs(wrapped, x), outputs(model, x), atol=1e-6)


def test_layers_of_several_inputs_can_be_wrapped(tmp_path):
    inputs = keras.Input((5, 8))
    x = keras.layers.MultiHeadAttention(2, 4, name="attention")(inputs, inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    wrapped = pruning.prepare(model, pruning.PruningConfig(0.5))
    values = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    np.testing.assert_allclose(outputs(wrapped, values), outputs(model, values), atol=1e-6)
    wrapped.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(outputs(loaded, values), outputs(model, values), atol=1e-6)


def test_kernel_indices_of_a_single_layer():
    layer = keras.layers.LSTM(3)
    layer.build((None, 4, 2))
    names = [layer.variables[i].name for i in kernel_indices(layer)]
    assert names == ["kernel", "recurrent_kernel"]


def test_a_class_that_matches_nothing_is_named():
    with pytest.raises(KerasCompressError, match="LSTM"):
        select_weights(sequential(), keras.layers.LSTM)
