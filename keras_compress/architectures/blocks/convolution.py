"""The convolution all blocks are made of: batch normalization behind it, then an activation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_compress.architectures.input_checks import check_groups

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["conv_bn", "depthwise_bn"]


def conv_bn(
    x: Tensor,
    filters: int,
    size: int = 1,
    *,
    strides: int = 1,
    groups: int = 1,
    activation: str | None = "relu",
    name: str,
) -> Tensor:
    """Return `x` through a convolution without bias, batch normalization and an activation.

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`.
        filters: Output channels, a multiple of `groups`.
        size: Height and width of the kernel. Defaults to `1`.
        strides: Steps across and down. Defaults to `1`.
        groups: Groups of channels that are convolved apart. Defaults to `1`.
        activation: `"relu"`, `"relu6"` or another that Keras knows, or `None`.
            Defaults to `"relu"`.
        name: Name of the convolution; the others bear it with `_bn` and the activation.

    Raises:
        KerasCompressError: If channels don't divide into the groups.
    """
    from keras import layers

    check_groups(groups, int(x.shape[-1]), filters, name=name)
    x = layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        groups=groups,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    return _normalized(x, activation, name)


def depthwise_bn(
    x: Tensor, *, size: int = 3, strides: int = 1, activation: str | None = "relu", name: str
) -> Tensor:
    """Return `x` through a depthwise convolution, batch normalization and an activation.

    Args as for `conv_bn`; every channel has one kernel, so that their number stays.
    """
    from keras import layers

    x = layers.DepthwiseConv2D(
        size,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=name,
    )(x)
    return _normalized(x, activation, name)


def _normalized(x: Tensor, activation: str | None, name: str) -> Tensor:
    from keras import layers

    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    if activation is not None:
        x = layers.Activation(activation, name=f"{name}_{activation}")(x)
    return x
