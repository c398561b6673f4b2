"""SqueezeNet 1.0 and 1.1, with and without bypasses (arXiv 1602.07360)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_compress.architectures.blocks import fire
from keras_compress.architectures.classifier import scaled_width
from keras_compress.architectures.input_checks import check_classes, check_image_shape
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    import keras

__all__ = ["squeezenet"]

# Squeeze and expand filters of fire2 to fire9; each expand layer has as many of either size.
_WIDTHS = ((16, 64),) * 2 + ((32, 128),) * 2 + ((48, 192),) * 2 + ((64, 256),) * 2
# First convolution (filters, size), and the fire modules with a pool behind them.
_VERSIONS = {"1.0": ((96, 7), (4, 8)), "1.1": ((64, 3), (3, 5))}
_SAME_CHANNELS = (3, 5, 7, 9)


def squeezenet(
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    version: str = "1.0",
    width: float = 1.0,
    bypass: str | None = None,
    small_images: bool = False,
    classifier_padding: int = 0,
    name: str = "squeezenet",
) -> keras.Model:
    """Return SqueezeNet (table 1), 1,248,424 parameters in version 1.0 with 1,000 classes.

    Version 1.1 (github.com/forresti/SqueezeNet) needs 2.4 times fewer multiplications. The net ends
    in a convolution of a filter a class and the global average. Version 1.0's first convolution
    has no padding, as in the released weights.

    Example:

    ```python
    model = keras_compress.architectures.squeezenet()
    model.count_params()  # 1248424
    ```

    Args:
        input_shape: `(height, width, channels)` of one image, at least 35x35 pixels, 8x8 with
            `small_images`. Defaults to `(224, 224, 3)`.
        classes: Number of classes. Defaults to `1000`.
        classifier_activation: Activation of the averages; `None` gives logits.
            Defaults to `"softmax"`.
        version: `"1.0"` or `"1.1"`. Defaults to `"1.0"`.
        width: Scale of all channels, to multiples of 4. Defaults to `1.0`.
        bypass: `None`; `"simple"`, around the modules that keep the channels (fire3, 5, 7 and 9);
            `"complex"`, a 1x1 convolution around the others as well (figure 2).
            Defaults to `None`.
        small_images: For CIFAR's sizes: a 3x3 first convolution with a stride of 1 and no pool
            behind it. Defaults to `False`.
        classifier_padding: Pixels of zeros around what the last convolution reads; 1 in the
            released net, whose weights are made for it. Defaults to `0`.
        name: Name of the model. Defaults to `"squeezenet"`.

    Returns:
        A functional `keras.Model`, `(batch, height, width, channels)` to `(batch, classes)`.

    Raises:
        KerasCompressError: If an argument is out of its range.
    """
    import keras
    from keras import layers

    if version not in _VERSIONS:
        raise KerasCompressError(f"`version` must be '1.0' or '1.1'. Received: {version!r}")
    if bypass not in (None, "simple", "complex"):
        raise KerasCompressError(
            f"`bypass` must be None, 'simple' or 'complex'. Received: bypass={bypass!r}"
        )
    if classifier_padding not in (0, 1):
        raise KerasCompressError(
            f"`classifier_padding` must be 0 or 1. Received: {classifier_padding!r}"
        )
    shape = check_image_shape(input_shape, smallest=8 if small_images else 35)
    (filters, size), pooled = _VERSIONS[version]
    inputs = keras.Input(shape, name="image")
    x = layers.Conv2D(
        scaled_width(filters, width, 4),
        3 if small_images else size,
        strides=1 if small_images else 2,
        padding="same" if small_images else "valid",
        activation="relu",
        name="conv1",
    )(inputs)
    if not small_images:
        x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for number, widths in enumerate(_WIDTHS, start=2):
        squeeze, expand = (scaled_width(each, width, 4) for each in widths)
        around = bypass if number in _SAME_CHANNELS or bypass != "simple" else None
        if around == "complex" and number in _SAME_CHANNELS:
            around = "simple"
        x = fire(x, squeeze, expand, expand, bypass=around, name=f"fire{number}")
        if number in pooled:
            x = layers.MaxPooling2D(
                3, strides=2, padding="same" if small_images else "valid", name=f"pool{number}"
            )(x)
    x = layers.Dropout(0.5, name="dropout9")(x)
    if classifier_padding:
        x = layers.ZeroPadding2D(classifier_padding, name="pad10")(x)
    x = layers.Conv2D(check_classes(classes), 1, activation="relu", name="conv10")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Activation(classifier_activation or "linear", name="scores")(x)
    return keras.Model(inputs, outputs, name=name)
