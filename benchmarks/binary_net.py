"""A Bi-Real-Net-18-like net beside its float32 and int8 fallbacks: latency and file sizes.

Each 3x3 convolution has a shortcut of its own; the 1x1 shortcuts, the first and the last layer are
not binary. Weights are random: sizes and times don't depend on them. "weights int8" stores what is
not binary in int8 and computes it in float; "rest int8" computes it in int8.

    python benchmarks/binary_net.py [--threads 1] [--rounds 25]
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from binary_kernels import ready, timed
from keras import layers

from keras_compress import exporter, pack
from keras_compress.binary import BinaryConv2D

HERE = Path(__file__).parent


def net(binary: bool) -> keras.Model:
    given = keras.Input((224, 224, 3))
    x = layers.Conv2D(64, 7, 2, padding="same", use_bias=False)(given)
    x = layers.MaxPooling2D(3, 2, padding="same")(layers.BatchNormalization()(x))
    for stage, channels in enumerate((64, 128, 256, 512)):
        for step in range(4):
            strides = 2 if stage and not step else 1
            shortcut = x
            if strides == 2:
                shortcut = layers.AveragePooling2D(2)(x)
                shortcut = layers.Conv2D(channels, 1, use_bias=False)(shortcut)
                shortcut = layers.BatchNormalization()(shortcut)
            kind = BinaryConv2D if binary else layers.Conv2D
            x = kind(channels, 3, strides=strides, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization()(x)
            x = x if binary else layers.ReLU()(x)
            x = layers.Add()([x, shortcut])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(given, layers.Dense(1000)(x))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--prepare", help="write the models to this file and end")
    parser.add_argument("--models", help="time those that --prepare wrote")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.models:
        files = {n: v.tobytes() for n, v in np.load(options.models).items()}
    else:
        x = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype(np.float32)
        int8 = {"precision": "int8", "representative_data": x, "verify": False}
        plain, binary = net(False), net(True)
        files = {
            "float32": exporter.convert(plain, verify=False).tflite,
            "int8": exporter.convert(plain, **int8).tflite,
            "binary": exporter.convert(binary, verify=False).tflite,
            "binary, weights int8": exporter.convert(
                binary, precision="dynamic", verify=False
            ).tflite,
            "binary, rest int8": exporter.convert(binary, **int8).tflite,
        }
    if options.prepare:
        np.savez(options.prepare, **{n: np.frombuffer(v, np.uint8) for n, v in files.items()})
        return
    interpreters = {n: ready(v, options.threads) for n, v in files.items()}
    times = timed(interpreters, options.rounds, options.threads, turn=0.15)
    result = {
        name: {
            "milliseconds": times[name] / 1e3,
            "over_float32": times["float32"] / times[name],
            "over_int8": times["int8"] / times[name],
            "tflite_bytes": len(data),
            "kcz_bytes": len(pack(data)) if name.startswith("binary") else None,
        }
        for name, data in files.items()
    }
    for name, row in result.items():
        print(name, row)
    (HERE / "results" / f"binary_net_{options.threads}.json").write_text(
        json.dumps(result, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
