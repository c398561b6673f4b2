"""tfmot's quantization-aware training of ResNet8, on Keras 2, beside `quantization_aware.py`.

    TF_USE_LEGACY_KERAS=1 python benchmarks/quantization_aware_tfmot.py step --data FOLDER
    TF_USE_LEGACY_KERAS=1 python benchmarks/quantization_aware_tfmot.py accuracy --data FOLDER \\
        [--epochs N --images N --rate R --seed S]

Runs where `tensorflow-model-optimization`, `tf-keras` and TensorFlow are installed. `step` times a
step beside plain `fit`, on made-up images, as ours is timed. `accuracy` trains on the images, in
the batches and at the rates of `quantization_aware.py accuracy`, chooses the epoch on the same
5,000 images, and looks at the test images once, through the full-int8 file that TensorFlow's
converter makes. FOLDER holds `load.py`, CIFAR-10 and `models/mlperf_tiny/pretrainedResnet.h5`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from cifar_batches import Batches, agreement, file_results, load, share, training_arguments
from paired_steps import time_steps

RESULTS = Path(__file__).parent / "results"


def float_net(folder: Path) -> keras.Model:
    path = folder / "models/mlperf_tiny/pretrainedResnet.h5"
    return keras.models.load_model(path, compile=False)


def compile_net(model: keras.Model, rate: float) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])


def results_of(model: keras.Model, x: np.ndarray) -> np.ndarray:
    parts = (x[i : i + 250].astype(np.float32) for i in range(0, len(x), 250))
    return np.concatenate([np.asarray(model.predict_on_batch(part)) for part in parts])


def step(args: argparse.Namespace) -> None:
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (args.batch, 32, 32, 3)).astype("float32")
    y = generator.integers(0, 10, args.batch)
    net = float_net(args.data)
    nets = {"plain": net, "quantized": tfmot.quantization.keras.quantize_model(net)}
    for each in nets.values():
        compile_net(each, 1e-4)
    record = time_steps(nets, x, y, args.rounds)
    print(json.dumps(record))
    (RESULTS / "quantization_aware_step_tfmot.json").write_text(json.dumps(record) + "\n")


def accuracy(args: argparse.Namespace) -> None:
    train, held, test = load(args.data)
    keras.utils.set_random_seed(args.seed)
    model = tfmot.quantization.keras.quantize_model(float_net(args.data))
    compile_net(model, args.rate)
    steps = min(args.images, len(train[0])) // args.batch
    log, kept = [], None
    for epoch in range(args.epochs):
        began = time.perf_counter()
        data = Batches(train[0], train[1], args.batch, args.images, args.seed, epoch)
        for batch, (x, y) in enumerate(data):
            place = (steps * epoch + batch) / (steps * args.epochs)
            rate = args.rate * 0.5 * (1 + math.cos(math.pi * place))
            model.optimizer.learning_rate.assign(rate)
            loss, _ = model.train_on_batch(x, y, reset_metrics=batch == 0)
        line = {
            "epoch": epoch + 1,
            "loss": round(float(loss), 4),
            "held_out": share(results_of(model, held[0]), held[1]),
            "seconds": round(time.perf_counter() - began, 1),
        }
        if not log or line["held_out"] > max(each["held_out"] for each in log):
            kept = model.get_weights()
        log.append(line)
        print(line, flush=True)
    model.set_weights(kept)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    data = converter.convert()
    simulated = results_of(model, test[0])
    received, size = file_results(tf.lite.Interpreter(model_content=data), test[0])
    record = {
        "images": min(args.images, len(train[0])),
        "epochs": args.epochs,
        "batch": args.batch,
        "rate": args.rate,
        "seed": args.seed,
        "log": log,
        "trained_test": share(received, test[1]),
        **agreement(received, simulated, size),
        "tflite_bytes": len(data),
    }
    print(json.dumps(record, indent=1))
    path = RESULTS / "quantization_aware_tfmot.json"
    known = json.loads(path.read_text()) if path.exists() else []
    same = ("images", "epochs", "seed", "rate")
    known = [each for each in known if any(each[key] != record[key] for key in same)]
    path.write_text(json.dumps([*known, record], indent=1) + "\n")


def main() -> None:
    tasks = {"accuracy": accuracy, "step": step}
    args = training_arguments(__doc__, tuple(tasks)).parse_args()
    tasks[args.what](args)


if __name__ == "__main__":
    main()
