"""The step time of tfmot's quantization-aware training, beside that of plain `fit` on Keras 2.

    TF_USE_LEGACY_KERAS=1 python benchmarks/quantization_aware_tfmot.py --data FOLDER

Runs where `tensorflow-model-optimization`, `tf-keras` and TensorFlow are installed. Ours is timed
by `quantization_aware.py step` in the same way. FOLDER holds
`models/mlperf_tiny/pretrainedResnet.h5`;
the images are made up.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras as keras

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (args.batch, 32, 32, 3)).astype("float32")
    y = generator.integers(0, 10, args.batch)
    path = args.data / "models/mlperf_tiny/pretrainedResnet.h5"
    net = keras.models.load_model(path, compile=False)
    nets = {"plain": net, "quantized": tfmot.quantization.keras.quantize_model(net)}
    for each in nets.values():
        loss = keras.losses.SparseCategoricalCrossentropy()
        each.compile(keras.optimizers.Adam(1e-4), loss, metrics=["accuracy"])
        each.train_on_batch(x, y)
    times = {name: [] for name in nets}
    for _ in range(args.rounds):
        for name, each in nets.items():
            began = time.process_time()
            for _ in range(3):
                each.train_on_batch(x, y)
            times[name].append((time.process_time() - began) / 3)
    record = {name: round(1000 * statistics.median(each), 1) for name, each in times.items()}
    ratios = [b / a for a, b in zip(times["plain"], times["quantized"], strict=True)]
    record["ratio"] = round(statistics.median(ratios), 3)
    print(json.dumps(record))
    (RESULTS / "quantization_aware_step_tfmot.json").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
