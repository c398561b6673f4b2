"""The operators that have a kernel: how each computes with another one, and its channels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["KernelOperator", "operator_of"]


@dataclass(frozen=True)
class KernelOperator:
    """How a kind of layer computes.

    Attributes:
        compute: `compute(layer, inputs, kernel)` returns the sum without bias and activation.
        channel_axes: The axes of the kernel that count the output channels, in their order.
    """

    compute: Callable[[Any, Any, Any], Any]
    channel_axes: tuple[int, ...]

    def channels(self, kernel: Tensor) -> int:
        """Return the number of output channels."""
        return math.prod(int(kernel.shape[axis]) for axis in self.channel_axes)

    def to_kernel_shape(self, vector: object, kernel: Tensor) -> Tensor:
        """Return a vector of one number a channel in a shape that broadcasts with the kernel."""
        shape = [1] * len(kernel.shape)
        for axis in self.channel_axes:
            shape[axis] = int(kernel.shape[axis])
        return ops.reshape(vector, shape)

    def to_channels(self, steps: object, kernel: Tensor) -> Tensor:
        """Return steps that broadcast with the kernel as a vector of one number a channel."""
        count = self.channels(kernel)
        flat = ops.reshape(steps, (-1,))
        return flat if int(flat.shape[0]) == count else ops.broadcast_to(flat, (count,))


def operator_of(layer: keras.Layer) -> KernelOperator | None:
    """Return how a layer with a kernel computes, or `None` where that isn't known.

    Only the layer's own class counts: a subclass may compute something else.
    """
    return _OPERATORS.get(type(layer))


def _convolution(layer: keras.Layer, inputs: Tensor, kernel: Tensor) -> Tensor:
    return ops.conv(
        inputs,
        kernel,
        strides=list(layer.strides),
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
        data_format=layer.data_format,
    )


def _depthwise(layer: keras.Layer, inputs: Tensor, kernel: Tensor) -> Tensor:
    return ops.depthwise_conv(
        inputs,
        kernel,
        strides=layer.strides,
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
        data_format=layer.data_format,
    )


def _transposed(layer: keras.Layer, inputs: Tensor, kernel: Tensor) -> Tensor:
    return ops.conv_transpose(
        inputs,
        kernel,
        strides=list(layer.strides),
        padding=layer.padding,
        output_padding=layer.output_padding,
        dilation_rate=layer.dilation_rate,
        data_format=layer.data_format,
    )


def _dense(layer: keras.Layer, inputs: Tensor, kernel: Tensor) -> Tensor:
    return ops.matmul(inputs, kernel)


_OPERATORS = {
    keras.layers.Conv2D: KernelOperator(_convolution, (-1,)),
    keras.layers.DepthwiseConv2D: KernelOperator(_depthwise, (-2, -1)),
    keras.layers.Conv2DTranspose: KernelOperator(_transposed, (-2,)),
    keras.layers.Dense: KernelOperator(_dense, (-1,)),
}
