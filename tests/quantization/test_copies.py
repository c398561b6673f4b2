"""What a quantized copy keeps of its model, and what is refused before the training."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import KerasCompressError, quantization
from tests.engine.test_weight_decay import ALL, decayed, decaying

X = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")


def body(name):
    return keras.Sequential([keras.Input((8,)), layers.Dense(8, activation="relu")], name=name)


def nested():
    inputs = keras.Input((8,), name="x")
    inner, again = body("inner"), keras.Input((8,))
    deep = keras.Model(again, layers.Dense(8)(body("deepest")(again)), name="deep")
    # A model behind a layer, one in another, and one that is called twice.
    x = layers.Dense(8, activation="relu", name="first")(inputs)
    x = inner(deep(inner(x)))
    return keras.Model(inputs, {"out": layers.Dense(2, name="head")(x)})


def test_models_in_models_compute_the_same():
    model = nested()
    prepared = quantization.prepare(model, calibration_data=X)
    wanted = outputs_of(model)
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(outputs_of(prepared), wanted, atol=0.05 * scale)
    final = quantization.finalize(prepared)
    np.testing.assert_allclose(outputs_of(final), wanted, atol=0.05 * scale)
    assert len(quantization.finalize(prepared).trainable_variables) == 10


def outputs_of(model):
    return keras.ops.convert_to_numpy(model(X)["out"])


def test_what_is_left_out_of_weight_decay_stays_out():
    model = decaying(var_list=["hidden/kernel"], var_names=["bias"])
    prepared = quantization.prepare(model, calibration_data=X)
    assert {path.split("/")[-2] for path in decayed(prepared)} == {"logits"}
    final = quantization.finalize(prepared)
    assert decayed(final) == {"logits/kernel"} < ALL


def test_a_class_of_ones_own_is_refused_before_the_training():
    class Own(keras.Model):
        def train_step(self, *args):
            raise AssertionError

    inputs = keras.Input((8,))
    model = Own(inputs, layers.Dense(2)(inputs), name="own")
    with pytest.raises(KerasCompressError, match=r"'own' of type Own.*stock class"):
        quantization.prepare(model)
    quantization.prepare(keras.Model(model.inputs, model.outputs))
