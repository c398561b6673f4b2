"""MobileNet's blocks: depthwise-separable (arXiv 1704.04861) and inverted residual (1801.04381)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_compress.architectures.blocks.convolution import conv_bn, depthwise_bn
from keras_compress.architectures.blocks.squeeze_excite import squeeze_excite

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["depthwise_separable", "inverted_residual"]


def depthwise_separable(
    x: Tensor, filters: int, *, strides: int = 1, activation: str = "relu6", name: str
) -> Tensor:
    """Return `x` through a 3x3 depthwise and a 1x1 convolution (MobileNet v1, figure 3).

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`.
        filters: Output channels.
        strides: Steps of the depthwise convolution. Defaults to `1`.
        activation: After each of the two. Defaults to `"relu6"`.
        name: Prefix of the layers' names.
    """
    x = depthwise_bn(x, strides=strides, activation=activation, name=f"{name}_depthwise")
    return conv_bn(x, filters, activation=activation, name=f"{name}_pointwise")


def inverted_residual(
    x: Tensor,
    filters: int,
    *,
    expansion: int = 6,
    strides: int = 1,
    squeeze_ratio: int | None = None,
    activation: str = "relu6",
    name: str,
) -> Tensor:
    """Return `x` through MobileNet v2's block (arXiv 1801.04381, section 3.3).

    Expanded by a 1x1 convolution, filtered depthwise, projected without an activation, and added
    to the input where shape and channels stay.

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`.
        filters: Output channels.
        expansion: Expanded channels over those of `x`; `1` leaves the expansion out.
            Defaults to `6`.
        strides: Steps of the depthwise convolution. Defaults to `1`.
        squeeze_ratio: Squeeze-excite behind the depthwise convolution, with so many times fewer
            channels. Defaults to `None` (none).
        activation: After expansion and depthwise convolution. Defaults to `"relu6"`.
        name: Prefix of the layers' names.
    """
    from keras import layers

    y = x
    if expansion != 1:
        channels = expansion * int(x.shape[-1])
        y = conv_bn(y, channels, activation=activation, name=f"{name}_expand")
    y = depthwise_bn(y, strides=strides, activation=activation, name=f"{name}_depthwise")
    if squeeze_ratio is not None:
        y = squeeze_excite(y, squeeze_ratio, name=f"{name}_se")
    y = conv_bn(y, filters, activation=None, name=f"{name}_project")
    if strides == 1 and x.shape[-1] == filters:
        y = layers.Add(name=f"{name}_add")([x, y])
    return y
