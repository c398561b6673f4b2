"""Squeeze-and-excitation: channels weighed by what the whole image holds (arXiv 1709.01507)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["squeeze_excite"]


def squeeze_excite(x: Tensor, ratio: int = 16, *, name: str) -> Tensor:
    """Return `x` with its channels scaled by a gate of their global averages (section 3).

    Written with 1x1 convolutions on the averages, which the runtime fuses and quantizes.

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`.
        ratio: How many times fewer channels the hidden layer has, at least one. Defaults to
            `16`.
        name: Prefix of the layers' names.

    Raises:
        KerasCompressError: If `ratio` is below 1.
    """
    from keras import layers

    if ratio < 1:
        raise KerasCompressError(f"`ratio` must be at least 1. Received: ratio={ratio!r}")
    channels = int(x.shape[-1])
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    hidden = max(1, channels // ratio)
    gate = layers.Conv2D(hidden, 1, activation="relu", name=f"{name}_reduce")(gate)
    gate = layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_expand")(gate)
    return layers.Multiply(name=f"{name}_scale")([x, gate])
