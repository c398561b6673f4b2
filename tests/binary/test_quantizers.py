"""Quantizers: their values, their gradients, their names; on whatever back end runs the tests."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from keras_compress import binary
from keras_compress.errors import KerasCompressError


def gradient(function, x):
    """Gradient of the sum of `function(x)` weighted by 1, 2, 3 ..., so that none is hidden."""
    x = np.asarray(x, "float32")
    weights = ops.convert_to_tensor(np.arange(1, x.size + 1, dtype="float32").reshape(x.shape))

    def loss(tensor):
        return ops.sum(function(tensor) * weights)

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(loss)(x))
    if backend == "torch":
        import torch

        tensor = torch.tensor(x, requires_grad=True)
        loss(tensor).backward()
        return tensor.grad.numpy()
    import tensorflow as tf

    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = loss(tensor)
    return tape.gradient(value, tensor).numpy()


def numpy(x):
    return ops.convert_to_numpy(x)


POINTS = [-np.inf, -3.0, -1.0, -0.3, -1e-30, -0.0, 0.0, 1e-30, 0.1, 0.3, 1.0, 3.0, np.inf]


@pytest.mark.parametrize("name", ["ste_sign", "approx_sign", "swish_sign", "magnitude_aware_sign"])
def test_signs_are_exact_and_the_sign_of_zero_is_plus_one(name):
    levels = numpy(binary.get_quantizer(name).levels_of(ops.convert_to_tensor(np.float32(POINTS))))
    assert levels.tolist() == [-1.0] * 4 + [-1.0] + [1.0] * 8


def test_levels_are_the_ones_stated():
    x = ops.convert_to_tensor(np.linspace(-2, 2, 4001, dtype="float32"))
    for name in binary.quantizer_names():
        quantizer = binary.get_quantizer(name)
        found = np.unique(numpy(quantizer.levels_of(x)))
        np.testing.assert_allclose(found, quantizer.levels, atol=1e-7)
        assert len(quantizer.levels) <= 2**quantizer.precision
        assert quantizer.is_sign == (quantizer.levels == (-1.0, 1.0))


@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("mode", ["activations", "weights"])
def test_dorefa_has_all_its_levels(bits, mode):
    quantizer = binary.DoReFa(bits, mode)
    x = ops.convert_to_tensor(np.linspace(-4, 4, 100001, dtype="float32"))
    np.testing.assert_allclose(np.unique(numpy(quantizer(x)).round(6)), quantizer.levels, atol=2e-6)
    assert len(quantizer.levels) == 2**bits


def test_the_straight_through_estimator_includes_both_ends():
    x = [-1.5, -1.0, -0.2, 0.0, 0.7, 1.0, 1.0001]
    expected = np.arange(1, 8) * [0, 1, 1, 1, 1, 1, 0]
    np.testing.assert_array_equal(gradient(binary.SteSign(), x), expected)
    np.testing.assert_array_equal(gradient(binary.Heaviside(), x), expected)
    np.testing.assert_array_equal(gradient(binary.SteTern(), x), expected)
    wide = np.arange(1, 8) * [1, 1, 1, 1, 1, 1, 1]
    np.testing.assert_array_equal(gradient(binary.SteSign(clip_value=2.0), x), wide)


def test_the_gradients_of_approx_and_swish_sign_are_their_papers():
    x = np.array([-1.2, -0.5, 0.0, 0.25, 0.99], "float32")
    weights = np.arange(1, 6)
    np.testing.assert_allclose(
        gradient(binary.ApproxSign(), x),
        weights * np.where(np.abs(x) <= 1, 2 - 2 * np.abs(x), 0),
        rtol=1e-5,
    )
    beta = 5.0
    t = beta * x.astype("float64")
    swish = beta * (2 - t * np.tanh(t / 2)) / (1 + np.cosh(t))
    np.testing.assert_allclose(gradient(binary.SwishSign(beta), x), weights * swish, rtol=1e-4)


def test_an_infinite_value_gets_no_gradient_and_breaks_none():
    for name in ("ste_sign", "approx_sign", "heaviside", "ste_tern"):
        found = gradient(binary.get_quantizer(name), [-np.inf, 0.5, np.inf])
        assert found[0] == found[2] == 0 and found[1] != 0


def test_dorefa_rounds_with_slope_one_inside():
    found = gradient(binary.DoReFa(2), [-0.1, 0.0, 0.4, 1.0, 1.1])
    np.testing.assert_array_equal(found, [0, 2, 3, 4, 0])


def kernel(seed=0):
    return np.random.default_rng(seed).normal(0, 0.7, (3, 3, 4, 5)).astype("float32")


def test_alpha_is_the_mean_magnitude_of_each_filter():
    w = kernel()
    quantizer = binary.MagnitudeAwareSign()
    alpha = np.abs(w).mean((0, 1, 2))
    np.testing.assert_allclose(
        numpy(quantizer(ops.convert_to_tensor(w))), np.where(w < 0, -1, 1) * alpha, rtol=1e-5
    )
    depthwise = numpy(quantizer.scale_of(ops.convert_to_tensor(w), (-2, -1)))
    np.testing.assert_allclose(depthwise[0, 0], np.abs(w).mean((0, 1)), rtol=1e-5)


def test_the_three_gradients_of_the_scaled_sign():
    w = kernel()
    n = 36
    g = np.arange(1, w.size + 1, dtype="float32").reshape(w.shape)
    alpha = np.abs(w).mean((0, 1, 2))
    inside = np.abs(w) <= 1
    assert not inside.all() and inside.any()
    sign = np.where(w < 0, -1, 1)
    ste = g * alpha * inside
    np.testing.assert_allclose(gradient(binary.MagnitudeAwareSign(), w), ste, rtol=1e-4)
    np.testing.assert_allclose(
        gradient(binary.MagnitudeAwareSign("xnor"), w), ste + g / n, rtol=1e-4
    )
    through_alpha = sign / n * (g * sign).sum((0, 1, 2))
    np.testing.assert_allclose(
        gradient(binary.MagnitudeAwareSign("exact"), w), ste + through_alpha, rtol=1e-3, atol=1e-2
    )


def test_xnors_gradient_changes_no_value():
    w = ops.convert_to_tensor(kernel())
    plain = numpy(binary.MagnitudeAwareSign()(w))
    np.testing.assert_array_equal(numpy(binary.MagnitudeAwareSign("xnor")(w)), plain)


def test_ternary_weight_networks_set_the_threshold_by_the_mean():
    w = kernel()
    found = numpy(binary.SteTern(ternary_weight_networks=True)(ops.convert_to_tensor(w)))
    expected = np.sign(w) * (np.abs(w) > 0.7 * np.abs(w).mean())
    np.testing.assert_array_equal(found, expected)


def test_quantizers_go_by_name_object_and_configuration():
    for name in binary.quantizer_names():
        quantizer = binary.get_quantizer(name)
        again = binary.get_quantizer(keras.saving.serialize_keras_object(quantizer))
        assert type(again) is type(quantizer) and again.get_config() == quantizer.get_config()
        assert type(binary.get_quantizer(type(quantizer).__name__)) is type(quantizer)
    assert isinstance(binary.get_quantizer("dorefa_quantizer"), binary.DoReFa)
    assert isinstance(binary.get_quantizer("ste_heaviside"), binary.Heaviside)
    assert binary.get_quantizer(None) is None
    sign = binary.SteSign(0.5)
    assert binary.get_quantizer(sign) is sign


@pytest.mark.parametrize("bad", ["sgn", 3, object(), len])
def test_an_unknown_quantizer_lists_the_known(bad):
    with pytest.raises(KerasCompressError) as caught:
        binary.get_quantizer(bad)
    assert all(name in str(caught.value) for name in binary.quantizer_names())


@pytest.mark.parametrize(
    "make",
    [
        lambda: binary.SteSign(0),
        lambda: binary.SteSign(float("nan")),
        lambda: binary.SwishSign(-1),
        lambda: binary.MagnitudeAwareSign("odd"),
        lambda: binary.DoReFa(9),
        lambda: binary.DoReFa(2, "both"),
        lambda: binary.SteTern(threshold=-0.1),
        lambda: binary.WeightClip(0),
        lambda: binary.Quantize(None),
    ],
)
def test_bad_arguments_are_refused(make):
    with pytest.raises(KerasCompressError, match="Received"):
        make()
