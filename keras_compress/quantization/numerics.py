"""The arithmetic of LiteRT's 8-bit specification, on `keras.ops`, with gradients.

A tensor of integers `q` stands for the numbers `step * (q - zero_point)`. Weights are symmetric:
their zero point is 0 and the lowest integer is left out (-127 to 127 in 8 bits), so that a zero
stays a zero. Activations are asymmetric: they use all integers, and 0 is one of their numbers.
Biases are 32-bit integers whose step is that of the input times that of the weights.

Rounding has no gradient of use; it is passed straight through (Bengio et al., arXiv 1308.3432)
where a value lies in the range and stopped where it is clipped. The step itself may be trained:
its gradient is that of LSQ (Esser et al., Learned Step Size Quantization, arXiv 1902.08153,
eq. 3), which the expressions here have when they are differentiated.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from keras import ops

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

#: A step below this is none: all values of its tensor are zero.
LEAST_STEP = 1e-30

#: Biases stay below this many of their steps, so that sums fit 32 bits.
_MAX_BIAS = 2.0**30


def weight_limit(bits: int) -> int:
    """Return the largest integer of symmetric weights of `bits` bits."""
    return int(2 ** (bits - 1) - 1)


def activation_limits(bits: int) -> tuple[int, int]:
    """Return the lowest and the largest integer of activations of `bits` bits."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def short(steps: object) -> Tensor:
    """Return positive `steps` rounded to 16 binary digits, with the gradient of no rounding.

    Then the ends of a range are exact in float32, so that the steps that the converter finds from
    these are the same to the last digit, and sums are rounded alike.
    """
    # Veltkamp's splitting: of 24 digits the last eight go.
    values = ops.stop_gradient(steps)
    high = values * 257.0
    return steps + (high - (high - values) - values)


def round_through(values: Tensor) -> Tensor:
    """Return `values` rounded to whole numbers, half to even, with the gradient of no rounding."""
    return values + ops.stop_gradient(ops.round(values) - values)


def weight_steps(weight: Tensor, axes: tuple[int, ...], bits: int) -> Tensor:
    """Return the steps by which the largest magnitude of each channel is the largest integer.

    Args:
        weight: The weight, a float32 tensor.
        axes: The axes that count the channels; empty for one step in all.
        bits: Bits of a weight.

    Returns:
        A tensor that broadcasts against `weight`, without a gradient. A channel of zeros has the
        step `LEAST_STEP`.
    """
    largest = ops.max(ops.abs(weight), axis=_others(weight, axes), keepdims=True)
    return short(ops.stop_gradient(ops.maximum(_share(largest, weight_limit(bits)), LEAST_STEP)))


def symmetric_integers(weight: Tensor, steps: object, bits: int) -> Tensor:
    """Return the symmetric integers of `weight`, as float32 of the same shape.

    Multiplied by the steps again, the gradient passes to `weight` where it isn't clipped, and to
    `steps` as LSQ says.

    Args:
        weight: The weight, a float32 tensor.
        steps: Distance of two values, broadcast against `weight`.
        bits: Bits of a weight.
    """
    limit = weight_limit(bits)
    return round_through(ops.clip(weight / steps, -limit, limit))


def quantize_symmetric(weight: Tensor, steps: object, bits: int) -> Tensor:
    """Return `weight` on the grid of its `symmetric_integers`, as float32 of the same shape."""
    return symmetric_integers(weight, steps, bits) * steps


def activation_grid(low: Tensor, high: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return step and zero point of the activations from `low` to `high`, scalars.

    The range is widened to hold 0 and moved by less than a step so that 0 is one of its numbers,
    as the converter does.
    """
    lowest, largest = activation_limits(bits)
    low, high = ops.minimum(low, 0.0), ops.maximum(high, 0.0)
    step = short(ops.maximum(_share(high - low, largest - lowest), LEAST_STEP))
    # Half away from zero, as std::round: a range of -1 to 1 has its zero at 0.
    zero_point = ops.floor(lowest - low / step + 0.5)
    return step, ops.clip(zero_point, lowest, largest)


def quantize_affine(values: Tensor, step: Any, zero_point: Any, bits: int) -> Tensor:
    """Return activations on the grid of `step` and `zero_point`, as float32 of the same shape.

    The gradient passes to `values` where they aren't clipped, and to `step` as LSQ says.
    """
    lowest, largest = activation_limits(bits)
    scaled = ops.clip(values / step, lowest - zero_point, largest - zero_point)
    return round_through(scaled) * step


def rescaled_sums(values: Tensor, steps: Any, step: Any, zero_point: Any, bits: int) -> Tensor:
    """Return sums of products on the grid of an activation, float32, without a gradient.

    The device keeps a sum as a whole number and multiplies it once, by the quotient of the steps in
    float32; a division less, and half ways are rounded another way.

    Args:
        values: The sums, times their steps.
        steps: The steps of the sums, one a channel, the last axis; 0: there is none.
        step: The step of the activation, a scalar.
        zero_point: Its zero point, a scalar.
        bits: Its bits.
    """
    lowest, largest = activation_limits(bits)
    unit = ops.where(steps > 0, steps, 1.0)
    scaled = ops.round(values / unit) * (unit / step)
    integers = ops.round(ops.clip(scaled, lowest - zero_point, largest - zero_point))
    return ops.stop_gradient(integers * step)


def round_pooled(values: Tensor, step: object, zero_point: object, bits: int) -> Tensor:
    """Return averages of activations on the grid of these, as float32 of the same shape.

    A pooling and a resizing divide sums of integers, and round half away from zero where the
    others round half to even; half ways are common there.
    """
    lowest, largest = activation_limits(bits)
    integers = values / step + zero_point
    # A little more than a half: averages computed in floats fall short of half ways.
    rounded = ops.sign(integers) * ops.floor(ops.abs(integers) + 0.501)
    rounded = (ops.clip(rounded, lowest, largest) - zero_point) * step
    return values + ops.stop_gradient(rounded - values)


def least_weight_steps(bias: Any, input_step: Any) -> Tensor:
    """Return the steps that weights may not fall below, or their bias would overflow."""
    return ops.stop_gradient(ops.abs(bias) / (input_step * _MAX_BIAS))


def scale_gradient(values: Tensor, factor: Any) -> Tensor:
    """Return `values`, the gradient of which is `factor` times as large."""
    return values * factor + ops.stop_gradient(values * (1.0 - factor))


def step_gradient_scale(size: float, limit: int) -> float:
    """Return what LSQ multiplies the gradient of a step by (section 2.2).

    Args:
        size: How many values share the step.
        limit: The largest integer.
    """
    return 1.0 / math.sqrt(max(size, 1.0) * limit)


def _share(values: Tensor, count: int) -> Tensor:
    """Return `values` over `count`.

    A compiled graph multiplies by the reciprocal where a constant divides: another number in the
    last digit, and now and then another step than the one that goes into the file.
    """
    return values * (1.0 / count)


def _others(weight: Tensor, axes: tuple[int, ...]) -> tuple[int, ...]:
    rank = len(weight.shape)
    kept = {axis % rank for axis in axes}
    return tuple(axis for axis in range(rank) if axis not in kept)
