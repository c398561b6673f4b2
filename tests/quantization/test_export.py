"""The file computes what the simulation did, to the step; settings that don't fit are refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import exporter, quantization, tflite
from keras_compress.architectures import blocks
from tests.training import compiled, data, fit, sequential

if keras.backend.backend() != "tensorflow":
    pytest.skip("TFLite is TensorFlow's alone", allow_module_level=True)

from keras_compress.cli.main import main
from keras_compress.exporter.comparison import compare
from keras_compress.exporter.trained_ranges import simulation_notes
from keras_compress.tflite.running import run_tflite

layers = keras.layers
SHAPE = (12, 12, 3)
WEIGHTS = {
    "8 bits": quantization.WeightQuantizer(),
    "one step": quantization.WeightQuantizer(per_channel=False),
    "4 bits": quantization.WeightQuantizer(bits=4),
    "5 bits, learned": quantization.WeightQuantizer(bits=5, range="learned"),
}


def resnet():
    x = inputs = keras.Input(SHAPE)
    x = layers.Conv2D(6, 3, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    y = layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same")(y))
    x = layers.Activation("relu")(layers.add([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(4)(x))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


def mobilenet():
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(6, 3, strides=2, use_bias=False)(layers.ZeroPadding2D(1)(inputs))
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = x + layers.BatchNormalization()(layers.Conv2D(6, 1, use_bias=False)(x))
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(5)(x))


def densenet():
    x = inputs = keras.Input(SHAPE)
    for _ in range(2):
        y = layers.SeparableConv2D(4, 3, padding="same", activation="relu")(x)
        x = layers.Concatenate()([x, y])
    x = layers.AveragePooling2D(2, padding="same")(layers.MaxPooling2D(2)(x))
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalMaxPooling2D()(x)))


def unet():
    x = inputs = keras.Input(SHAPE)
    wide = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(6, 3, padding="same", activation="silu")(layers.MaxPooling2D(2)(wide))
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Concatenate()([wide, x])
    x = layers.Conv2D(4, 1, activation="relu")(layers.Cropping2D(2)(x))
    return keras.Model(inputs, layers.Conv2D(1, 1)(x))


def squeeze_excite():
    x = inputs = keras.Input(SHAPE)
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    gate = layers.Dense(4, activation="relu")(layers.GlobalAveragePooling2D()(x))
    gate = layers.Reshape((1, 1, 8))(layers.Dense(8, activation="sigmoid")(gate))
    x = layers.BatchNormalization()(layers.Multiply()([x, gate]))
    x = layers.Conv2D(8, 3, groups=2, activation="tanh")(x)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, dilation_rate=2)(x))
    return keras.Model(inputs, layers.Dense(5)(x))


def shufflenet():
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(8, 3, activation="relu")(inputs)
    x = blocks.shuffle_unit_v2(blocks.shuffle_unit_v2(x, 16, strides=2, name="a"), 16, name="b")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 1)(x[..., 4:14]))
    return keras.Model(inputs, layers.Dense(5)(x))


def short():
    inputs = keras.Input(SHAPE)
    x = layers.DepthwiseConv2D(3)(layers.Conv2D(2, 3)(inputs))
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def with_numbers(model):
    """`model` with normalizations that have seen data, and biases."""
    generator = np.random.default_rng(1)
    for weight in model.weights:
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("beta", "bias", "moving_mean"):
            weight.assign(generator.normal(0, 0.3, weight.shape))
    return model


def images(count=32):
    return np.random.default_rng(0).normal(size=(count, *SHAPE)).astype(np.float32)


def steps_apart(model, x):
    """How many steps of the result the file is from `model`, and both results."""
    exported = exporter.convert(model, precision="int8", samples=x)
    file = tflite.read_tflite(exported.tflite)
    assert not [tensor.name for tensor in file.tensors if tensor.dtype == "FLOAT32"]
    (name, index), (source,) = (
        next(iter(file.signatures[0].outputs.items())),
        file.signatures[0].inputs,
    )
    received = run_tflite(exported.tflite, file, {source: x})[name]
    expected = np.asarray(model.predict(x, verbose=0))
    return np.abs(received - expected) / file.tensor(index).scales[0], received, expected, exported


@pytest.mark.parametrize(
    ("builder", "weights"),
    [
        (resnet, "8 bits"),
        (densenet, "8 bits"),
        (squeeze_excite, "8 bits"),
        (shufflenet, "8 bits"),
        (mobilenet, "one step"),
        (unet, "4 bits"),
        (mobilenet, "5 bits, learned"),
    ],
)
def test_the_file_is_the_simulation(builder, weights):
    keras.utils.set_random_seed(0)
    x = images()
    config = quantization.QuantizationConfig(weights=WEIGHTS[weights])
    prepared = quantization.prepare(with_numbers(builder()), config, x)
    apart, received, expected, exported = steps_apart(prepared, x)
    (error,) = exported.verification.outputs
    assert error.within_one_step == (apart < 1.01).mean()
    assert (apart < 1.01).all()
    # A softmax half way between two numbers is decided by the last digit of a float.
    assert (apart < 0.01).mean() >= 0.98
    rows = (len(x), -1)
    same = received.reshape(rows).argmax(1) == expected.reshape(rows).argmax(1)
    assert same.mean() >= 0.999 if received.ndim == 2 else same.mean() > 0.95


def test_finalized_and_loaded_models_have_the_same_file(tmp_path):
    keras.utils.set_random_seed(0)
    x = images()
    prepared = quantization.prepare(with_numbers(mobilenet()), calibration_data=x)
    final = quantization.finalize(prepared)
    final.save(tmp_path / "final.keras")
    loaded = keras.saving.load_model(tmp_path / "final.keras")
    apart, *_ = steps_apart(loaded, x)
    assert apart.max() < 0.01


def test_weights_biases_and_ranges_in_the_file_are_the_trained_ones():
    keras.utils.set_random_seed(0)
    x, _ = data()
    model = compiled(sequential)
    prepared = quantization.prepare(model, calibration_data=x)
    fit(prepared, 1)
    exported = exporter.convert(prepared, precision="int8", samples=x)
    file = tflite.read_tflite(exported.tflite)
    layer = prepared.get_layer("conv")
    kernel, bias, steps = layer.folded()
    by_shape = {(t.dtype, t.shape): t for t in file.tensors if t.is_constant}
    stored = by_shape["INT8", (4, 3, 3, 1)]
    np.testing.assert_allclose(stored.scales, steps, rtol=1e-5)
    integers = layer.integers()
    np.testing.assert_array_equal(stored.array(), np.moveaxis(integers, -1, 0))
    np.testing.assert_allclose(integers * steps, kernel, atol=1e-6)
    conv = next(each for each in file.operators if each.name == "CONV_2D")
    source, _, of_bias = (file.tensor(index) for index in conv.inputs)
    np.testing.assert_allclose(of_bias.scales, source.scales[0] * steps, rtol=1e-5)
    np.testing.assert_allclose(
        of_bias.array() * of_bias.scales, bias, atol=float(of_bias.scales.max()) * 0.51
    )
    low, high = quantization.ranges(prepared)["conv_range"]
    result = file.tensor(conv.outputs[0])
    scale, zero = (float(np.ravel(part)[0]) for part in result.quantization())
    assert ((-128 - zero) * scale, (127 - zero) * scale) == pytest.approx((low, high), abs=1e-5)


def test_dense_kernels_of_four_bits_lie_two_in_a_byte():
    keras.utils.set_random_seed(0)
    x = images(4)
    types = {}
    for storage in ("auto", "int4", "int8"):
        weights = quantization.WeightQuantizer(bits=4, storage=storage)
        prepared = quantization.prepare(
            short(), quantization.QuantizationConfig(weights=weights), x
        )
        exported = exporter.convert(prepared, precision="int8", verify=False)
        file = tflite.read_tflite(exported.tflite)
        kernels = [
            (each.name, file.tensor(each.inputs[1]).dtype)
            for each in file.operators
            if each.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
        ]
        types[storage] = [dtype for _, dtype in kernels]
    assert types["int4"] == ["INT4"] * 3
    assert types["int8"] == ["INT8"] * 3
    assert types["auto"] == ["INT8"] * 2 + ["INT4"]


def test_dead_channels_survive():
    keras.utils.set_random_seed(0)
    x = images()
    model = with_numbers(mobilenet())
    norms = [each for each in model.layers if isinstance(each, layers.BatchNormalization)]
    for norm, value in zip(norms, (0.0, 1e-9, 0.0), strict=True):
        gamma = np.array(norm.gamma)
        gamma[:2] = value
        norm.gamma.assign(gamma)
    model.layers[-1].kernel.assign(np.zeros(model.layers[-1].kernel.shape))
    apart, received, *_ = steps_apart(quantization.prepare(model, calibration_data=x), x)
    assert apart.max() < 1.01
    assert np.isfinite(received).all()


def test_layers_are_compared_one_by_one():
    keras.utils.set_random_seed(0)
    x = images(8)
    prepared = quantization.prepare(with_numbers(resnet()), calibration_data=x)
    exported = exporter.convert(prepared, precision="int8", samples=x, verify_layers=True)
    ranges = quantization.ranges(prepared)
    compared = {row.layer: row for row in exported.verification.layers if row.layer in ranges}
    # All but the input's own, which no operator computes.
    assert set(ranges) - set(compared) == {next(iter(ranges))}
    for name, row in compared.items():
        low, high = ranges[name]
        # The runtime's plain kernels, which keep every tensor, round some halves otherwise.
        assert row.max_abs_error <= (high - low) / 255 * 3.5


def test_what_does_not_go_with_trained_ranges_is_refused():
    x = images(8)
    prepared = quantization.prepare(mobilenet())
    with pytest.raises(exporter.ExportError, match="seen none"):
        exporter.convert(prepared, precision="int8")
    quantization.calibrate(prepared, x)
    with pytest.raises(exporter.ExportError, match="keep_ranges=False"):
        exporter.convert(prepared)
    with pytest.raises(exporter.ExportError, match="representative_data"):
        exporter.convert(prepared, precision="int8", representative_data=x)
    with pytest.raises(exporter.ExportError, match="per_channel"):
        exporter.convert(prepared, precision="int8", per_channel=False)
    plain = quantization.finalize(prepared, keep_ranges=False)
    assert exporter.convert(plain, samples=x).verification.max_abs_error < 1e-4


def test_a_file_that_differs_from_the_simulation_is_told_of():
    expected = np.linspace(0, 1, 100)
    off = expected.copy()
    off[:2] += 0.25
    errors = [
        compare("scores", expected, received, (0.0, 1.0), step=0.1)
        for received in (expected + 0.1, off)
    ]
    assert [error.within_one_step for error in errors] == [1.0, 0.98]
    verifications = [
        exporter.Verification(100, "samples", (error,), (), (), "runtime") for error in errors
    ]
    assert simulation_notes(verifications[0]) == []
    (note,) = simulation_notes(verifications[1])
    assert "Only 98.00% of result 'scores'" in note and "verify_layers=True" in note


def test_float_results_on_request():
    x = images(16)
    prepared = quantization.prepare(with_numbers(mobilenet()), calibration_data=x)
    exported = exporter.convert(prepared, precision="int8", samples=x, io_dtype="float32")
    assert exported.operators[0] == "QUANTIZE" and exported.operators[-1] == "DEQUANTIZE"
    assert exported.verification.top1_agreement == 1.0


def test_the_command_exports_a_saved_model(tmp_path):
    x = images(4)
    prepared = quantization.prepare(short(), calibration_data=x)
    prepared.save(tmp_path / "prepared.keras")
    np.savez(tmp_path / "x.npz", x=x)
    arguments = [tmp_path / "prepared.keras", "--data", tmp_path / "x.npz", "--out", tmp_path / "o"]
    assert main(["export", "--precision", "int8", *map(str, arguments)]) == 0
    file = tflite.read_tflite((tmp_path / "o/model.tflite").read_bytes())
    assert not [tensor.name for tensor in file.tensors if tensor.dtype == "FLOAT32"]


def test_weights_half_way_between_integers_are_the_same_ones_in_the_file():
    """Training leaves many there, where the last digit of a normalization would decide."""
    x, _ = data()
    inputs = keras.Input((6, 6, 1))
    y = layers.Conv2D(8, 3, use_bias=False, name="conv")(inputs)
    y = layers.BatchNormalization(name="norm")(y)
    model = keras.Model(inputs, layers.Flatten()(y))
    generator = np.random.default_rng(0)
    norm = model.get_layer("norm")
    norm.gamma.assign(generator.normal(size=8))
    norm.moving_variance.assign(generator.uniform(0.1, 3, 8))
    config = quantization.QuantizationConfig(
        weights=quantization.WeightQuantizer(bits=4, range="learned")
    )
    prepared = quantization.prepare(model, config)
    wrapper = prepared.get_layer("conv")
    # Of few binary digits, so that halves of them are exact.
    steps = 1.25 * 2.0 ** np.rint(np.log2(keras.ops.convert_to_numpy(wrapper.initial_steps)))
    wrapper.initial_steps.assign(steps)
    halves = generator.integers(-6, 6, wrapper.layer.kernel.shape) + 0.5
    wrapper.layer.kernel.assign(halves * steps)
    quantization.calibrate(prepared, x)
    signs = np.sign(keras.ops.convert_to_numpy(norm.gamma))
    np.testing.assert_array_equal(wrapper.integers(), np.rint(halves) * signs)
    exported = exporter.convert(prepared, precision="int8", samples=x)
    assert exported.verification.outputs[0].within_one_step == 1.0
