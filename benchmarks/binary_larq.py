"""The layers of binary_kernels.py in larq-compute-engine, for an environment of its own.

    pip install larq-compute-engine==0.16.0 larq==0.14.0 tensorflow-cpu==2.16.2 tf-keras==2.16.0 \
        numpy==1.26.4
    python benchmarks/binary_larq.py [--rounds 10]

One thread, float in and out, batch normalization folded; the least processor time of a call.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import larq
import larq_compute_engine
import numpy as np
import tensorflow as tf
from larq_compute_engine.tflite.python.interpreter import Interpreter

RESULTS = Path(__file__).parent / "results"
LAYERS = [(56, 64), (28, 128), (14, 256), (7, 512)]


def file_of(size: int, channels: int, kernel: int) -> bytes:
    inputs = tf.keras.Input((size, size, channels), batch_size=1)
    x = larq.layers.QuantConv2D(
        channels,
        kernel,
        padding="same",
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        use_bias=False,
    )(inputs)
    x = tf.keras.layers.BatchNormalization()(x)
    return larq_compute_engine.convert_keras_model(tf.keras.Model(inputs, x))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    times = {}
    for kernel in (3, 1):
        for size, channels in LAYERS:
            interpreter = Interpreter(file_of(size, channels, kernel), num_threads=1)
            x = np.random.default_rng(0).normal(size=interpreter.input_shapes[0])
            x = x.astype(np.float32)
            interpreter.predict(x)
            taken = []
            for _ in range(rounds):
                start = time.process_time()
                interpreter.predict(x)
                taken.append(time.process_time() - start)
            name = f"{size}x{size}x{channels}, {kernel}x{kernel}"
            times[name] = min(taken) * 1e6
            print(f"{name}: {times[name]:.0f} us", flush=True)
    version = "larq-compute-engine 0.16.0, TensorFlow " + tf.__version__
    result = {"engine": version, "rounds": rounds, "microseconds": times}
    (RESULTS / "binary_larq.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
