"""The steps of a kernel's integers: told by its values, or trained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from keras_compress.quantization.kernel_operators import KernelOperator
from keras_compress.quantization.numerics import (
    scale_gradient,
    short,
    step_gradient_scale,
    weight_limit,
    weight_steps,
)
from keras_compress.quantization.quantizers import WeightQuantizer
from keras_compress.quantization.step_search import best_steps

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["WeightGrid"]


class WeightGrid:
    """How far apart the values of a kernel lie.

    Args:
        operator: The operator that the kernel is of.
        quantizer: The `WeightQuantizer`.
    """

    def __init__(self, operator: KernelOperator, quantizer: WeightQuantizer) -> None:
        self._operator = operator
        self._per_channel = quantizer.per_channel
        self._bits = quantizer.bits
        self._axes = operator.channel_axes if quantizer.per_channel else ()

    def shape_of_steps(self, kernel: Tensor) -> list[int]:
        """Return the shape of learned steps, which broadcasts against the kernel's."""
        sizes = [1] * len(kernel.shape)
        for axis in self._axes:
            sizes[axis] = int(kernel.shape[axis])
        return sizes

    def best_steps(self, kernel: np.ndarray) -> np.ndarray:
        """Return the steps that learned ones begin with."""
        return best_steps(kernel, self._axes, weight_limit(self._bits))

    def whole_range(self, kernel: Tensor) -> Tensor:
        """Return the steps by which the largest magnitude is the largest integer."""
        return weight_steps(kernel, self._axes, self._bits)

    def learned(self, kernel: Tensor, initial: object, learned: Any, training: bool) -> Tensor:
        """Return the steps that were trained.

        Args:
            kernel: The kernel.
            initial: The steps that training began with.
            learned: What training made of them, as factors.
            training: Whether the factors get LSQ's gradient.
        """
        if training:
            channels = math.prod(int(n) for n in learned.shape)
            size = math.prod(int(n) for n in kernel.shape) / channels
            gain = step_gradient_scale(size, weight_limit(self._bits))
            learned = scale_gradient(learned, ops.minimum(gain / ops.square(initial), 1e6))
        return short(initial * ops.maximum(learned, 1e-3))
