"""What is left in float, what is preserved, and settings that are saved."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import exporter, quantization
from keras_compress.errors import KerasCompressError
from keras_compress.quantization.step_search import best_steps
from tests.training import compiled, data, fit, outputs, tensorflow_only

pytestmark = pytest.mark.backend_independent

layers = keras.layers


def net() -> keras.Model:
    inputs = keras.Input((6, 6, 1))
    x = layers.Conv2D(4, 3, use_bias=False, name="first")(inputs)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.Conv2D(4, 3, activation="relu", name="middle")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(4, name="last")(x))


@pytest.fixture(scope="module")
def trained() -> keras.Model:
    model = compiled(net)
    fit(model, 2)
    return model


FIRST = {"first": "float"}
LAST = {"last": "float"}
NAMED = {"float_layers": ["mid*"]}


@pytest.mark.parametrize(
    ("settings", "integer"),
    [(FIRST, {"middle", "last"}), (LAST, {"first", "middle"}), (NAMED, {"first", "last"})],
)
def test_chosen_layers_stay_in_float(trained, settings, integer):
    x, _ = data()
    config = quantization.QuantizationConfig(**settings)
    prepared = quantization.prepare(trained, config, x)
    kinds = {layer.name for layer in prepared.layers if isinstance(layer, quantization.Quantized)}
    assert kinds == integer
    rows = {row.layer: row.action for row in quantization.report(prepared)}
    (left,) = {"first", "middle", "last"} - integer
    assert rows[left] == "float"
    ranges = quantization.ranges(prepared)
    # An input that only a layer in float takes is not rounded; what integers are computed of is.
    assert (prepared.inputs[0].name + "_range" in ranges) == (left != "first")
    assert ("relu_range" in ranges) == (left == "first")
    fit(prepared, 1)
    assert np.isfinite(outputs(prepared, x)).all()
    final = quantization.finalize(prepared)
    np.testing.assert_allclose(outputs(final, x), outputs(prepared, x), atol=1e-4)
    assert {row.layer: row.action for row in quantization.report(final)}[left] == "float"


@tensorflow_only
@pytest.mark.parametrize("settings", [FIRST, LAST])
def test_a_layer_in_float_is_one_in_the_file(trained, settings):
    x, _ = data()
    prepared = quantization.prepare(trained, quantization.QuantizationConfig(**settings), x)
    exported = exporter.convert(prepared, precision="int8", samples=x[:16], io_dtype="float32")
    assert exported.verification.outputs[0].max_abs_error < 0.05
    assert exported.verification.top1_agreement == 1.0
    assert "QUANTIZE" in exported.operators and "DEQUANTIZE" in exported.operators


def test_names_of_layers_in_float_are_checked(trained):
    for wrong, match in (("convolution", "matches none of"), (7, "predicates")):
        config = quantization.QuantizationConfig(float_layers=wrong)
        with pytest.raises(KerasCompressError, match=match):
            quantization.prepare(trained, config)
    with pytest.raises(KerasCompressError, match='"float" or None'):
        quantization.QuantizationConfig(first="int8")
    with pytest.raises(KerasCompressError, match="at least one layer with a kernel"):
        quantization.prepare(
            trained, quantization.QuantizationConfig(float_layers=[layers.Conv2D, "last"])
        )


def test_equal_weights_stay_equal(trained, tmp_path):
    x, _ = data()
    shared = keras.models.clone_model(trained)
    for target, source in zip(shared.weights, trained.weights, strict=True):
        values = keras.ops.convert_to_numpy(source)
        target.assign(np.round(values, 1) if target.name == "kernel" else values)
    before = np.array(keras.ops.convert_to_numpy(shared.get_layer("middle").kernel))
    config = quantization.QuantizationConfig(preserve_clusters=True, preserve_sparsity=True)
    prepared = quantization.prepare(shared, config, x)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    prepared.compile(keras.optimizers.Adam(1e-2), loss)
    fit(prepared, 2)
    after = np.array(keras.ops.convert_to_numpy(prepared.get_layer("middle").layer.kernel))
    assert np.abs(after - before).max() > 1e-3
    for value in np.unique(before):
        alike = after[before == value]
        assert np.ptp(alike) < 1e-6
    final = quantization.finalize(prepared, keep_ranges=False)
    assert not np.asarray(final.get_layer("middle").get_weights()[0])[before == 0].any()
    prepared.save(tmp_path / "prepared.keras")
    loaded = keras.saving.load_model(tmp_path / "prepared.keras")
    np.testing.assert_array_equal(outputs(loaded, x), outputs(prepared, x))


def test_settings_are_saved():
    config = quantization.QuantizationConfig(
        weights=quantization.WeightQuantizer(bits=4, range="learned"),
        activations=quantization.ActivationQuantizer(range="percentile", percentile=99.0),
        first="float",
        last=quantization.WeightQuantizer(),
        float_layers=["head*", keras.layers.Dense],
        freeze_statistics_after=7,
        preserve_clusters=True,
        rate_weight=1e-6,
    )
    saved = keras.saving.serialize_keras_object(config)
    assert keras.saving.deserialize_keras_object(saved) == config
    unnamed = quantization.QuantizationConfig(float_layers=lambda layer: False)
    with pytest.raises(KerasCompressError, match="serialized"):
        keras.saving.serialize_keras_object(unnamed)


def test_weights_on_a_grid_keep_it():
    generator = np.random.default_rng(0)
    integers = generator.integers(-5, 6, (3, 3, 4, 8))
    kernel = (integers * 0.0371).astype(np.float32)
    steps = best_steps(kernel, (), 31)
    np.testing.assert_allclose(steps, 0.0371, rtol=1e-5)
    np.testing.assert_array_equal(np.rint(kernel / steps), integers)
    # Where the integers don't suffice, and on no grid, the error decides.
    assert best_steps(kernel, (), 3) > 0.0371
    loose = generator.normal(size=(3, 3, 4, 8)).astype(np.float32)
    for axes, shape in (((), (1, 1, 1, 1)), ((-1,), (1, 1, 1, 8))):
        assert best_steps(loose, axes, 7).shape == shape
    assert best_steps(np.zeros((2, 2), np.float32), (), 7) > 0
