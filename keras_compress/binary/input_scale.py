"""XNOR-Net's K: how large the inputs were under each position of the kernel.

`I * W` is near `(sign(I) conv sign(W)) K alpha`, where A is the mean of `abs(I)` over the channels
and K is A under a box filter of the kernel's size (arXiv 1603.05279, section 3.2, equation 11).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras import ops

from keras_compress.binary.padding import pad_same

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["dense_input_scale", "input_scale_map"]


def input_scale_map(
    x: Tensor,
    channel_groups: int,
    kernel_size: Sequence[int],
    strides: Sequence[int],
    padding: str,
    dilation_rate: Sequence[int],
    data_format: str,
) -> Tensor:
    """Return K, with one channel for each group of input channels that share a filter.

    Args:
        x: Real inputs, `(batch, height, width, channels)` or channels first, padded already
            where the padding is not of zeros.
        channel_groups: `groups` of the convolution; the number of channels if depthwise.
        kernel_size: Height and width of the kernel.
        strides: Steps down and across.
        padding: `"same"` or `"valid"`.
        dilation_rate: Spacing of the kernel's taps.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        `(batch, new height, new width, channel_groups)`, or channels first, in `x`'s dtype.
    """
    axis = len(x.shape) - 1 if data_format == "channels_last" else 1
    magnitude = ops.abs(x)
    channels = int(x.shape[axis])
    height, width = kernel_size
    if channel_groups == 1:
        # One channel: back ends convolve it faster, forward and backward, than they add slices.
        box = ops.full((height, width, 1, 1), 1 / (height * width), dtype=x.dtype)
        return ops.conv(
            ops.mean(magnitude, axis=axis, keepdims=True),
            box,
            strides=list(strides),
            padding=padding,
            dilation_rate=dilation_rate,
            data_format=data_format,
        )
    if channel_groups != channels:
        shape = [-1 if i == 0 else size for i, size in enumerate(ops.shape(x))]
        shape[axis : axis + 1] = [channel_groups, channels // channel_groups]
        magnitude = ops.mean(ops.reshape(magnitude, shape), axis=axis + 1)
    if padding == "same":
        magnitude = pad_same(magnitude, kernel_size, strides, dilation_rate, data_format, 0.0)
    # Down and then across: cheaper than a depthwise convolution, forward and backward.
    first = 1 if data_format == "channels_last" else 2
    for place, (size, stride, dilation) in enumerate(
        zip(kernel_size, strides, dilation_rate, strict=True)
    ):
        magnitude = _box_sums(magnitude, first + place, size, stride, dilation)
    return ops.multiply(magnitude, 1 / (height * width))


def _box_sums(x: Tensor, axis: int, size: int, stride: int, dilation: int) -> Tensor:
    """Return the sums of `size` numbers along `axis`, as far apart as the taps of a kernel."""
    if size == stride == 1:
        return x
    steps = (ops.shape(x)[axis] - (size - 1) * dilation - 1) // stride
    index: list[Any] = [slice(None)] * len(x.shape)
    total = None
    for tap in range(size):
        start = tap * dilation
        index[axis] = slice(start, start + steps * stride + 1, stride)
        part = x[tuple(index)]
        total = part if total is None else ops.add(total, part)
    return total


def dense_input_scale(x: Tensor) -> Tensor:
    """Return K of a dense layer: the mean of `abs(x)` over the features, shape `(..., 1)`."""
    return ops.mean(ops.abs(x), axis=-1, keepdims=True)
