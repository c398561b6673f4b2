"""The two nets of the Deep Compression tables on MNIST: LeNet-300-100 and LeNet-5.

Both in the form the paper used: ReLU, not the sigmoid of 1998, and for LeNet-5 the widths of
Caffe's example (20 and 50 filters, 500 units).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_compress.architectures.input_checks import check_classes, check_image_shape

if TYPE_CHECKING:
    import keras

__all__ = ["lenet_5", "lenet_300_100"]


def lenet_300_100(
    input_shape: Sequence[int] = (28, 28, 1),
    classes: int = 10,
    classifier_activation: str | None = "softmax",
    name: str = "lenet_300_100",
) -> keras.Model:
    """Return LeNet-300-100, two hidden dense layers of 300 and 100 units.

    266,610 parameters on `(28, 28, 1)` with ten classes, the count of Deep Compression
    (arXiv 1510.00149), table 2, whose layers are called `ip1`, `ip2` and `ip3` here too.

    Example:

    ```python
    model = keras_compress.architectures.lenet_300_100()
    model.count_params()  # 266610
    ```

    Args:
        input_shape: `(height, width, channels)` of one image. Defaults to `(28, 28, 1)`.
        classes: Number of classes. Defaults to `10`.
        classifier_activation: Activation of the last layer; `None` gives logits.
            Defaults to `"softmax"`.
        name: Name of the model. Defaults to `"lenet_300_100"`.

    Returns:
        A functional `keras.Model`, `(batch, height, width, channels)` to `(batch, classes)`.

    Raises:
        KerasCompressError: If `input_shape` or `classes` is out of its range.
    """
    import keras
    from keras import layers

    shape = check_image_shape(input_shape, smallest=1)
    inputs = keras.Input(shape, name="image")
    x = layers.Flatten(name="flatten")(inputs)
    x = layers.Dense(300, activation="relu", name="ip1")(x)
    x = layers.Dense(100, activation="relu", name="ip2")(x)
    outputs = layers.Dense(check_classes(classes), activation=classifier_activation, name="ip3")(x)
    return keras.Model(inputs, outputs, name=name)


def lenet_5(
    input_shape: Sequence[int] = (28, 28, 1),
    classes: int = 10,
    classifier_activation: str | None = "softmax",
    name: str = "lenet_5",
) -> keras.Model:
    """Return LeNet-5 as Caffe's MNIST example defines it.

    5x5 convolutions of 20 and 50 filters without padding, each followed by 2x2 max-pooling and
    no activation of its own, then 500 ReLU units. 431,080 parameters on `(28, 28, 1)` with ten
    classes, the count of Deep Compression (arXiv 1510.00149), table 3, whose layers are called
    `conv1`, `conv2`, `ip1` and `ip2` here too.

    Example:

    ```python
    model = keras_compress.architectures.lenet_5()
    model.count_params()  # 431080
    ```

    Args:
        input_shape: `(height, width, channels)` of one image, at least 16x16 pixels.
            Defaults to `(28, 28, 1)`.
        classes: Number of classes. Defaults to `10`.
        classifier_activation: Activation of the last layer; `None` gives logits.
            Defaults to `"softmax"`.
        name: Name of the model. Defaults to `"lenet_5"`.

    Returns:
        A functional `keras.Model`, `(batch, height, width, channels)` to `(batch, classes)`.

    Raises:
        KerasCompressError: If `input_shape` or `classes` is out of its range.
    """
    import keras
    from keras import layers

    shape = check_image_shape(input_shape, smallest=16)
    inputs = keras.Input(shape, name="image")
    x = layers.Conv2D(20, 5, name="conv1")(inputs)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Conv2D(50, 5, name="conv2")(x)
    x = layers.MaxPooling2D(2, name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(500, activation="relu", name="ip1")(x)
    outputs = layers.Dense(check_classes(classes), activation=classifier_activation, name="ip2")(x)
    return keras.Model(inputs, outputs, name=name)
