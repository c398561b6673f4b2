"""Makes the priming graphs of the packed format: plans and skeletons that its models learn first.

They are part of the format: with others, files packed before can't be read. This script says how
they were made (TensorFlow 2.21, Keras 3.15); no build runs it. Its nets are made for this alone:
none stands in a table, a goal or a benchmark of this project, and none has the layers, widths or
names of one that does.

    cmake -S export -B OUT && cmake --build OUT --target write_priming
    python export/tools/make_priming.py FOLDER [NAME...]
    OUT/write_priming export/src/priming.bin export/src/priming_sizes.inc FOLDER/*.tflite
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from keras import layers

from keras_compress import exporter


def mobile() -> keras.Model:
    """Depthwise convolutions, inverted blocks and a concatenation, by the names Keras gives."""
    inputs = x = keras.Input((32, 32, 3), name="input_1")
    x = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    for _ in range(2):
        y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
        y = layers.BatchNormalization()(layers.Conv2D(4, 1, use_bias=False)(y))
        x = layers.Add()([x, y])
    x = layers.Concatenate()([layers.Conv2D(4, 1, activation="relu")(x), x])
    x = layers.Dense(10)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Softmax()(x))


def pooled(activation: str | None) -> keras.Model:
    """Three convolutions without padding, each pooled, and three dense layers."""
    inputs = x = keras.Input((40, 40, 1), name="plate")
    for number, (filters, size) in enumerate(((6, 5), (10, 3), (14, 3))):
        x = layers.Conv2D(filters, size, name=f"edges{number}")(x)
        x = layers.MaxPooling2D(2, name=f"half{number}")(x)
    x = layers.Flatten(name="line")(x)
    x = layers.Dense(60, activation="relu", name="read0")(x)
    x = layers.Dense(30, activation="relu", name="read1")(x)
    outputs = layers.Dense(12, activation=activation, name="read2")(x)
    return keras.Model(inputs, outputs, name="plates")


def dense(activation: str | None) -> keras.Model:
    """Five dense layers."""
    inputs = keras.Input((9, 7, 1), name="grid")
    x = layers.Flatten(name="line")(inputs)
    for units in (90, 70, 50, 30):
        x = layers.Dense(units, activation="relu", name=f"wide{units}")(x)
    outputs = layers.Dense(7, activation=activation, name="choice")(x)
    return keras.Model(inputs, outputs, name="weather_5")


def padded() -> keras.Model:
    """Four padded convolutions in two stages, dropout, and two dense layers."""
    inputs = x = keras.Input((24, 24, 2), name="photo")
    for stage, filters in enumerate((5, 9), 1):
        for part in ("a", "b"):
            x = layers.Conv2D(
                filters, 3, padding="same", activation="relu", name=f"look{stage}{part}"
            )(x)
        x = layers.MaxPooling2D(2, name=f"smaller{stage}")(x)
    x = layers.Dropout(0.2, name="drop1")(layers.Flatten(name="line")(x))
    x = layers.Dense(20, activation="relu", name="between")(x)
    x = layers.Dropout(0.2, name="drop2")(x)
    outputs = layers.Dense(9, activation="softmax", name="kind")(x)
    return keras.Model(inputs, outputs, name="crops")


def averaged() -> keras.Model:
    """Three padded convolutions, pooled by their mean over the image."""
    inputs = x = keras.Input((20, 20, 3), name="view")
    for number, filters in enumerate((6, 8, 10)):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"scan{number}")(x)
        if number < 2:
            x = layers.MaxPooling2D(2, name=f"coarse{number}")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dense(16, activation="relu", name="mixed")(x)
    outputs = layers.Dense(5, activation="softmax", name="sort")(x)
    return keras.Model(inputs, outputs, name="fields")


def residual(activation: str | None) -> keras.Model:
    """Two stages of two residual blocks, the second with a shortcut that is a convolution."""

    def normed(x, filters: int, size: int, strides: int, name: str):
        x = layers.Conv2D(
            filters, size, strides, padding="same", use_bias=False, name=f"{name}_filter"
        )(x)
        return layers.BatchNormalization(name=f"{name}_norm")(x)

    inputs = keras.Input((28, 28, 3), name="scene")
    x = layers.ReLU(name="first_relu")(normed(inputs, 6, 3, 1, "first"))
    for stage, filters in enumerate((6, 11), 1):
        for part in (1, 2):
            strides = 2 if (stage, part) == (2, 1) else 1
            name = f"part{stage}{part}"
            y = layers.ReLU(name=f"{name}_a_relu")(normed(x, filters, 3, strides, f"{name}_a"))
            y = normed(y, filters, 3, 1, f"{name}_b")
            if strides == 2:
                x = normed(x, filters, 1, strides, f"{name}_way")
            x = layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_sum")([x, y]))
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    outputs = layers.Dense(6, activation=activation, name="place")(x)
    return keras.Model(inputs, outputs, name="scenes")


def recurrent() -> keras.Model:
    """An LSTM and a dense layer over its last step."""
    inputs = keras.Input((7, 5), name="steps")
    x = layers.LSTM(6, name="memory")(inputs)
    return keras.Model(inputs, layers.Dense(3, name="next")(x), name="series")


def on_a_grid(model: keras.Model, rng: np.random.Generator) -> None:
    """Set the weights to what rate-aware training leaves: a few multiples of a step a tensor."""
    values = []
    for weight in model.weights:
        if weight.ndim == 1 and weight.name != "bias":  # normalization: folded by the exporter
            values.append(weight.numpy())
            continue
        step = rng.integers(128, 256) / 2048
        multiples = np.sign(rng.normal(size=weight.shape)) * rng.geometric(0.55, size=weight.shape)
        kept = rng.uniform(size=weight.shape) < (0.3 if weight.ndim == 1 else 0.1)
        values.append((np.clip(multiples, -9, 9) * kept * step + 0.0).astype(np.float32))
    model.set_weights(values)


def only_kernels(model: keras.Model, rng: np.random.Generator) -> None:
    """As `on_a_grid`, and biases of zeros, for which the converter leaves tensors out."""
    on_a_grid(model, rng)
    model.set_weights([w * (w.ndim > 1) + np.float32(0) for w in model.get_weights()])


def clustered(model: keras.Model, rng: np.random.Generator) -> None:
    """Set the kernels to 16 values each, the most frequent of them zero."""
    values = []
    for variable in model.weights:
        weight = variable.numpy()
        if weight.ndim > 1:
            book = np.sort(rng.normal(size=16) * 0.1).astype(np.float32)
            book[8] = 0
            chosen = rng.choice(16, weight.shape, p=[0.02] * 8 + [0.7] + [0.02] * 7)
            weight = book[chosen]
        elif variable.name == "bias":
            weight = rng.normal(size=weight.shape).astype(np.float32) * 0.1
        values.append(weight)
    model.set_weights(values)


def plain(model: keras.Model) -> bytes:
    """What TFLite's converter writes by itself."""
    import tensorflow as tf

    inputs = keras.Input(batch_shape=(1, *model.input_shape[1:]))
    return tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, model(inputs))).convert()


