"""ShuffleNet v1 (arXiv 1707.01083) and v2 (arXiv 1807.11164)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_compress.architectures.blocks import conv_bn, shuffle_unit, shuffle_unit_v2
from keras_compress.architectures.classifier import classify
from keras_compress.architectures.input_checks import check_image_shape, check_width
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    import keras

    from keras_compress.tensor import Tensor

__all__ = ["shufflenet", "shufflenet_v2"]

# v1, table 1: channels of stage 2 by groups; each later stage has twice as many.
_CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
# v2, table 5: channels of stages 2 to 4 and of the last convolution.
_V2_CHANNELS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
_UNITS = (4, 8, 4)


def shufflenet(
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    groups: int = 3,
    width: float = 1.0,
    small_images: bool = False,
    name: str = "shufflenet",
) -> keras.Model:
    """Return ShuffleNet v1 (table 1): three stages of units with grouped 1x1 convolutions.

    Example:

    ```python
    model = keras_compress.architectures.shufflenet(groups=3, width=0.5)
    model.output_shape  # (None, 1000)
    ```

    Args:
        input_shape: `(height, width, channels)` of one image, at least 32x32 pixels, 8x8 with
            `small_images`. Defaults to `(224, 224, 3)`.
        classes: Number of classes. Defaults to `1000`.
        classifier_activation: Activation of the last layer; `None` gives logits.
            Defaults to `"softmax"`.
        groups: Groups of the 1x1 convolutions: 1, 2, 3, 4 or 8. Defaults to `3`.
        width: Scale of all channels ("s times" of section 4). Channels of a stage are the nearest
            multiple of the groups; of the first convolution the nearest one too, so that what a
            unit adds divides into them. Defaults to `1.0`.
        small_images: For CIFAR's sizes: a first convolution with a stride of 1 and no pool behind
            it. Defaults to `False`.
        name: Name of the model. Defaults to `"shufflenet"`.

    Returns:
        A functional `keras.Model`, `(batch, height, width, channels)` to `(batch, classes)`.

    Raises:
        KerasCompressError: If an argument is out of its range.
    """
    import keras

    if groups not in _CHANNELS:
        raise KerasCompressError(
            f"`groups` must be one of {', '.join(map(str, _CHANNELS))}. Received: {groups!r}"
        )
    check_width(width)
    shape = check_image_shape(input_shape, smallest=8 if small_images else 32)
    inputs = keras.Input(shape, name="image")
    x = _stem(inputs, _multiple(24 * width, groups), small_images)
    for stage, units in enumerate(_UNITS, start=2):
        filters = _multiple(_CHANNELS[groups] * width * 2 ** (stage - 2), groups)
        for unit in range(units):
            x = shuffle_unit(
                x,
                filters,
                groups=groups,
                strides=1 if unit else 2,
                first_groups=1 if stage == 2 and unit == 0 else None,
                name=f"stage{stage}_unit{unit + 1}",
            )
    return keras.Model(inputs, classify(x, classes, classifier_activation), name=name)


def shufflenet_v2(
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    width: float = 1.0,
    small_images: bool = False,
    name: str = "shufflenet_v2",
) -> keras.Model:
    """Return ShuffleNet v2 (table 5): stages of units that split the channels in halves.

    Args:
        input_shape: `(height, width, channels)` of one image, at least 32x32 pixels, 8x8 with
            `small_images`. Defaults to `(224, 224, 3)`.
        classes: Number of classes. Defaults to `1000`.
        classifier_activation: Activation of the last layer; `None` gives logits.
            Defaults to `"softmax"`.
        width: 0.5, 1.0, 1.5 or 2.0, the paper's nets. Defaults to `1.0`.
        small_images: For CIFAR's sizes: a first convolution with a stride of 1 and no pool behind
            it. Defaults to `False`.
        name: Name of the model. Defaults to `"shufflenet_v2"`.

    Returns:
        A functional `keras.Model`, `(batch, height, width, channels)` to `(batch, classes)`.

    Raises:
        KerasCompressError: If an argument is out of its range.
    """
    import keras

    if width not in _V2_CHANNELS:
        raise KerasCompressError(
            f"`width` must be one of {', '.join(map(str, _V2_CHANNELS))}. Received: {width!r}"
        )
    shape = check_image_shape(input_shape, smallest=8 if small_images else 32)
    *channels, last = _V2_CHANNELS[width]
    inputs = keras.Input(shape, name="image")
    x = _stem(inputs, 24, small_images)
    for stage, (units, filters) in enumerate(zip(_UNITS, channels, strict=True), start=2):
        for unit in range(units):
            x = shuffle_unit_v2(
                x, filters, strides=1 if unit else 2, name=f"stage{stage}_unit{unit + 1}"
            )
    x = conv_bn(x, last, name="conv5")
    return keras.Model(inputs, classify(x, classes, classifier_activation), name=name)


def _multiple(channels: float, groups: int) -> int:
    return max(1, round(channels / groups)) * groups


def _stem(inputs: Tensor, filters: int, small_images: bool) -> Tensor:
    from keras import layers

    x = conv_bn(inputs, filters, 3, strides=1 if small_images else 2, name="conv1")
    if not small_images:
        x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(x)
    return x
