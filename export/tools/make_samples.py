"""Exports the models whose plans and skeletons are the samples of the packed format.

The samples are part of the packed format: with others, files packed before can't be read. This
script says how they were made (TensorFlow 2.21, Keras 3.15); no build runs it. They are what the
exporter writes for nets of this package, and what TFLite's converter writes by itself.

    python export/tools/make_samples.py FOLDER
    c++ -std=c++17 -O2 -fno-builtin-malloc -Iexport/include -Iexport/src -o write_samples \
        export/tools/write_samples.cc export/src/*.cc
    ./write_samples export/src/samples.inc export/src/sample_sizes.inc FOLDER/*.tflite
    c++ -std=c++17 -O2 -fno-builtin-malloc -Iexport/include -Iexport/src -o code_samples \
        export/tools/code_samples.cc export/src/*.cc
    ./code_samples export/src/coded_samples.inc
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from keras import layers

from keras_compress import architectures, exporter


def mobile() -> keras.Model:
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
    import tensorflow as tf

    inputs = keras.Input(batch_shape=(1, *model.input_shape[1:]))
    return tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, model(inputs))).convert()


def models():
    """Yield `(name, build, weights, precision, per_channel)`; the names give the order."""
    digits = partial(architectures.digits_cnn, (8, 8, 1), 10)
    small = partial(architectures.small_cnn, (32, 32, 3), 10)
    resnet8 = partial(architectures.resnet8, classifier_activation=None)
    lenet_5, lenet_300_100 = architectures.lenet_5, architectures.lenet_300_100
    yield "a", mobile, None, "plain", False
    yield "b", mobile, None, "float16", False
    yield "c", mobile, None, "int8", True
    yield "d", digits, clustered, "float32", False
    yield "e", digits, clustered, "int8", False
    yield "f", small, clustered, "int8", False
    yield "g", resnet8, on_a_grid, "float32", False
    yield "h", lenet_300_100, clustered, "int8", False
    yield "i", partial(lenet_300_100, classifier_activation=None), only_kernels, "float32", False
    yield "j", partial(lenet_300_100, classifier_activation=None), on_a_grid, "float32", False
    yield "k", lenet_5, clustered, "int8", False
    yield "l", lenet_5, clustered, "float32", False
    yield "m", partial(lenet_5, classifier_activation=None), only_kernels, "float32", False
    yield "n", partial(lenet_5, classifier_activation=None), on_a_grid, "float32", False


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    for name, build, change, precision, per_channel in models():
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
