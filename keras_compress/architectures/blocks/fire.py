"""SqueezeNet's fire module (arXiv 1602.07360, section 3.2) and its bypasses (section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["fire"]


def fire(
    x: Tensor,
    squeeze: int,
    expand_1x1: int,
    expand_3x3: int,
    *,
    bypass: str | None = None,
    name: str,
) -> Tensor:
    """Return `x` through a fire module: squeezed by 1x1 filters, expanded by 1x1 and 3x3 ones.

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`.
        squeeze: Filters of the squeeze layer.
        expand_1x1: 1x1 filters of the expand layer.
        expand_3x3: 3x3 filters of the expand layer, whose outputs are concatenated behind.
        bypass: `None`; `"simple"`, which adds the input to the output; or `"complex"`, which
            adds the input through a 1x1 convolution. Defaults to `None`.
        name: Prefix of the layers' names.

    Returns:
        A tensor of `expand_1x1 + expand_3x3` channels.

    Raises:
        KerasCompressError: If `bypass` is unknown, or `"simple"` where the numbers of channels
            differ.
    """
    from keras import layers

    if bypass not in (None, "simple", "complex"):
        raise KerasCompressError(
            f"`bypass` must be None, 'simple' or 'complex'. Received: bypass={bypass!r}"
        )
    channels = expand_1x1 + expand_3x3
    if bypass == "simple" and x.shape[-1] != channels:
        raise KerasCompressError(
            "A simple bypass adds input and output, which must have as many channels. Received: "
            f"{x.shape[-1]} and {channels} at {name!r}. Use bypass='complex'."
        )

    def convolution(
        y: Tensor, filters: int, size: int, part: str, activation: str | None
    ) -> Tensor:
        return layers.Conv2D(
            filters,
            size,
            padding="same",
            activation=activation,
            kernel_initializer="glorot_uniform",
            name=f"{name}_{part}",
        )(y)

    squeezed = convolution(x, squeeze, 1, "squeeze1x1", "relu")
    expanded = [
        convolution(squeezed, expand_1x1, 1, "expand1x1", "relu"),
        convolution(squeezed, expand_3x3, 3, "expand3x3", "relu"),
    ]
    y = layers.Concatenate(name=f"{name}_concat")(expanded)
    if bypass == "complex":
        x = convolution(x, channels, 1, "bypass", None)
    return y if bypass is None else layers.Add(name=f"{name}_add")([x, y])