Change = Callable[[keras.Model, np.random.Generator], None]


def models() -> Iterator[tuple[str, Callable[[], keras.Model], Change | None, str, bool]]:
    """Yield `(name, build, weights, precision, per_channel)`; the names give the order."""
    yield "a", mobile, None, "plain", False
    yield "b", mobile, None, "float16", False
    yield "c", mobile, None, "int8", True
    yield "d", recurrent, None, "float32", False
    yield "e", averaged, clustered, "int8", False
    yield "f", padded, clustered, "float32", False
    yield "g", padded, clustered, "int8", False
    yield "h", partial(residual, None), on_a_grid, "float32", False
    yield "i", partial(dense, "softmax"), clustered, "int8", False
    yield "j", partial(dense, None), only_kernels, "float32", False
    yield "k", partial(dense, None), on_a_grid, "float32", False
    yield "l", partial(pooled, "softmax"), clustered, "int8", False
    yield "m", partial(pooled, "softmax"), clustered, "float32", False
    yield "n", partial(pooled, None), only_kernels, "float32", False
    yield "o", partial(pooled, None), on_a_grid, "float32", False


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, build, change, precision, per_channel in models():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        keras.utils.set_random_seed(1)
        rng = np.random.default_rng(1)
        keras.backend.clear_session()  # names as the first model of a program has them
        model = build()
        if change:
            change(model, rng)
        if precision == "plain":
            data = plain(model)
        else:
            settings = {}
            if precision == "int8":
                samples = rng.uniform(size=(16, *model.input_shape[1:])).astype("float32")
                settings = {"representative_data": samples, "per_channel": per_channel}
            data = exporter.convert(model, precision=precision, verify=False, **settings).tflite
        (folder / f"{name}.tflite").write_bytes(data)
        print(name, len(data), flush=True)


if __name__ == "__main__":
    main()
