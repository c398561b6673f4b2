"""TensorFlow's `fake_quant_with_min_max_vars`, on every back end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import ops

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


def fake_quant(
    inputs: Tensor, low: Tensor, high: Tensor, num_bits: int, narrow_range: bool
) -> Tensor:
    """Return `inputs` on the grid of `num_bits` bits from `low` to `high`.

    The range is moved by less than a step so that 0 is on the grid. The gradient passes where
    nothing is clipped.

    Args:
        inputs: The tensor.
        low: Lower end, a scalar or one for each index of the last axis.
        high: Upper end, of the same shape.
        num_bits: Bits of a value, 2 to 16.
        narrow_range: Whether the lowest integer is left out.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # The operation itself, which TFLite's converter takes for a mark of the range.
        per_axis = len(low.shape) == 1
        quantize = (
            tf.quantization.fake_quant_with_min_max_vars_per_channel
            if per_axis
            else tf.quantization.fake_quant_with_min_max_vars
        )
        return quantize(inputs, low, high, num_bits=num_bits, narrow_range=narrow_range)
    lowest, largest = float(narrow_range), 2.0**num_bits - 1
    step = (high - low) / (largest - lowest)
    zero = ops.floor(ops.clip(lowest - low / step, lowest, largest) + 0.5)
    bottom, top = (lowest - zero) * step, (largest - zero) * step
    inside = ops.minimum(ops.maximum(inputs, bottom), top)
    rounded = ops.floor((inside - bottom) / step + 0.5) * step + bottom
    quantized = inside + ops.stop_gradient(rounded - inside)
    return ops.where(high > low, quantized, ops.zeros_like(quantized))
