"""ResNet8, the image classification net of the MLPerf Tiny benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_compress.architectures.input_checks import check_classes, check_image_shape

if TYPE_CHECKING:
    import keras

    from keras_compress.tensor import Tensor

__all__ = ["resnet8"]


def resnet8(
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    classifier_activation: str | None = "softmax",
    name: str = "resnet8",
) -> keras.Model:
    """Return the ResNet8 of MLPerf Tiny (github.com/mlcommons/tiny).

    A 3x3 convolution of 16 filters, then three residual stacks of 16, 32 and 64 filters; the
    second and third halve the image and carry a 1x1 convolution on their shortcut, without
    batch normalization. Global average, one dense layer. 78,666 parameters on `(32, 32, 3)`
    with ten classes. The weights the benchmark publishes (`pretrainedResnet.h5`) fit in order:
    they expect raw pixels, 0 to 255.

    Example:

    ```python
    model = keras_compress.architectures.resnet8()
    model.count_params()  # 78666
    ```

    Args:
        input_shape: `(height, width, channels)` of one image, at least 4x4 pixels.
            Defaults to `(32, 32, 3)`.
        classes: Number of classes. Defaults to `10`.
        classifier_activation: Activation of the last layer; `None` gives logits.
            Defaults to `"softmax"`.
        name: Name of the model. Defaults to `"resnet8"`.

    Returns:
        A functional `keras.Model`, `(batch, height, width, channels)` to `(batch, classes)`.

    Raises:
        KerasCompressError: If `input_shape` or `classes` is out of its range.
    """
    import keras
    from keras import layers

    shape = check_image_shape(input_shape, smallest=4)
    inputs = keras.Input(shape, name="image")
    x = _convolution(16, 3, 1, "stem")(inputs)
    x = layers.BatchNormalization(name="stem_bn")(x)
    x = layers.ReLU(name="stem_relu")(x)
    x = _residual_stack(x, filters=16, strides=1, name="stack1")
    x = _residual_stack(x, filters=32, strides=2, name="stack2")
    x = _residual_stack(x, filters=64, strides=2, name="stack3")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Dense(
        check_classes(classes),
        activation=classifier_activation,
        kernel_initializer="he_normal",
        name="classifier",
    )(x)
    return keras.Model(inputs, outputs, name=name)


def _convolution(filters: int, size: int, strides: int, name: str) -> keras.Layer:
    import keras

    return keras.layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(1e-4),
        name=name,
    )


def _residual_stack(x: Tensor, *, filters: int, strides: int, name: str) -> Tensor:
    from keras import layers

    y = _convolution(filters, 3, strides, f"{name}_conv1")(x)
    y = layers.BatchNormalization(name=f"{name}_bn1")(y)
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = _convolution(filters, 3, 1, f"{name}_conv2")(y)
    y = layers.BatchNormalization(name=f"{name}_bn2")(y)
    if strides != 1:
        x = _convolution(filters, 1, strides, f"{name}_shortcut")(x)
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.ReLU(name=f"{name}_relu2")(x)
