"""Nets made for binarized convolutions: first and last layer real, normalized before each sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_compress.architectures.input_checks import check_classes, check_image_shape
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    import keras

    from keras_compress.tensor import Tensor

__all__ = ["binary_resnet8", "birealnet_18", "vgg_small"]


def binary_resnet8(
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    method: str = "xnor",
    order: str = "BACP",
    width: float = 1.0,
    classifier_activation: str | None = "softmax",
    name: str = "binary_resnet8",
) -> keras.Model:
    """Return a net like ResNet8 (see `resnet8`) whose six 3x3 convolutions are binarized.

    The first convolution, the 1x1 convolutions on the shortcuts (after average pooling, as in
    Bi-Real Net) and the classifier stay real. Blocks are B-A-C-P; see `binary.bacp_block`.

    Args:
        input_shape: `(height, width, channels)`, at least 4x4 pixels. Defaults to
            `(32, 32, 3)`.
        classes: Number of classes. Defaults to `10`.
        method: `"xnor"`, `"xnor_k"`, `"bwn"` or `"float"`. Defaults to `"xnor"`.
        order: `"BACP"` or `"CBAP"`. Defaults to `"BACP"`.
        width: Factor on the 16, 32 and 64 filters. Defaults to `1.0`.
        classifier_activation: Activation of the last layer; `None` gives logits. Defaults to
            `"softmax"`.
        name: Name of the model. Defaults to `"binary_resnet8"`.

    Raises:
        KerasCompressError: If an argument is out of its range.
    """
    import keras
    from keras import layers

    from keras_compress.binary import bacp_block

    inputs = keras.Input(check_image_shape(input_shape, smallest=4), name="image")
    sizes = [_scaled(filters, width) for filters in (16, 32, 64)]
    x = layers.Conv2D(sizes[0], 3, padding="same", use_bias=False, name="stem")(inputs)
    for number, filters in enumerate(sizes, start=1):
        strides = 1 if number == 1 else 2
        options: dict[str, Any] = {"method": method, "order": order}
        y = bacp_block(x, filters, strides=strides, name=f"stack{number}_block1", **options)
        y = bacp_block(y, filters, name=f"stack{number}_block2", **options)
        if strides != 1:
            x = _shortcut(x, filters, f"stack{number}_shortcut")
        x = layers.Add(name=f"stack{number}_add")([x, y])
    x = layers.BatchNormalization(name="last_bn")(x)
    x = layers.ReLU(name="last_relu")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Dense(
        check_classes(classes), activation=classifier_activation, name="classifier"
    )(x)
    return keras.Model(inputs, outputs, name=name)


def vgg_small(
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    method: str = "xnor",
    order: str = "BACP",
    width: float = 1.0,
    classifier_activation: str | None = "softmax",
    name: str = "vgg_small",
) -> keras.Model:
    """Return VGG-small, the net on which binary methods are compared on CIFAR-10.

    Six 3x3 convolutions of 128, 128, 256, 256, 512 and 512 filters, 2x2 max-pooling after every
    second one, and one dense layer (the form of LQ-Nets, arXiv 1807.10029, without the two
    dense layers of 1,024 units that BinaryConnect's net has). All convolutions but the first are
    binarized.

    Args:
        input_shape: `(height, width, channels)`, at least 8x8 pixels. Defaults to
            `(32, 32, 3)`.
        classes: Number of classes. Defaults to `10`.
        method: `"xnor"`, `"xnor_k"`, `"bwn"` or `"float"`. Defaults to `"xnor"`.
        order: `"BACP"` or `"CBAP"`. Defaults to `"BACP"`.
        width: Factor on the numbers of filters. Defaults to `1.0`.
        classifier_activation: Activation of the last layer; `None` gives logits. Defaults to
            `"softmax"`.
        name: Name of the model. Defaults to `"vgg_small"`.

    Raises:
        KerasCompressError: If an argument is out of its range.
    """
    import keras
    from keras import layers

    from keras_compress.binary import bacp_block

    inputs = keras.Input(check_image_shape(input_shape, smallest=8), name="image")
    first, *others = (_scaled(f, width) for f in (128, 128, 256, 256, 512, 512))
    x = layers.Conv2D(first, 3, padding="same", use_bias=False, name="conv1")(inputs)
    for number, filters in enumerate(others, start=2):
        x = bacp_block(
            x,
            filters,
            pool_size=2 if number % 2 == 0 else None,
            method=method,
            order=order,
            name=f"block{number}",
        )
    x = layers.BatchNormalization(name="last_bn")(x)
    x = layers.ReLU(name="last_relu")(x)
    x = layers.Flatten(name="flatten")(x)
    outputs = layers.Dense(
        check_classes(classes), activation=classifier_activation, name="classifier"
    )(x)
    return keras.Model(inputs, outputs, name=name)


def birealnet_18(
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
    method: str = "xnor",
    width: float = 1.0,
    classifier_activation: str | None = "softmax",
    name: str = "birealnet_18",
) -> keras.Model:
    """Return a net like Bi-Real Net 18 (Liu et al., arXiv 1808.00278).

    ResNet-18 with a shortcut around each of its sixteen 3x3 convolutions, so that real values
    flow past every sign; signs have Bi-Real Net's slope (`approx_sign`). Downsampling shortcuts
    are average pooling and a real 1x1 convolution. The 7x7 stem and the classifier stay real.
    Each convolution is followed by its batch normalization, which an exporter can fold.

    Args:
        input_shape: `(height, width, channels)`, at least 32x32 pixels. Defaults to
            `(224, 224, 3)`.
        classes: Number of classes. Defaults to `1000`.
        method: `"xnor"`, `"xnor_k"`, `"bwn"` or `"float"`; the latter two have a ReLU before
            each convolution. Defaults to `"xnor"`.
        width: Factor on the numbers of filters. Defaults to `1.0`.
        classifier_activation: Activation of the last layer; `None` gives logits. Defaults to
            `"softmax"`.
        name: Name of the model. Defaults to `"birealnet_18"`.

    Raises:
        KerasCompressError: If an argument is out of its range.
    """
    import keras
    from keras import layers

    from keras_compress.binary import BinaryConv2D
    from keras_compress.binary.blocks import check_method

    check_method(method)
    inputs = keras.Input(check_image_shape(input_shape, smallest=32), name="image")
    stem = _scaled(64, width)
    x = layers.Conv2D(stem, 7, 2, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.BatchNormalization(name="stem_bn")(x)
    x = layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    signs: dict[str, Any] | None = {"xnor": {}, "xnor_k": {"input_scale": True}}.get(method)
    for stage, filters in enumerate((_scaled(f, width) for f in (64, 128, 256, 512)), start=1):
        for number in range(1, 5):
            at = f"stage{stage}_conv{number}"
            strides = 2 if stage > 1 and number == 1 else 1
            options: dict[str, Any] = {"padding": "same", "use_bias": False, "name": at}
            if signs is not None:
                convolution = BinaryConv2D(
                    filters, 3, strides, input_quantizer="approx_sign", **signs, **options
                )
                y = convolution(x)
            else:
                y = layers.ReLU(name=f"{at}_relu")(x)
                if method == "bwn":
                    y = BinaryConv2D(filters, 3, strides, input_quantizer=None, **options)(y)
                else:
                    y = layers.Conv2D(filters, 3, strides, **options)(y)
            y = layers.BatchNormalization(name=f"{at}_bn")(y)
            if strides != 1:
                x = _shortcut(x, filters, f"{at}_shortcut")
                x = layers.BatchNormalization(name=f"{at}_shortcut_bn")(x)
            x = layers.Add(name=f"{at}_add")([y, x])
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Dense(
        check_classes(classes), activation=classifier_activation, name="classifier"
    )(x)
    return keras.Model(inputs, outputs, name=name)


def _shortcut(x: Tensor, filters: int, name: str) -> Tensor:
    from keras import layers

    x = layers.AveragePooling2D(2, padding="same", name=f"{name}_pool")(x)
    return layers.Conv2D(filters, 1, use_bias=False, name=name)(x)


def _scaled(filters: int, width: float) -> int:
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width <= 8:
        raise KerasCompressError(
            f"`width` must be a number above 0, at most 8. Received: width={width!r}."
        )
    return max(1, round(filters * width))
