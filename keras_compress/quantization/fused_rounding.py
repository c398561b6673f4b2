"""Rounding of activations in training, by the one kernel that TensorFlow has for it.

`numerics.quantize_affine` takes nine passes over an activation and its gradient, TensorFlow's own
operation two. It differs where a value lies half way between two integers, within the last digit of
a float; what a trained model predicts is rounded by `quantize_affine` on every back end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_compress.quantization.numerics import activation_limits, quantize_affine

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["quantize_in_training"]


def quantize_in_training(values: Tensor, step: Any, zero_point: Any, bits: int) -> Tensor:
    """Return activations on the grid of `step` and `zero_point`, without a gradient to these.

    Args:
        values: The activations, float32.
        step: The step, a scalar.
        zero_point: The zero point, a scalar.
        bits: Bits of an activation.

    Returns:
        The rounded activations, of the same shape; their gradient passes where they aren't clipped.
    """
    step, zero_point = ops.stop_gradient(step), ops.stop_gradient(zero_point)
    if keras.backend.backend() != "tensorflow" or bits > 8:
        return quantize_affine(values, step, zero_point, bits)
    import tensorflow as tf

    lowest, largest = activation_limits(bits)
    return tf.quantization.fake_quant_with_min_max_vars(
        values, (lowest - zero_point) * step, (largest - zero_point) * step, num_bits=bits
    )
