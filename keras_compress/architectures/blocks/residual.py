"""The residual block of two 3x3 convolutions (arXiv 1512.03385, section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_compress.architectures.blocks.convolution import conv_bn
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["basic_residual"]


def basic_residual(
    x: Tensor, filters: int, *, strides: int = 1, shortcut: str = "pad", name: str
) -> Tensor:
    """Return `x` through two 3x3 convolutions, added to its shortcut.

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`.
        filters: Output channels, at least those of `x`.
        strides: Steps of the first convolution. Defaults to `1`.
        shortcut: Where image or channels change: `"pad"`, every `strides`-th pixel and channels of
            zeros (option A, without parameters), or `"project"`, a 1x1 convolution (option B).
            Defaults to `"pad"`.
        name: Prefix of the layers' names.

    Raises:
        KerasCompressError: If `shortcut` is unknown, or `"pad"` where channels get fewer.
    """
    from keras import layers

    if shortcut not in ("pad", "project"):
        raise KerasCompressError(
            f"`shortcut` must be 'pad' or 'project'. Received: shortcut={shortcut!r}"
        )
    channels = int(x.shape[-1])
    if shortcut == "pad" and filters < channels:
        raise KerasCompressError(
            "A shortcut that pads can't have fewer channels than its input. Received: "
            f"{channels} and {filters} at {name!r}. Use shortcut='project'."
        )
    y = conv_bn(x, filters, 3, strides=strides, name=f"{name}_conv1")
    y = conv_bn(y, filters, 3, activation=None, name=f"{name}_conv2")
    if strides != 1 or channels != filters:
        if shortcut == "project":
            x = conv_bn(x, filters, strides=strides, activation=None, name=f"{name}_shortcut")
        else:
            x = _padded(x, filters, strides, name)
    y = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=f"{name}_relu")(y)


def _padded(x: Tensor, filters: int, strides: int, name: str) -> Tensor:
    from keras import layers

    if strides != 1:
        # A pool of one pixel takes every strides-th one.
        x = layers.AveragePooling2D(1, strides=strides, padding="same", name=f"{name}_subsample")(x)
    more = filters - int(x.shape[-1])
    if more:
        # ZeroPadding2D pads height and width alone: channels stand in their place meanwhile.
        x = layers.Permute((3, 1, 2), name=f"{name}_channels_first")(x)
        before = more // 2
        padding = ((before, more - before), (0, 0))
        x = layers.ZeroPadding2D(padding, data_format="channels_last", name=f"{name}_pad")(x)
        x = layers.Permute((2, 3, 1), name=f"{name}_channels_last")(x)
    return x
