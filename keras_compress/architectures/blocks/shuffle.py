"""ShuffleNet's units: v1 with grouped 1x1 convolutions, v2 with a split of the channels.

Zhang et al., arXiv 1707.01083; Ma et al., arXiv 1807.11164.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from keras_compress.architectures.blocks.convolution import conv_bn, depthwise_bn
from keras_compress.architectures.input_checks import check_groups
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["channel_shuffle", "shuffle_unit", "shuffle_unit_v2"]


def channel_shuffle(x: Tensor, groups: int, *, name: str) -> Tensor:
    """Return `x` with its channels dealt out: the first of each group, then the second of each.

    Of channels in `groups` groups of n, channel `i * n + j` goes to `j * groups + i` (v1,
    section 3.1).

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`, its size known.
        groups: Number of groups; divides the channels. `1` returns `x`.
        name: Prefix of the layers' names.

    Raises:
        KerasCompressError: If the channels don't divide into the groups, or the size is unknown.
    """
    from keras import layers

    height, width, channels = x.shape[1:]
    if check_groups(groups, channels, name=name) == 1:
        return x
    if height is None or width is None:
        raise KerasCompressError(
            "A shuffle of channels needs an image of known size. Received: shape "
            f"{tuple(x.shape)} at {name!r}. Give `keras.Input` height and width."
        )
    shape = (height, width, groups, channels // groups)
    x = layers.Reshape(shape, name=f"{name}_split")(x)
    x = layers.Permute((1, 2, 4, 3), name=f"{name}_deal")(x)
    return layers.Reshape((height, width, channels), name=f"{name}_merge")(x)


def shuffle_unit(
    x: Tensor,
    filters: int,
    *,
    groups: int,
    strides: int = 1,
    first_groups: int | None = None,
    name: str,
) -> Tensor:
    """Return `x` through a unit of ShuffleNet v1 (section 3.2, figure 2).

    A grouped 1x1 convolution to a quarter of `filters` (up to a multiple of the groups), the
    shuffle, a 3x3 depthwise convolution without an activation, and a grouped 1x1 one; added to the
    input, or with `strides=2` concatenated with its 3x3 average.

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`.
        filters: Output channels; those of `x` with `strides=1`, more with `strides=2`.
        groups: Groups of the 1x1 convolutions.
        strides: `1` or `2`. Defaults to `1`.
        first_groups: Groups of the first convolution where they differ: the first unit of the net,
            whose input has few channels, has 1. Defaults to `None` (`groups`).
        name: Prefix of the layers' names.

    Raises:
        KerasCompressError: If channels don't divide into groups, or don't fit the strides.
    """
    from keras import layers

    channels = int(x.shape[-1])
    if strides not in (1, 2) or (strides == 1) != (channels == filters) or filters < channels:
        raise KerasCompressError(
            "A unit with strides=1 keeps the channels, one with strides=2 has more. Received: "
            f"{channels} channels, filters={filters!r}, strides={strides!r} at {name!r}"
        )
    added = filters if strides == 1 else filters - channels
    check_groups(groups, added, name=name)
    first_groups = groups if first_groups is None else first_groups
    check_groups(first_groups, channels, name=name)
    hidden = groups * math.ceil(filters / (4 * groups))
    y = conv_bn(x, hidden, groups=first_groups, name=f"{name}_compress")
    y = channel_shuffle(y, groups, name=f"{name}_shuffle")
    y = depthwise_bn(y, strides=strides, activation=None, name=f"{name}_depthwise")
    y = conv_bn(y, added, groups=groups, activation=None, name=f"{name}_expand")
    if strides == 1:
        y = layers.Add(name=f"{name}_add")([x, y])
        return layers.Activation("relu", name=f"{name}_relu")(y)
    # The activation goes before the concatenation: there runtimes make it a part of the pool and
    # of the convolution. Behind, it is an operator of its own, and in integers the slowest of all.
    x = layers.AveragePooling2D(3, strides=2, padding="same", name=f"{name}_average")(x)
    x = layers.Activation("relu", name=f"{name}_average_relu")(x)
    y = layers.Activation("relu", name=f"{name}_relu")(y)
    return layers.Concatenate(name=f"{name}_concat")([x, y])


def shuffle_unit_v2(x: Tensor, filters: int, *, strides: int = 1, name: str) -> Tensor:
    """Return `x` through a unit of ShuffleNet v2 (arXiv 1807.11164, section 3, figure 3).

    With `strides=1` half of the channels pass as they are and half go through 1x1, 3x3 depthwise
    and 1x1 convolutions; with `strides=2` all go both through these and through a 3x3 depthwise
    and a 1x1 one. The halves are concatenated and shuffled.

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`.
        filters: Output channels, an even number; those of `x` with `strides=1`.
        strides: `1` or `2`. Defaults to `1`.
        name: Prefix of the layers' names.

    Raises:
        KerasCompressError: If `filters` is odd, or differs from the channels with `strides=1`.
    """
    import keras
    from keras import layers

    channels, half = int(x.shape[-1]), filters // 2
    if filters % 2 or strides not in (1, 2) or (strides == 1 and channels != filters):
        raise KerasCompressError(
            "A unit halves its even number of channels, and keeps it with strides=1. Received: "
            f"{channels} channels, filters={filters!r}, strides={strides!r} at {name!r}"
        )
    if strides == 1:
        passed, y = keras.ops.split(x, 2, axis=-1)
    else:
        passed = depthwise_bn(x, strides=2, activation=None, name=f"{name}_pass_depthwise")
        passed = conv_bn(passed, half, name=f"{name}_pass_pointwise")
        y = x
    y = conv_bn(y, half, name=f"{name}_compress")
    y = depthwise_bn(y, strides=strides, activation=None, name=f"{name}_depthwise")
    y = conv_bn(y, half, name=f"{name}_expand")
    y = layers.Concatenate(name=f"{name}_concat")([passed, y])
    return channel_shuffle(y, 2, name=f"{name}_shuffle")
