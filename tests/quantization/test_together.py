"""Quantization beside pruning, clustering and distillation, in one `fit`."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import clustering, distillation, pruning, quantization
from tests.training import compiled, data, fit, outputs

layers = keras.layers


def net() -> keras.Model:
    inputs = keras.Input((6, 6, 1))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(inputs)
    x = layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(4, name="logits")(x))


def prepared(**settings):
    weights = quantization.WeightQuantizer(**settings)
    config = quantization.QuantizationConfig(weights=weights)
    return quantization.prepare(compiled(net), config, data()[0])


def integers(model, name) -> np.ndarray:
    return model.get_layer(name).integers()


def test_pruning_goes_on_in_a_prepared_model():
    model = prepared()
    fit(model, 2, [pruning.PruningCallback(pruning.ConstantSparsity(0.5, begin_step=0))])
    for name in ("conv", "logits"):
        assert (integers(model, name) == 0).mean() >= 0.5
    final = quantization.finalize(model, keep_ranges=False)
    assert (np.asarray(final.get_layer("logits").get_weights()[0]) == 0).mean() >= 0.5


def test_shared_values_are_shared_integers():
    model = prepared(per_channel=False)
    fit(model, 1, [clustering.ClusteringCallback(8)])
    for name in ("conv", "logits"):
        assert np.unique(integers(model, name)).size <= 8
    by_channel = prepared()
    fit(by_channel, 1, [clustering.ClusteringCallback(8)])
    rows = np.moveaxis(integers(by_channel, "logits"), -1, 0)
    assert max(np.unique(row).size for row in rows) <= 8


def test_pruned_and_shared_and_quantized():
    model = prepared(per_channel=False)
    schedule = pruning.ConstantSparsity(0.5, begin_step=0, end_step=4)
    fit(model, 2, [pruning.PruningCallback(schedule), clustering.ClusteringCallback(8)])
    for name in ("conv", "logits"):
        assert (integers(model, name) == 0).mean() >= 0.5
        assert np.unique(integers(model, name)).size <= 8


def test_the_float_net_teaches_the_quantized_one():
    x, y = data()
    teacher = compiled(net)
    fit(teacher, 2)
    student = quantization.prepare(teacher, calibration_data=x)
    before = outputs(teacher, x).copy()
    distiller = distillation.Distiller(
        teacher, student, [distillation.SoftTargets(temperature=2.0)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile("adam", loss)
    history = distiller.fit(x, y, epochs=2, batch_size=16, verbose=0).history["loss"]
    assert history[-1] < history[0]
    np.testing.assert_array_equal(outputs(teacher, x), before)
    assert "unseen" not in {row.action for row in quantization.report(student)}


@pytest.mark.parametrize("per_channel", [True, False])
def test_bits_of_the_integers_are_paid_for(per_channel):
    x, _ = data()
    weights = quantization.WeightQuantizer(per_channel=per_channel)
    bits = {}
    for price in (0.0, 1e-3):
        config = quantization.QuantizationConfig(weights=weights, rate_weight=price)
        model = quantization.prepare(compiled(net), config, x)
        before = float(keras.ops.convert_to_numpy(model.get_layer("logits").bits()))
        fit(model, 4)
        after = float(keras.ops.convert_to_numpy(model.get_layer("logits").bits()))
        bits[price] = after / before
    assert bits[1e-3] < 0.97 * bits[0.0]
