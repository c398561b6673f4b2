"""The simulated arithmetic is that of integers, computed here in NumPy and whole numbers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress.quantization import numerics
from keras_compress.quantization.sum_rounding import added_integers

GENERATOR = np.random.default_rng(0)


def as_array(tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def tensor(values):
    return keras.ops.convert_to_tensor(np.asarray(values, np.float32))


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_weights_are_symmetric_integers_of_their_channel(bits):
    weight = GENERATOR.normal(size=(3, 3, 4, 5)).astype(np.float32)
    steps = as_array(numerics.weight_steps(tensor(weight), (-1,), bits))
    assert steps.shape == (1, 1, 1, 5)
    got = as_array(numerics.quantize_symmetric(tensor(weight), tensor(steps), bits))
    integers = got / steps
    np.testing.assert_allclose(integers, np.rint(integers), atol=1e-4)
    limit = 2 ** (bits - 1) - 1
    # The largest of each channel is the largest integer: no channel gives digits away.
    np.testing.assert_array_equal(np.rint(np.abs(integers)).max(axis=(0, 1, 2)), [limit] * 5)
    assert np.abs(got - weight).max() <= steps.max() / 2 * (1 + 1e-5)


def test_zeros_of_weights_stay_zero_and_an_empty_channel_is_no_nan():
    weight = np.array([[0.0, 0.5], [0.0, -1.0], [0.0, 0.0]], np.float32)
    steps = numerics.weight_steps(tensor(weight), (-1,), 8)
    got = as_array(numerics.quantize_symmetric(tensor(weight), steps, 8))
    np.testing.assert_array_equal(got == 0, weight == 0)


@pytest.mark.parametrize(
    ("low", "high", "zero_point"),
    [(-1.0, 1.02, -2), (0.0, 6.0, -128), (-6.0, 0.0, 127), (-1.0, 3.0, -64), (2.0, 6.0, -128)],
)
def test_activations_have_zero_among_their_numbers(low, high, zero_point):
    step, found = (
        float(as_array(each)) for each in numerics.activation_grid(tensor(low), tensor(high), 8)
    )
    assert found == zero_point
    assert step == pytest.approx((max(high, 0) - min(low, 0)) / 255, rel=2e-5)
    # Sixteen digits: the ends of the range are exact in float32, as the converter takes them.
    assert np.float32(step) * np.float32(255) == step * 255


def test_activations_round_and_clip_as_integers_do():
    values = np.linspace(-3, 5, 1001).astype(np.float32)
    step, zero_point = numerics.activation_grid(tensor(-1.0), tensor(3.0), 8)
    got = as_array(numerics.quantize_affine(tensor(values), step, zero_point, 8))
    s, z = float(as_array(step)), int(as_array(zero_point))
    integers = np.clip(np.rint(values / np.float32(s)) + z, -128, 127)
    np.testing.assert_allclose(got, (integers - z) * s, atol=1e-6)


def test_weights_of_tiny_steps_leave_room_for_their_bias():
    least = as_array(numerics.least_weight_steps(tensor([5.0, 0.0]), tensor(0.01)))
    assert 5.0 / (least[0] * 0.01) <= 2**31 - 1
    assert least[1] == 0


def gradients(function, *values):
    """Gradients of the sum of `function`, on whichever back end."""
    variables = [keras.Variable(np.asarray(v, np.float32)) for v in values]
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            total = keras.ops.sum(function(*[v.value for v in variables]))
        found = tape.gradient(total, [v.value for v in variables])
    elif backend == "jax":
        import jax

        found = jax.grad(
            lambda *v: keras.ops.sum(function(*v)), argnums=tuple(range(len(variables)))
        )(*[v.value for v in variables])
    else:
        pytest.skip("no gradients by hand here")
    return [np.asarray(each) for each in found]


def test_the_gradient_passes_where_nothing_is_clipped():
    values = np.array([-2.0, -0.5, 0.3, 9.0], np.float32)
    step, zero_point = numerics.activation_grid(tensor(-1.0), tensor(3.0), 8)
    (found,) = gradients(lambda x: numerics.quantize_affine(x, step, zero_point, 8), values)
    np.testing.assert_array_equal(found, [0, 1, 1, 0])


def test_the_gradient_of_a_step_is_that_of_lsq():
    values = np.array([-3.0, -0.26, 0.1, 0.62, 5.0], np.float32)
    step, limit = 0.25, 7
    _, found = gradients(lambda w, s: numerics.quantize_symmetric(w, s, 4), values, step)
    scaled = values / step
    inside = np.abs(scaled) < limit
    # Esser et al., eq. 3.
    expected = np.where(inside, np.rint(scaled) - scaled, np.sign(scaled) * limit)
    assert float(found) == pytest.approx(expected.sum(), rel=2e-5)


def test_scaled_gradients_leave_the_value_alone():
    (found,) = gradients(lambda x: numerics.scale_gradient(x, 0.25) * 3.0, 2.0)
    assert float(found) == pytest.approx(0.75)
    assert float(as_array(numerics.scale_gradient(tensor(2.0), 0.25))) == 2.0


def test_sums_are_rounded_as_the_device_rounds_them():
    """By XNNPACK's multipliers: exactly the sums are 51.49998 and 99.49998 steps."""
    one, other, step = (np.float32(n / 2**20) for n in (38451, 101706, 47132))
    values = np.float32([-3, -5]) * one, np.float32([25, 48]) * other
    one, other, step = tensor(one), tensor(other), tensor(step)
    first, second = (tensor(values[0]), one), (tensor(values[1]), other)
    integers, covered = added_integers(first, second, step)
    assert as_array(integers).tolist() == [52, 100]
    assert bool(as_array(covered))
    # A step of the sum that is so much larger is left to another kernel.
    assert not bool(as_array(added_integers(first, second, tensor(1000.0))[1]))


def test_sums_are_multiplied_once_by_the_quotient_of_the_steps():
    rng = np.random.default_rng(0)
    sums = rng.integers(-4000, 4000, (5000, 16)).astype("float32")
    # Odd multiples of few digits have half ways, and float32 has none of them exactly.
    step = np.float32(0.1)
    steps = (step * (2 * rng.integers(0, 32, 16) + 1) / np.float32(640)).astype("float32")
    wanted = np.rint(sums * (steps / step)).clip(-131, 124)
    found = numerics.rescaled_sums(tensor(sums * steps), tensor(steps), tensor(step), 3.0, 8)
    np.testing.assert_array_equal(as_array(found), wanted * step)
    divided = np.rint(sums * steps / step).clip(-131, 124)
    assert (divided != wanted).any()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's graphs")
def test_steps_are_the_same_in_a_compiled_graph():
    # The exporter asks outside of any; a step that differs there moves what is half way.
    import tensorflow as tf

    high = np.append(np.random.default_rng(0).uniform(0.5, 50, 20000), 24.391407).astype("float32")
    for steps in (
        lambda values: numerics.activation_grid(-0.25 * values, 0.75 * values, 8)[0],
        lambda values: numerics.weight_steps(values, (0,), 8),
        lambda values: numerics.weight_steps(values, (0,), 4),
    ):
        compiled = tf.function(steps, jit_compile=True)(tf.constant(high))
        graph = tf.function(steps)(tf.constant(high))
        np.testing.assert_array_equal(as_array(steps(tensor(high))), compiled)
        np.testing.assert_array_equal(graph, compiled)
