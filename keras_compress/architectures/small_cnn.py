"""Plain small CNNs for small images: the nets the demo trains where no paper names one.

Neither has batch normalization. A converter folds it into the convolution before it, which
multiplies each filter by its own factor, and then a layer's shared values are shared no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_compress.architectures.input_checks import check_classes, check_image_shape

if TYPE_CHECKING:
    import keras

__all__ = ["digits_cnn", "small_cnn"]


def digits_cnn(
    input_shape: Sequence[int] = (8, 8, 1),
    classes: int = 10,
    classifier_activation: str | None = "softmax",
    name: str = "digits_cnn",
) -> keras.Model:
    """Return a CNN for scikit-learn's 8x8 digits.

    3x3 convolutions of 32 and 64 filters, 2x2 max-pooling, 64 units with dropout before and
    after. 85,066 parameters on `(8, 8, 1)` with ten classes. Ours, no paper's.

    Args:
        input_shape: `(height, width, channels)` of one image, at least 2x2 pixels.
            Defaults to `(8, 8, 1)`.
        classes: Number of classes. Defaults to `10`.
        classifier_activation: Activation of the last layer; `None` gives logits.
            Defaults to `"softmax"`.
        name: Name of the model. Defaults to `"digits_cnn"`.

    Returns:
        A functional `keras.Model`, `(batch, height, width, channels)` to `(batch, classes)`.

    Raises:
        KerasCompressError: If `input_shape` or `classes` is out of its range.
    """
    import keras
    from keras import layers

    shape = check_image_shape(input_shape, smallest=2)
    inputs = keras.Input(shape, name="image")
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="conv1")(inputs)
    x = layers.Conv2D(64, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(0.25, name="dropout1")(x)
    x = layers.Dense(64, activation="relu", name="hidden")(x)
    x = layers.Dropout(0.25, name="dropout2")(x)
    outputs = layers.Dense(
        check_classes(classes), activation=classifier_activation, name="classifier"
    )(x)
    return keras.Model(inputs, outputs, name=name)


def small_cnn(
    input_shape: Sequence[int],
    classes: int,
    classifier_activation: str | None = "softmax",
    name: str = "small_cnn",
) -> keras.Model:
    """Return a CNN that fits any image size: pooled until small, then averaged.

    A stage is two 3x3 convolutions and 2x2 max-pooling. Stages of 16, 32 and 64 filters are
    added while the image is at least 4 pixels high and wide (always one, without pooling where
    the image is smaller), then the global average, 128 units and the classes. The number of
    parameters hardly depends on the image: 81,690 on `(32, 32, 3)` with ten classes, all
    three stages. Ours, no paper's.

    Args:
        input_shape: `(height, width, channels)` of one image.
        classes: Number of classes.
        classifier_activation: Activation of the last layer; `None` gives logits.
            Defaults to `"softmax"`.
        name: Name of the model. Defaults to `"small_cnn"`.

    Returns:
        A functional `keras.Model`, `(batch, height, width, channels)` to `(batch, classes)`.

    Raises:
        KerasCompressError: If `input_shape` or `classes` is out of its range.
    """
    import keras
    from keras import layers

    shape = check_image_shape(input_shape, smallest=1)
    inputs = keras.Input(shape, name="image")
    x, smaller_side = inputs, min(shape[:2])
    for stage, filters in enumerate((16, 32, 64), start=1):
        if stage > 1 and smaller_side < 4:
            break
        for part in (1, 2):
            x = layers.Conv2D(
                filters, 3, padding="same", activation="relu", name=f"stage{stage}_conv{part}"
            )(x)
        if smaller_side >= 2:
            x = layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
            smaller_side //= 2
        x = layers.Dropout(0.1, name=f"stage{stage}_dropout")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dense(128, activation="relu", name="hidden")(x)
    x = layers.Dropout(0.25, name="hidden_dropout")(x)
    outputs = layers.Dense(
        check_classes(classes), activation=classifier_activation, name="classifier"
    )(x)
    return keras.Model(inputs, outputs, name=name)
