"""The binarized layers against loops in NumPy, and through Keras' own life cycle."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from keras_compress import binary
from keras_compress.binary.input_scale import input_scale_map
from keras_compress.errors import KerasCompressError


def images(seed=0, channels=6, side=7, batch=2):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(batch, side, side, channels)).astype("float32")
    x[0, 0, 0, 0] = 0.0
    return x


def same_pads(size, kernel, stride, dilation):
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def naive(x, layer, depthwise=False):
    """What the docstring of `keras_compress.binary` says, one output value at a time."""
    levels, scale = layer.binarized_kernel()
    signed = np.where(x < 0, -1.0, 1.0) if layer.has_binary_input else x.astype("float64")
    magnitude = np.abs(x).astype("float64")
    (kh, kw), (sh, sw), (dh, dw) = layer.kernel_size, layer.strides, layer.dilation_rate
    if layer.padding == "same":
        pads = [
            (0, 0),
            same_pads(x.shape[1], kh, sh, dh),
            same_pads(x.shape[2], kw, sw, dw),
            (0, 0),
        ]
        signed = np.pad(signed, pads, constant_values=layer.pad_values)
        magnitude = np.pad(magnitude, pads, constant_values=layer.pad_values)
    channels = x.shape[-1]
    groups = channels if depthwise else layer.groups
    per_group = channels // groups
    filters = len(scale)
    weights = levels.reshape(kh, kw, -1) if depthwise else levels
    rows = (signed.shape[1] - (kh - 1) * dh - 1) // sh + 1
    columns = (signed.shape[2] - (kw - 1) * dw - 1) // sw + 1
    out = np.zeros((len(x), rows, columns, filters))
    for i in range(rows):
        for j in range(columns):
            at = np.s_[:, i * sh : i * sh + (kh - 1) * dh + 1 : dh]
            window = signed[at][:, :, j * sw : j * sw + (kw - 1) * dw + 1 : dw]
            size = magnitude[at][:, :, j * sw : j * sw + (kw - 1) * dw + 1 : dw]
            for f in range(filters):
                group = f // (filters // groups)
                mine = np.s_[..., group * per_group : (group + 1) * per_group]
                tap = weights[:, :, f : f + 1] if depthwise else weights[..., f]
                value = (window[mine] * tap).sum((1, 2, 3)) * scale[f]
                if layer.input_scale:
                    value = value * size[mine].mean((1, 2, 3))
                out[:, i, j, f] = value
    if layer.use_bias:
        out += ops.convert_to_numpy(layer.bias)
    return out


CASES = {
    "plain": {},
    "same": {"padding": "same"},
    "ones": {"padding": "same", "pad_values": 1},
    "ones, stride": {"padding": "same", "pad_values": 1, "strides": 2},
    "zeros, stride": {"padding": "same", "strides": 2},
    "dilation": {"padding": "same", "pad_values": 1, "dilation_rate": 2},
    "K": {"padding": "same", "input_scale": True},
    "K, ones, stride": {"padding": "same", "pad_values": 1, "strides": 2, "input_scale": True},
    "K, valid": {"input_scale": True},
    "BWN": {"padding": "same", "input_quantizer": None},
    "no alpha": {"kernel_quantizer": "ste_sign"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_compute_what_the_contract_says(case, groups):
    keras.utils.set_random_seed(1)
    layer = binary.BinaryConv2D(4, 3, groups=groups, bias_initializer="ones", **CASES[case])
    x = images()
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(x)), naive(x, layer), rtol=1e-4, atol=1e-4
    )
    assert layer.compute_output_shape(x.shape) == layer(x).shape


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_convolutions_too(case, multiplier):
    keras.utils.set_random_seed(1)
    layer = binary.BinaryDepthwiseConv2D(3, depth_multiplier=multiplier, **CASES[case])
    x = images(channels=3)
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(x)), naive(x, layer, depthwise=True), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("scaled", [False, True])
def test_dense_layers_too(scaled):
    keras.utils.set_random_seed(1)
    layer = binary.BinaryDense(5, input_scale=scaled, use_bias=True, activation="relu")
    x = np.random.default_rng(0).normal(size=(3, 70)).astype("float32")
    found = ops.convert_to_numpy(layer(x))
    levels, scale = layer.binarized_kernel()
    expected = (np.where(x < 0, -1, 1) @ levels.astype("float64")) * scale
    if scaled:
        expected *= np.abs(x).mean(1, keepdims=True)
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-4, atol=1e-4)


def test_the_kernel_is_read_as_levels_and_scale():
    layer = binary.BinaryConv2D(4, 3)
    with pytest.raises(KerasCompressError, match="unbuilt"):
        layer.binarized_kernel()
    layer.build((None, 7, 7, 6))
    levels, scale = layer.binarized_kernel()
    assert levels.dtype == np.int8 and set(np.unique(levels)) <= {-1, 1}
    assert scale.dtype == np.float32 and scale.shape == (4,)
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer.quantized_kernel), levels * scale, rtol=1e-6
    )
    assert layer.has_binary_kernel and layer.has_binary_input
    assert binary.is_binary_variable(layer.kernel)
    real = binary.BinaryConv2D(4, 3, input_quantizer=None, kernel_quantizer=None)
    real.build((None, 7, 7, 6))
    assert not real.has_binary_kernel and not binary.is_binary_variable(real.kernel)
    assert real.kernel_constraint is None


def test_latent_weights_are_clipped_where_the_gradient_ends():
    assert isinstance(binary.BinaryConv2D(4, 3).kernel_constraint, binary.WeightClip)
    assert isinstance(binary.BinaryDepthwiseConv2D(3).depthwise_constraint, binary.WeightClip)
    assert binary.BinaryDense(4, kernel_constraint=None).kernel_constraint is None
    free = binary.MagnitudeAwareSign(gradient="xnor")
    assert binary.BinaryDense(4, kernel_quantizer=free).kernel_constraint is None
    model = keras.Sequential([keras.Input((8,)), binary.BinaryDense(4)])
    model.compile(keras.optimizers.SGD(50.0), "mse")
    model.fit(np.ones((16, 8)), np.full((16, 4), 9.0), epochs=1, verbose=0)
    latent = ops.convert_to_numpy(model.layers[0].kernel)
    assert np.abs(latent).max() == 1.0


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_keeps_the_signs_of_tiny_latent_weights(policy):
    layer = binary.BinaryConv2D(2, 1, kernel_quantizer="ste_sign", dtype=policy)
    layer.build((None, 4, 4, 3))
    layer.kernel.assign(np.full((1, 1, 3, 2), -1e-30, "float32"))
    out = layer(np.ones((1, 4, 4, 3), "float32"))
    assert keras.backend.standardize_dtype(out.dtype) == policy.removeprefix("mixed_")
    assert float(ops.max(out)) == -3.0


def test_an_unknown_image_size_is_padded_at_run_time():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("other back ends know every size when they run")
    inputs = keras.Input((None, None, 3))
    layer = binary.BinaryConv2D(2, 3, strides=2, padding="same", pad_values=1)
    model = keras.Model(inputs, layer(inputs))
    for side in (6, 7):
        x = images(channels=3, side=side)
        found = model.predict(x, verbose=0)
        np.testing.assert_allclose(found, naive(x, layer), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: binary.BinaryConv2D(4, 3, pad_values=2),
        lambda: binary.BinaryConv2D(4, 3, pad_values=True),
        lambda: binary.BinaryConv2D(4, 3, kernel_quantizer="sine"),
        lambda: binary.BinaryConv2D(4, 3, input_quantizer=None, input_scale=True),
        lambda: binary.BinaryDense(4, input_quantizer="heaviside", input_scale=True),
        lambda: binary.bacp_block(keras.Input((8, 8, 3)), 4, order="PCAB"),
        lambda: binary.bacp_block(keras.Input((8, 8, 3)), 4, method="half"),
    ],
)
def test_bad_arguments_are_refused(make):
    with pytest.raises(KerasCompressError, match="Received"):
        make()


def test_a_block_orders_its_layers():
    def kinds(**options):
        inputs = keras.Input((8, 8, 3))
        model = keras.Model(inputs, binary.bacp_block(inputs, 4, pool_size=2, **options))
        return [type(layer).__name__ for layer in model.layers[1:]]

    assert kinds() == ["BatchNormalization", "BinaryConv2D", "MaxPooling2D"]
    assert kinds(method="bwn") == ["BatchNormalization", "ReLU", "BinaryConv2D", "MaxPooling2D"]
    assert kinds(order="CBAP") == ["BinaryConv2D", "BatchNormalization", "Quantize", "MaxPooling2D"]
    assert "Conv2D" in kinds(method="float")


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_scales_of_groups_of_inputs_are_the_same_with_channels_first(padding):
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 4)).astype("float32")
    settings = (2, (3, 2), (1, 2), padding, (1, 1))
    last = ops.convert_to_numpy(input_scale_map(ops.array(x), *settings, "channels_last"))
    turned = ops.array(x.transpose(0, 3, 1, 2))
    first = ops.convert_to_numpy(input_scale_map(turned, *settings, "channels_first"))
    np.testing.assert_allclose(first.transpose(0, 2, 3, 1), last, rtol=1e-6)
