"""What whole nets share: how widths are scaled, and the head that classifies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_compress.architectures.input_checks import check_classes, check_width

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["classify", "scaled_width"]


def scaled_width(filters: int, width: float, divisor: int = 8) -> int:
    """Return `filters` times `width`, to the nearest multiple of `divisor`, at least one of it.

    Not more than a tenth is lost to rounding, as in MobileNet's code (tensorflow/models,
    `_make_divisible`).

    Raises:
        KerasCompressError: If `width` is no finite number above 0.
    """
    wanted = filters * check_width(width)
    rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * wanted else rounded + divisor


def classify(x: Tensor, classes: int, activation: str | None, *, dropout: float = 0.0) -> Tensor:
    """Return scores for `classes` from a feature map: global average, dropout, a dense layer.

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`.
        classes: Number of classes.
        activation: Activation of the scores; `None` gives logits.
        dropout: Share of averages dropped while training. Defaults to `0.0`.

    Raises:
        KerasCompressError: If `classes` is out of its range.
    """
    from keras import layers

    x = layers.GlobalAveragePooling2D(name="average")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(check_classes(classes), activation=activation, name="classifier")(x)
