"""The simulation: what it computes, how it is trained, saved and taken off."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

from keras_compress import pruning, quantization
from keras_compress.errors import KerasCompressError
from tests.training import (
    compiled,
    data,
    fit,
    functional,
    nested,
    outputs,
    sequential,
    subclassed,
    tensorflow_only,
)

layers = keras.layers


def with_norm(scale=True, use_bias=False, kind=layers.Conv2D) -> keras.Model:
    inputs = keras.Input((6, 6, 1))
    conv = (
        kind(3, padding="same", use_bias=use_bias, name="conv")
        if kind is layers.DepthwiseConv2D
        else kind(4, 3, padding="same", use_bias=use_bias, name="conv")
    )
    x = conv(inputs)
    x = layers.BatchNormalization(name="norm", scale=scale, momentum=0.8)(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(4, name="logits")(x), name="normed")


def kinds(model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


@functools.cache
def trained_weights(builder):
    model = compiled(builder)
    fit(model, 2)
    return model.get_weights()


def trained(builder=sequential):
    model = compiled(builder)
    model.set_weights(trained_weights(builder))
    return model


@pytest.mark.parametrize("builder", [functional, nested, with_norm])
def test_the_simulation_is_near_the_float_model_and_trains(builder):
    x, _ = data()
    model = trained(builder)
    before = [np.array(w) for w in model.get_weights()]
    prepared = quantization.prepare(model, calibration_data=x)
    float_results, results = outputs(model, x), outputs(prepared, x)
    # The ranges are averages, so that a few values are clipped.
    assert 0 < np.abs(float_results - results).mean() < 0.02 * np.ptp(float_results)
    history = fit(prepared, 3).history["loss"]
    assert history[-1] < history[0]
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_operators_have_the_ranges_of_the_device():
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="a")(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="b")(x)
    z = layers.ReLU(name="after_add")(layers.Add(name="add")([x, y]))
    z = layers.Concatenate(name="joined")([z, layers.MaxPooling2D(1, name="pool")(y)])
    z = layers.GlobalAveragePooling2D(name="mean")(z)
    z = layers.Dense(3, activation="softmax", name="scores")(z)
    prepared = quantization.prepare(keras.Model(inputs, z))
    # One range for the convolution with normalization and ReLU, one for sum and ReLU; what is
    # concatenated has one in all; the softmax has its own.
    assert list(quantization.ranges(prepared)) == [
        "image_range",
        "a_range",
        "joined_range",
        "mean_range",
        "scores_range",
        "scores_softmax_range",
    ]
    assert quantization.ranges(prepared)["scores_softmax_range"] == (0.0, 255 / 256)
    assert quantization.ranges(prepared)["a_range"] is None


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize(
    ("kind", "use_bias"),
    [(layers.Conv2D, True), (layers.DepthwiseConv2D, False), (layers.Conv2DTranspose, True)],
)
def test_normalization_in_training_is_that_of_keras(per_channel, kind, use_bias):
    """With fine steps, folding changes neither the results nor the moving averages."""
    x, _ = data(32)
    keras.utils.set_random_seed(1)
    model = with_norm(use_bias=use_bias, kind=kind)
    # A channel that a normalization turns around.
    norm = model.get_layer("norm")
    gamma = np.linspace(0.5, 1.5, norm.gamma.shape[0])
    gamma[0] = -1.0
    norm.gamma.assign(gamma)
    config = quantization.QuantizationConfig(
        weights=quantization.WeightQuantizer(per_channel=per_channel),
        activations=quantization.ActivationQuantizer(momentum=0.0),
    )
    prepared = quantization.prepare(model, config)
    for batch in (x[:16], x[16:]):
        expected = np.asarray(keras.ops.convert_to_numpy(model(batch, training=True)))
        got = np.asarray(keras.ops.convert_to_numpy(prepared(batch, training=True)))
        assert np.abs(got - expected).max() < 0.08 * np.ptp(expected)
    folded = prepared.get_layer("conv").norm
    for name in ("moving_mean", "moving_variance"):
        ours, theirs = (
            np.asarray(keras.ops.convert_to_numpy(getattr(each, name))) for each in (folded, norm)
        )
        np.testing.assert_allclose(ours, theirs, rtol=0.05, atol=0.02)


def test_statistics_freeze_and_training_goes_on():
    x, _ = data()
    config = quantization.QuantizationConfig(freeze_statistics_after=6)
    prepared = quantization.prepare(trained(with_norm), config, x)
    fit(prepared, 1)
    before = quantization.ranges(prepared)
    norm = prepared.get_layer("conv").norm
    mean = np.array(keras.ops.convert_to_numpy(norm.moving_mean))
    weights = prepared.get_layer("conv").get_weights()[0].copy()
    fit(prepared, 1)
    assert quantization.ranges(prepared) == before
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(norm.moving_mean), mean)
    assert np.abs(prepared.get_layer("conv").get_weights()[0] - weights).max() > 0


def test_frozen_training_computes_what_inference_does():
    x, _ = data(32)
    config = quantization.QuantizationConfig(freeze_statistics_after=0)
    prepared = quantization.prepare(trained(with_norm), config, x)
    one = np.asarray(keras.ops.convert_to_numpy(prepared(x, training=True)))
    other = np.asarray(keras.ops.convert_to_numpy(prepared(x, training=False)))
    step = np.ptp(other) / 255
    assert np.abs(one - other).max() < 1.5 * step


def test_finalized_models_compute_the_same_in_stock_layers():
    x, _ = data()
    prepared = quantization.prepare(trained(functional), calibration_data=x)
    fit(prepared, 1)
    final = quantization.finalize(prepared)
    np.testing.assert_allclose(outputs(final, x), outputs(prepared, x), atol=1e-5)
    assert "Quantized" not in kinds(final)
    plain = quantization.finalize(prepared, keep_ranges=False)
    assert set(kinds(plain)) == {
        "InputLayer", "Conv2D", "DepthwiseConv2D", "Add", "GlobalAveragePooling2D", "Dense",
    }  # fmt: skip
    assert plain.compiled
    kernel = np.asarray(plain.get_layer("conv").get_weights()[0])
    steps = np.abs(kernel).max(axis=(0, 1, 2)) / 127
    np.testing.assert_allclose(kernel / steps, np.rint(kernel / steps), atol=1e-3)


@pytest.mark.parametrize(("bits", "weight_range"), [(8, "max"), (4, "learned")])
def test_models_are_saved_and_go_on_where_they_were(tmp_path, bits, weight_range):
    x, _ = data()
    config = quantization.QuantizationConfig(
        weights=quantization.WeightQuantizer(bits=bits, range=weight_range),
        activations=quantization.ActivationQuantizer(range="learned"),
        freeze_statistics_after=8,
    )
    prepared = quantization.prepare(trained(with_norm), config, x)
    fit(prepared, 1)
    prepared.save(tmp_path / "half.keras")
    loaded = keras.saving.load_model(tmp_path / "half.keras")
    np.testing.assert_array_equal(outputs(loaded, x), outputs(prepared, x))
    for model in (prepared, loaded):
        fit(model, 1)
    np.testing.assert_allclose(outputs(loaded, x), outputs(prepared, x), atol=1e-5)
    final = quantization.finalize(loaded)
    np.testing.assert_allclose(outputs(final, x), outputs(loaded, x), atol=1e-4)
    final.save(tmp_path / "final.keras")
    again = keras.saving.load_model(tmp_path / "final.keras")
    np.testing.assert_array_equal(outputs(again, x), outputs(final, x))


def test_learned_steps_move_by_training():
    x, _ = data()
    config = quantization.QuantizationConfig(
        weights=quantization.WeightQuantizer(bits=4, range="learned"),
        activations=quantization.ActivationQuantizer(range="learned"),
    )
    prepared = quantization.prepare(trained(with_norm), config, x)
    before = quantization.ranges(prepared)
    factor = np.array(keras.ops.convert_to_numpy(prepared.get_layer("conv").factor))
    fit(prepared, 1)
    after = quantization.ranges(prepared)
    assert all(before[name] != after[name] for name in before)
    assert np.abs(keras.ops.convert_to_numpy(prepared.get_layer("conv").factor) - factor).min() > 0


def test_percentiles_leave_far_values_out():
    x, _ = data()
    x = x.copy()
    x[0, 0, 0, 0] = 1000.0
    config = quantization.QuantizationConfig(
        activations=quantization.ActivationQuantizer(range="percentile", percentile=99.0)
    )
    prepared = quantization.prepare(trained(), config, x)
    assert quantization.ranges(prepared)[f"{prepared.layers[0].name}_range"][1] < 10


def test_zeros_are_kept_on_request():
    x, _ = data()
    sparse = trained(with_norm)
    for name in ("conv", "logits"):
        kernel = sparse.get_layer(name).kernel
        values = np.array(keras.ops.convert_to_numpy(kernel))
        kernel.assign(np.where(np.abs(values) < np.median(np.abs(values)), 0, values))
    config = quantization.QuantizationConfig(preserve_sparsity=True)
    prepared = quantization.prepare(sparse, config, x)
    fit(prepared, 1)
    final = quantization.finalize(prepared, keep_ranges=False)
    for name in ("conv", "logits"):
        zeros = np.asarray(sparse.get_layer(name).get_weights()[0]) == 0
        assert zeros.mean() >= 0.4
        assert not np.asarray(final.get_layer(name).get_weights()[0])[zeros].any()


def test_the_report_names_every_layer():
    x, _ = data()
    config = quantization.QuantizationConfig(weights=quantization.WeightQuantizer(bits=4))
    prepared = quantization.prepare(trained(with_norm), config)
    rows = {row.layer: row for row in quantization.report(prepared)}
    assert set(rows) == {layer.name for layer in prepared.layers}
    assert rows["conv_range"].action == "unseen"
    assert rows["conv"].detail == "one step a channel, norm folded in, relu"
    # The converter loses the steps of channels of a dense kernel in fewer bits.
    assert rows["logits"].detail == "one step"
    assert rows["conv"].bits == 4 and rows["conv"].distinct <= 15
    quantization.calibrate(prepared, x)
    assert "unseen" not in {row.action for row in quantization.report(prepared)}
    assert "norm folded in" in str(quantization.report(prepared))


def test_ranges_that_are_shared_hold_all_that_is_in_them():
    inputs = keras.Input((6, 6, 1))
    x = layers.Conv2D(2, 1, name="small", kernel_initializer="ones")(inputs)
    y = layers.Conv2D(2, 1, name="large", kernel_initializer=keras.initializers.Constant(100))(
        inputs
    )
    model = keras.Model(inputs, layers.Concatenate(name="both")([x, y]))
    prepared = quantization.prepare(model, calibration_data=np.ones((4, 6, 6, 1), np.float32))
    assert quantization.ranges(prepared)["both_range"] == pytest.approx((0, 100), rel=1e-4)
    results = outputs(prepared, np.ones((1, 6, 6, 1), np.float32))
    np.testing.assert_allclose(results[0, 0, 0], [1, 1, 100, 100], atol=0.3)


def refused(model, match, **kwargs):
    with pytest.raises(KerasCompressError, match=match):
        quantization.prepare(model, **kwargs)


def test_what_can_not_be_quantized_is_told():
    inputs = keras.Input((6, 4))
    x = layers.LSTM(4, name="memory")(inputs)
    x = layers.LayerNormalization(name="normal")(x)
    refused(keras.Model(inputs, x), "'memory' of type LSTM.*'normal' of type LayerNormalization")
    refused(subclassed(), "Sequential or functional")
    model = sequential()
    prepared = quantization.prepare(model)
    refused(prepared, "quantized already")
    refused(quantization.finalize(calibrated(prepared)), "quantized already")
    refused(pruning.prepare(model, pruning.PruningConfig(0.5)), "wrappers of another technique")
    model.get_layer("conv").kernel.assign(np.full(model.get_layer("conv").kernel.shape, np.nan))
    refused(model, "NaN")
    learned = quantization.ActivationQuantizer(range="learned")
    refused(
        sequential(),
        "calibration_data",
        config=quantization.QuantizationConfig(activations=learned),
    )
    silly = keras.Sequential([keras.Input((4,)), layers.ReLU()])
    with pytest.raises(KerasCompressError):
        quantization.prepare(silly)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_another_precision_are_told(dtype):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, dtype=dtype, name="half")])
    refused(model, f"'half/kernel' of {dtype}")


def calibrated(prepared):
    quantization.calibrate(prepared, data()[0])
    return prepared


def test_ranges_need_data():
    prepared = quantization.prepare(sequential())
    with pytest.raises(KerasCompressError, match="seen none"):
        quantization.finalize(prepared)
    with pytest.raises(KerasCompressError, match="at least one sample"):
        quantization.calibrate(prepared, data()[0][:0])
    with pytest.raises(KerasCompressError, match="NaN"):
        quantization.calibrate(prepared, data()[0] * np.nan)
    with pytest.raises(KerasCompressError, match=r"quantization\.prepare"):
        quantization.calibrate(sequential(), data()[0])
    # Before any data it computes with rounded weights alone.
    model = sequential()
    x, _ = data()
    close = outputs(quantization.prepare(model), x)
    np.testing.assert_allclose(close, outputs(model, x), atol=0.05)


@pytest.mark.parametrize(
    "make",
    [
        lambda: quantization.WeightQuantizer(bits=9),
        lambda: quantization.WeightQuantizer(range="best"),
        lambda: quantization.ActivationQuantizer(bits=4),
        lambda: quantization.ActivationQuantizer(range="best"),
        lambda: quantization.ActivationQuantizer(momentum=1.0),
        lambda: quantization.ActivationQuantizer(percentile=50),
        lambda: quantization.QuantizationConfig(weights=None),
        lambda: quantization.QuantizationConfig(activations=8),
        lambda: quantization.QuantizationConfig(freeze_statistics_after=-1),
    ],
)
def test_settings_are_checked(make):
    with pytest.raises(KerasCompressError, match="Received"):
        make()


@tensorflow_only
def test_training_on_two_replicas(two_replicas):
    x, _ = data()
    with two_replicas.scope():
        prepared = quantization.prepare(compiled(with_norm), calibration_data=x)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        prepared.compile("adam", loss)
    history = fit(prepared, 2).history["loss"]
    assert history[-1] < history[0]
