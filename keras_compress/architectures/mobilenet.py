"""MobileNet v1 (arXiv 1704.04861): Keras' own, and a form for images of CIFAR's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_compress.architectures.blocks import conv_bn, depthwise_separable
from keras_compress.architectures.classifier import classify, scaled_width
from keras_compress.architectures.input_checks import check_classes, check_image_shape, check_width

if TYPE_CHECKING:
    import keras

__all__ = ["mobilenet"]

# Table 1: filters and strides of the thirteen separable blocks.
_BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *(((512, 1),) * 5), (1024, 2),
    (1024, 1),
)  # fmt: skip


def mobilenet(
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    width: float = 1.0,
    small_images: bool = False,
    name: str = "mobilenet",
) -> keras.Model:
    """Return MobileNet v1 (table 1). The size of `input_shape` is its resolution multiplier.

    For ImageNet's sizes it is `keras.applications.MobileNet`, whose published weights fit.

    Example:

    ```python
    model = keras_compress.architectures.mobilenet((128, 128, 3), width=0.25)
    model.count_params()  # 475544
    ```

    Args:
        input_shape: `(height, width, channels)` of one image, at least 32x32 pixels, 8x8 with
            `small_images`. Defaults to `(224, 224, 3)`.
        classes: Number of classes. Defaults to `1000`.
        classifier_activation: Activation of the last layer; `None` gives logits.
            Defaults to `"softmax"`.
        width: Scale of all channels (alpha of section 3.3), above 0, for ImageNet's sizes at least
            1/32. Defaults to `1.0`.
        small_images: For CIFAR's sizes: the first convolution and the first halving have strides of
            1, channels are multiples of 8, and one dense layer ends the net. Defaults to `False`.
        name: Name of the model. Defaults to `"mobilenet"`.

    Returns:
        A functional `keras.Model`, `(batch, height, width, channels)` to `(batch, classes)`.

    Raises:
        KerasCompressError: If an argument is out of its range.
    """
    import keras

    shape = check_image_shape(input_shape, smallest=8 if small_images else 32)
    # Keras' cuts fractions of a channel off: of the first layer's 32 one must be left.
    first = scaled_width(32, check_width(width, minimum=0 if small_images else 1 / 32))
    if not small_images:
        return keras.applications.MobileNet(
            input_shape=shape,
            alpha=width,
            weights=None,
            classes=check_classes(classes),
            classifier_activation=classifier_activation,
            name=name,
        )
    inputs = keras.Input(shape, name="image")
    x = conv_bn(inputs, first, 3, activation="relu6", name="conv1")
    halved = False
    for number, (filters, strides) in enumerate(_BLOCKS, start=1):
        # The first of the four halvings is left out, as the first convolution's is.
        steps = strides if halved else 1
        halved = halved or strides == 2
        filters = scaled_width(filters, width)
        x = depthwise_separable(x, filters, strides=steps, name=f"block{number}")
    return keras.Model(inputs, classify(x, classes, classifier_activation), name=name)
