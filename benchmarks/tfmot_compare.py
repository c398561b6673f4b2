"""Trains one net with tfmot on Keras 2 and with its face here on Keras 3, and compares.

    python benchmarks/tfmot_compare.py accuracy --peer-python PYTHON --data mnist.npz --work DIR
    python benchmarks/tfmot_compare.py steps --peer-python PYTHON --work DIR
    python benchmarks/tfmot_compare.py table --work DIR --json benchmarks/results/tfmot_compare.json

`PYTHON` is an interpreter with tensorflow-model-optimization 0.8.1, tf-keras, tensorflow and rich.
Each side runs in a process of its own, from the same trained weights, on the same images in the
same order. A row is written to `DIR` as soon as it's there, and what is there isn't run again.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from cache_folder import CACHE

SPARSITIES = (0.5, 0.8, 0.95)
CLUSTERS = (8, 16, 32)
CASES = [("plain", 0), *(("prune", s) for s in SPARSITIES), *(("cluster", n) for n in CLUSTERS)]
SIDES = ("tfmot", "ours")
BATCH = 64
# Masks move every so many steps; the schedule's length is a multiple of it, or the last sparsity
# would never be reached.
FREQUENCY = 20


def import_side(side):
    """Return `(keras, tfmot)` of a side."""
    if side == "tfmot":
        import tensorflow_model_optimization as tfmot
        import tf_keras as keras
    else:
        import keras

        from keras_compress.compat import tfmot
    return keras, tfmot


def small_cnn(keras):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(12, 5, strides=2, activation="relu", name="conv1"),
            layers.Conv2D(24, 3, strides=2, activation="relu", name="conv2"),
            layers.Flatten(),
            layers.Dense(64, activation="relu", name="hidden"),
            layers.Dense(10, name="logits"),
        ]
    )


def resnet8(keras):
    """The net of MLPerf Tiny, in either Keras."""
    layers = keras.layers

    def convolution(x, filters, size, strides):
        return layers.Conv2D(filters, size, strides, padding="same")(x)

    inputs = keras.Input((32, 32, 3))
    x = layers.ReLU()(layers.BatchNormalization()(convolution(inputs, 16, 3, 1)))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = layers.ReLU()(layers.BatchNormalization()(convolution(x, filters, 3, strides)))
        y = layers.BatchNormalization()(convolution(y, filters, 3, 1))
        if strides != 1:
            x = convolution(x, filters, 1, strides)
        x = layers.ReLU()(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def read_mnist(path, samples):
    with np.load(path) as file:
        x, y = file["x_train"][:samples], file["y_train"][:samples]
        x_test, y_test = file["x_test"], file["y_test"]
    pixels = [(each[..., None] / 255.0).astype("float32") for each in (x, x_test)]
    return (pixels[0], y.astype("int64")), (pixels[1], y_test.astype("int64"))


def compiled(keras, model, rate):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def wrapped(tfmot, model, name, value, steps):
    """Return `(model, callbacks)` of a case."""
    sparsity, clustering = tfmot.sparsity.keras, tfmot.clustering.keras
    if name == "prune":
        schedule = sparsity.PolynomialDecay(0.0, value, 0, steps, frequency=FREQUENCY)
        return sparsity.prune_low_magnitude(model, schedule), [sparsity.UpdatePruningStep()]
    if name == "cluster":
        return clustering.cluster_weights(model, value), []
    return model, []


def stripped(tfmot, model, name):
    strip = {
        "prune": tfmot.sparsity.keras.strip_pruning,
        "cluster": tfmot.clustering.keras.strip_clustering,
    }
    return strip[name](model) if name in strip else model


def convert(side, model):
    if side == "ours":
        from keras_compress import exporter

        return exporter.convert(model, verify=False).tflite
    import tensorflow as tf

    spec = tf.TensorSpec((1, 28, 28, 1), tf.float32)
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
    return tf.lite.TFLiteConverter.from_concrete_functions([graph], model).convert()


def step_timer(keras):
    """Return a callback of either Keras that collects the processor seconds from batch to batch."""

    class StepTimer(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seconds, self.last = [], None

        def on_epoch_begin(self, epoch, logs=None):
            self.last = None

        def on_train_batch_begin(self, batch, logs=None):
            now = time.process_time()
            if self.last is not None:
                self.seconds.append(now - self.last)
            self.last = now

    return StepTimer()


def train_side(options):
    """Train the cases of a seed that are not in `options.rows` yet, and append them to it."""
    keras, tfmot = import_side(options.side)
    train, test = read_mnist(options.data, options.samples)
    with np.load(options.start) as file:
        start = [file[f"arr_{i}"] for i in range(len(file.files))]
    done = {(row["case"], row["value"]) for row in read_rows(options.rows)}
    epoch = -(-len(train[0]) // BATCH)
    # Half the training follows with the last masks.
    steps = epoch * options.epochs // 2 // FREQUENCY * FREQUENCY
    for name, value in CASES:
        if (name, value) in done:
            continue
        keras.utils.set_random_seed(options.seed)
        model = small_cnn(keras)
        model.set_weights(start)
        model, callbacks = wrapped(tfmot, model, name, value, steps)
        compiled(keras, model, 1e-4 if name == "cluster" else 1e-3)
        timer = step_timer(keras)
        model.fit(
            *train,
            batch_size=BATCH,
            epochs=options.epochs,
            shuffle=False,
            verbose=0,
            callbacks=[timer, *callbacks],
        )
        model = compiled(keras, stripped(tfmot, model, name), 1e-3)
        kernels = [w for w in model.get_weights() if w.ndim > 1]
        data = convert(options.side, model)
        path = options.rows.with_suffix("") / f"{name}-{value}.tflite"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        row = {
            "case": name,
            "value": value,
            "accuracy": float(model.evaluate(*test, verbose=0)[1]),
            "zeros": float(np.mean(np.concatenate([w.ravel() for w in kernels]) == 0)),
            "most_values": int(max(np.unique(w).size for w in kernels)),
            "tflite_bytes": len(data),
            "gzip_bytes": len(gzip.compress(data, 9)),
            "tflite": str(path),
            "step_ms": float(np.median(timer.seconds) * 1e3),
        }
        with options.rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(options.side, options.seed, name, value, f"{row['accuracy']:.4f}", flush=True)


def time_side(options):
    """Append the median step of each case to `options.rows`, its cases taken in turn."""
    keras, tfmot = import_side(options.side)

    generator = np.random.default_rng(0)
    x = generator.normal(size=(options.steps * 32, 32, 32, 3)).astype("float32")
    y = generator.integers(0, 10, len(x))
    models = {}
    for name, value in (("plain", 0), ("prune", 0.8), ("cluster", 16)):
        keras.utils.set_random_seed(0)
        model, callbacks = wrapped(tfmot, resnet8(keras), name, value, 10_000)
        models[name] = compiled(keras, model, 1e-4), callbacks
    medians = {name: [] for name in models}
    for turn in range(options.rounds + 1):
        for name, (model, callbacks) in models.items():
            timer = step_timer(keras)
            arguments = {"batch_size": 32, "shuffle": False, "verbose": 0}
            model.fit(x, y, callbacks=[timer, *callbacks], **arguments)
            if turn:  # The first compiles.
                medians[name].append(float(np.median(timer.seconds)))
    with options.rows.open("a") as file:
        file.write(json.dumps(medians) + "\n")
    print(options.side, {name: round(np.median(t) * 1e3, 2) for name, t in medians.items()})


def read_rows(path):
    path = Path(path)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_side(options, side, role, rows, **arguments):
    python = options.peer_python if side == "tfmot" else sys.executable
    command = [python, __file__, role, "--side", side, "--rows", str(rows)]
    for name, value in arguments.items():
        command += [f"--{name}", str(value)]
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    if side == "tfmot":
        environment["TF_USE_LEGACY_KERAS"] = "1"
        environment.pop("PYTHONPATH", None)
    subprocess.run(command, check=True, env=environment)


def compare_accuracy(options):
    import keras

    for seed in range(options.seeds):
        start = options.work / f"start-{seed}.npz"
        if not start.exists():
            keras.utils.set_random_seed(seed)
            model = compiled(keras, small_cnn(keras), 1e-3)
            train, test = read_mnist(options.data, options.samples)
            model.fit(*train, batch_size=BATCH, epochs=options.start_epochs, verbose=0)
            print("start", seed, model.evaluate(*test, verbose=0)[1], flush=True)
            np.savez(start, *model.get_weights())
        for side in SIDES:
            rows = options.work / f"{side}-{seed}.jsonl"
            if len(read_rows(rows)) < len(CASES):
                chosen = {n: getattr(options, n) for n in ("data", "samples", "epochs")}
                run_side(options, side, "train-side", rows, seed=seed, start=start, **chosen)


def compare_steps(options):
    for _ in range(options.processes):
        for side in SIDES:
            rows = options.work / f"steps-{side}.jsonl"
            run_side(options, side, "time-side", rows, steps=options.steps, rounds=options.rounds)


def step_ratios(work, found, side):
    """Return net -> case -> median step over that of `plain` in the same process."""
    small = {"prune": [], "cluster": []}
    rows = [row for row in found if row["side"] == side]
    plain = {row["seed"]: row["step_ms"] for row in rows if row["case"] == "plain"}
    for row in rows:
        if row["case"] != "plain":
            small[row["case"]].append(row["step_ms"] / plain[row["seed"]])
    large = {"prune": [], "cluster": []}
    for process in read_rows(work / f"steps-{side}.jsonl"):
        for name, ratios in large.items():
            ratios.append(np.median(process[name]) / np.median(process["plain"]))
    nets = {"small CNN": small, "ResNet8": large}
    return {
        net: {name: float(np.median(ratios)) for name, ratios in cases.items() if ratios}
        for net, cases in nets.items()
    }


def print_table(options):
    from rich.console import Console
    from rich.table import Table

    from keras_compress import pack

    found = []
    for side in SIDES:
        for path in sorted(options.work.glob(f"{side}-*.jsonl")):
            for row in read_rows(path):
                data = Path(row.pop("tflite")).read_bytes()
                if side == "ours":
                    row["kcz_bytes"] = len(pack(data))
                found.append({"side": side, "seed": int(path.stem.rsplit("-")[-1]), **row})

    def show(case, value, side, key, form):
        chosen = [
            r[key] for r in found if (r["case"], r["value"], r["side"]) == (case, value, side)
        ]
        if not chosen:
            return ""
        spread = f" ± {format(np.std(chosen, ddof=1), form)}" if len(chosen) > 1 else ""
        return format(np.mean(chosen), form) + (spread if form == ".2%" else "")

    table = Table("", "tfmot", "ours", "its .tflite", "its gzip -9", "our .kcz")
    for case, value in CASES:
        table.add_row(
            f"{case} {value or ''}",
            show(case, value, "tfmot", "accuracy", ".2%"),
            show(case, value, "ours", "accuracy", ".2%"),
            show(case, value, "tfmot", "tflite_bytes", ",.0f"),
            show(case, value, "tfmot", "gzip_bytes", ",.0f"),
            show(case, value, "ours", "kcz_bytes", ",.0f"),
        )
    console = Console(width=110)
    console.print(table)
    steps = {side: step_ratios(options.work, found, side) for side in SIDES}
    for side, nets in steps.items():
        for net, ratios in nets.items():
            console.print(side, net, {name: round(value, 3) for name, value in ratios.items()})
    if options.json:
        record = {"batch": BATCH, "rows": found, "step_over_plain": steps}
        options.json.write_text(json.dumps(record, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("role", choices=["accuracy", "steps", "table", "train-side", "time-side"])
    parser.add_argument("--peer-python")
    parser.add_argument("--data", default="mnist.npz")
    parser.add_argument("--work", type=Path, default=CACHE / "tfmot_compare")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--samples", type=int, default=12000)
    parser.add_argument("--start-epochs", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=3, help="of each side, in turn")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40, help="of a case in a round")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role in ("accuracy", "steps") and not options.peer_python:
        parser.error("--peer-python names an interpreter with tensorflow-model-optimization")
    options.work.mkdir(parents=True, exist_ok=True)
    roles = {
        "accuracy": compare_accuracy,
        "steps": compare_steps,
        "table": print_table,
        "train-side": train_side,
        "time-side": time_side,
    }
    roles[options.role](options)


if __name__ == "__main__":
    main()
