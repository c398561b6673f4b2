"""Nets for CIFAR-10 whose channels the papers prune: ResNet-20 to 110, and VGG-16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_compress.architectures.blocks import basic_residual, conv_bn
from keras_compress.architectures.classifier import classify, scaled_width
from keras_compress.architectures.input_checks import check_image_shape
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    import keras

__all__ = ["cifar_resnet", "cifar_vgg16"]

# Filters of the convolutions between the pools.
_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def cifar_resnet(
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    classifier_activation: str | None = "softmax",
    depth: int = 20,
    shortcut: str = "pad",
    width: float = 1.0,
    name: str = "cifar_resnet",
) -> keras.Model:
    """Return a residual net of 6n+2 layers for small images (arXiv 1512.03385, section 4.2).

    Example:

    ```python
    model = keras_compress.architectures.cifar_resnet(depth=56)
    model.count_params()  # 857082
    ```

    Args:
        input_shape: `(height, width, channels)` of one image, at least 8x8 pixels. Defaults to
            `(32, 32, 3)`.
        classes: Number of classes. Defaults to `10`.
        classifier_activation: Activation of the last layer; `None` gives logits.
            Defaults to `"softmax"`.
        depth: Layers with weights: 6n+2, such as 20, 32, 44, 56 or 110. Defaults to `20`.
        shortcut: As in `blocks.basic_residual`. Defaults to `"pad"`.
        width: Scale of all channels, to multiples of 4. Defaults to `1.0`.
        name: Name of the model. Defaults to `"cifar_resnet"`.

    Returns:
        A functional `keras.Model`, `(batch, height, width, channels)` to `(batch, classes)`.

    Raises:
        KerasCompressError: If an argument is out of its range.
    """
    import keras

    if not isinstance(depth, int) or depth < 8 or (depth - 2) % 6:
        raise KerasCompressError(f"`depth` must be 6n + 2, at least 8. Received: depth={depth!r}")
    shape = check_image_shape(input_shape, smallest=8)
    inputs = keras.Input(shape, name="image")
    x = conv_bn(inputs, scaled_width(16, width, 4), 3, name="conv1")
    for stage, filters in enumerate((16, 32, 64), start=1):
        for block in range((depth - 2) // 6):
            x = basic_residual(
                x,
                scaled_width(filters, width, 4),
                strides=2 if stage > 1 and block == 0 else 1,
                shortcut=shortcut,
                name=f"stage{stage}_block{block + 1}",
            )
    return keras.Model(inputs, classify(x, classes, classifier_activation), name=name)


def cifar_vgg16(
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    classifier_activation: str | None = "softmax",
    width: float = 1.0,
    name: str = "cifar_vgg16",
) -> keras.Model:
    """Return VGG-16's thirteen convolutions with batch normalization and one dense layer.

    The form in which papers on pruning use VGG-16 (arXiv 1409.1556) on CIFAR-10.

    Args:
        input_shape: `(height, width, channels)` of one image, at least 16x16 pixels. Defaults to
            `(32, 32, 3)`.
        classes: Number of classes. Defaults to `10`.
        classifier_activation: Activation of the last layer; `None` gives logits.
            Defaults to `"softmax"`.
        width: Scale of all channels, to multiples of 8. Defaults to `1.0`.
        name: Name of the model. Defaults to `"cifar_vgg16"`.

    Returns:
        A functional `keras.Model`, `(batch, height, width, channels)` to `(batch, classes)`.

    Raises:
        KerasCompressError: If an argument is out of its range.
    """
    import keras
    from keras import layers

    shape = check_image_shape(input_shape, smallest=16)
    inputs = keras.Input(shape, name="image")
    x = inputs
    for stage, stage_filters in enumerate(_VGG16, start=1):
        if stage > 1:
            x = layers.MaxPooling2D(2, name=f"pool{stage - 1}")(x)
        for number, filters in enumerate(stage_filters, start=1):
            x = conv_bn(x, scaled_width(filters, width), 3, name=f"conv{stage}_{number}")
    return keras.Model(inputs, classify(x, classes, classifier_activation), name=name)
