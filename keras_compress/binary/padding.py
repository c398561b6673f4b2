"""Padding a binarized image: with zeros, as Keras does, or with ones, which stay one bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras import ops

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["check_pad_values", "pad_same"]


def check_pad_values(pad_values: float) -> float:
    """Return `pad_values` as a float, or say that it is 0 or 1.

    Raises:
        KerasCompressError: If it is neither.
    """
    if isinstance(pad_values, bool) or pad_values not in (0, 1):
        raise KerasCompressError(
            "`pad_values` must be 0 (exact zeros around the image, as Keras pads) or 1 (the bit "
            f"for +1). Received: pad_values={pad_values!r}."
        )
    return float(pad_values)


def pad_same(
    x: Tensor,
    kernel_size: Sequence[int],
    strides: Sequence[int],
    dilation_rate: Sequence[int],
    data_format: str,
    value: float,
) -> Tensor:
    """Return images `x` padded with `value`, so that a "valid" convolution gives "same" shapes.

    As in TensorFlow, the odd row or column goes below or to the right.

    Args:
        x: `(batch, height, width, channels)`, or channels first.
        kernel_size: Height and width of the kernel.
        strides: Steps down and across.
        dilation_rate: Spacing of the kernel's taps.
        data_format: `"channels_last"` or `"channels_first"`.
        value: What to pad with.
    """
    first = 1 if data_format == "channels_last" else 2
    sizes = ops.shape(x)[first : first + 2]
    widths: list[tuple[Any, Any]] = [(0, 0)] * 4
    for axis, (size, kernel, stride, dilation) in enumerate(
        zip(sizes, kernel_size, strides, dilation_rate, strict=True)
    ):
        reach = (kernel - 1) * dilation
        if stride == 1:
            total = reach
        else:
            total = reach - (size - 1) % stride
            total = max(total, 0) if isinstance(total, int) else ops.maximum(total, 0)
        widths[first + axis] = (total // 2, total - total // 2)
    return ops.pad(x, widths, constant_values=value)
