"""Writes `export/src/dictionary.inc`: graph skeletons of small models, as converters write them.

The dictionary is part of the packed format: a new one needs a new format version. This script
says how version 1's was made (TensorFlow 2.21, Keras 3.15) and is not run by any build.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from keras import layers

from keras_compress import exporter
from keras_compress.packing import native, native_structures, pack


def lenet() -> keras.Model:
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(2, 5),
        layers.MaxPooling2D(),
        layers.Conv2D(3, 5, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(4, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip


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


def skeleton(model: bytes) -> bytes:
    packed = pack(model)
    summary, error = native_structures.Summary(), native_structures.NativeError()
    extents = (native_structures.Extent * 1000)()
    native.library().kc_inspect(
        packed, len(packed), 0, ctypes.byref(summary), extents, 1000, ctypes.byref(error)
    )
    parts, end = [], 0
    for extent in extents[: summary.extents]:
        parts.append(model[end : extent.offset])
        end = extent.offset + extent.size
    return b"".join([*parts, model[end:]])


def plain(model: keras.Model) -> bytes:
    import tensorflow as tf

    inputs = keras.Input(batch_shape=(1, *model.input_shape[1:]))
    return tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, model(inputs))).convert()


def main() -> None:
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    parts = []
    for build, precisions in ((mobile, (None, "int8")), (lenet, ("int8", "float32"))):
        model = build()
        samples = rng.uniform(size=(8, *model.input_shape[1:])).astype("float32")
        parts += [
            plain(model)
            if precision is None
            else exporter.convert(
                model, precision=precision, representative_data=samples, verify=False
            ).tflite
            for precision in precisions
        ]
    data = b"".join(skeleton(part) for part in parts)
    rows = [", ".join(map(str, data[i : i + 24])) + "," for i in range(0, len(data), 24)]
    target = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()) / "dictionary.inc"
    target.write_text("\n".join(rows) + "\n")
    print(target, len(data), [len(skeleton(part)) for part in parts])


if __name__ == "__main__":
    main()
