"""The checks every architecture makes on its arguments before it builds a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from keras_compress.errors import KerasCompressError

__all__ = ["check_classes", "check_groups", "check_image_shape", "check_width"]


def check_image_shape(input_shape: Sequence[int], *, smallest: int) -> tuple[int, int, int]:
    """Return `input_shape` as `(height, width, channels)`, or say what is wrong with it.

    Args:
        input_shape: The shape to check, without the batch axis.
        smallest: Least height and width, in pixels, that the architecture can take.

    Raises:
        KerasCompressError: If it isn't three whole numbers, or an image is too small.
    """
    shape = tuple(input_shape) if isinstance(input_shape, Sequence) else (input_shape,)
    whole = all(isinstance(size, int) and not isinstance(size, bool) for size in shape)
    if len(shape) != 3 or not whole:
        raise KerasCompressError(
            "`input_shape` must be three whole numbers, (height, width, channels), without the "
            f"batch axis. Received: input_shape={input_shape!r}"
        )
    height, width, channels = shape
    if height < smallest or width < smallest:
        raise KerasCompressError(
            f"This architecture takes images of at least {smallest}x{smallest} pixels. "
            f"Received: input_shape={input_shape!r}"
        )
    if channels < 1:
        raise KerasCompressError(
            f"An image must have at least one channel. Received: input_shape={input_shape!r}"
        )
    return height, width, channels


def check_classes(classes: int) -> int:
    """Return `classes`, or say that it must be a whole number of at least two.

    Raises:
        KerasCompressError: If it isn't.
    """
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 2:
        raise KerasCompressError(
            f"`classes` must be a whole number of at least 2. Received: classes={classes!r}"
        )
    return classes


def check_width(width: float, *, minimum: float = 0.0) -> float:
    """Return `width`, or say what scale of all channels there can be.

    Args:
        width: The scale to check.
        minimum: The smallest that leaves every layer a channel. Defaults to `0.0`: any above 0.

    Raises:
        KerasCompressError: If it is no finite number above 0, or below `minimum`.
    """
    number = isinstance(width, int | float) and not isinstance(width, bool)
    if not number or not math.isfinite(width) or width <= 0 or width < minimum:
        bound = f"of at least {minimum:g}" if minimum else "above 0"
        raise KerasCompressError(
            f"`width` must be a finite number {bound}. Received: width={width!r}"
        )
    return width


def check_groups(groups: int, *numbers: int, name: str) -> int:
    """Return `groups`, or say that numbers of channels must divide into them.

    Args:
        groups: The groups of a convolution.
        numbers: Channels that come in and go out.
        name: The layer, to be named in the error.

    Raises:
        KerasCompressError: If `groups` is no whole number above 0, or doesn't divide one of them.
    """
    whole = isinstance(groups, int) and not isinstance(groups, bool) and groups > 0
    if not whole or any(number % groups for number in numbers):
        raise KerasCompressError(
            "Input and output channels must divide into the groups. Received: "
            f"{' and '.join(map(str, numbers))} channels, groups={groups!r} at {name!r}"
        )
    return groups
