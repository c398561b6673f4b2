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
from pathlib import Path

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from paired_steps import time_steps

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
    record = time_steps(nets, x, y, args.rounds)
    print(json.dumps(record))
    (RESULTS / "quantization_aware_step_tfmot.json").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
