"""Trains one net with tfmot on Keras 2 and with its face here on Keras 3, and compares.

    python benchmarks/tfmot_compare.py --peer-python PATH/TO/PYTHON [--data mnist.npz]

`--peer-python` is an interpreter with tensorflow-model-optimization 0.8.1, tf-keras and
tensorflow. Both sides start from the same trained weights, and see the same batches.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SPARSITIES = (0.5, 0.8, 0.95)
CLUSTERS = (8, 16, 32)
BATCH = 64


def build(keras):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 5, strides=2, activation="relu", name="conv1"),
            layers.Conv2D(16, 3, strides=2, activation="relu", name="conv2"),
            layers.Flatten(),
            layers.Dense(64, activation="relu", name="hidden"),
            layers.Dense(10, name="logits"),
        ]
    )


def read(path, samples):
    with np.load(path) as file:
        x, y = file["x_train"][:samples], file["y_train"][:samples]
        x_test, y_test = file["x_test"], file["y_test"]
    return [(x[..., None] / 255.0).astype("float32"), y.astype("int64")], [
        (x_test[..., None] / 255.0).astype("float32"),
        y_test.astype("int64"),
    ]


def compiled(keras, model, rate):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def timed_fit(model, train, epochs, callbacks):
    """Seconds a step, tracing left out: the fastest epoch after the first."""
    times = []
    for _ in range(epochs):
        start = time.perf_counter()
        model.fit(*train, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks)
        times.append((time.perf_counter() - start) / -(-len(train[0]) // BATCH))
    return min(times[1:] or times)


def side(arguments):
    """One side in its own process: reads start weights, writes rows and its `.tflite` files."""
    if arguments.side == "peer":
        import tensorflow_model_optimization as tfmot
        import tf_keras as keras
    else:
        import keras

        from keras_compress.compat import tfmot
    import tensorflow as tf

    folder = Path(arguments.folder)
    train, test = read(arguments.data, arguments.samples)
    with np.load(folder / "start.npz") as file:
        start = [file[f"arr_{i}"] for i in range(len(file.files))]
    sparsity, clustering = tfmot.sparsity.keras, tfmot.clustering.keras
    steps = -(-len(train[0]) // BATCH) * arguments.epochs
    rows = []

    def fresh():
        model = build(keras)
        model.set_weights(start)
        return model

    def record(name, value, model, seconds):
        compiled(keras, model, 1e-3)
        accuracy = model.evaluate(*test, verbose=0)[1]
        path = folder / f"{arguments.side}-{arguments.seed}-{name}-{value}.tflite"
        spec = tf.TensorSpec((1, 28, 28, 1), tf.float32)
        graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([graph], model)
        path.write_bytes(converter.convert())
        rows.append([name, value, arguments.seed, accuracy, seconds, str(path)])

    def run(name, value, model, rate, callbacks):
        keras.utils.set_random_seed(arguments.seed)
        compiled(keras, model, rate)
        return timed_fit(model, train, arguments.epochs, callbacks)

    model = fresh()
    record("plain", 0, model, run("plain", 0, model, 1e-3, []))
    for share in SPARSITIES:
        # Ends an epoch early, so that the last weights are trained under the last masks.
        schedule = sparsity.PolynomialDecay(0.0, share, 0, steps // 2, frequency=20)
        model = sparsity.prune_low_magnitude(fresh(), schedule)
        seconds = run("prune", share, model, 1e-3, [sparsity.UpdatePruningStep()])
        record("prune", share, sparsity.strip_pruning(model), seconds)
    for count in CLUSTERS:
        model = clustering.cluster_weights(fresh(), count)
        seconds = run("cluster", count, model, 1e-4, [])
        record("cluster", count, clustering.strip_clustering(model), seconds)
    (folder / f"{arguments.side}-{arguments.seed}.json").write_text(json.dumps(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--data", default=os.environ.get("KERAS_COMPRESS_MNIST", "mnist.npz"))
    parser.add_argument("--samples", type=int, default=12000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", default=str(HERE / "results" / "tfmot_compare.json"))
    arguments = parser.parse_args()

    import keras
    from rich.console import Console
    from rich.table import Table

    from keras_compress import pack

    found = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            keras.utils.set_random_seed(seed)
            model = compiled(keras, build(keras), 1e-3)
            train, _ = read(arguments.data, arguments.samples)
            model.fit(*train, batch_size=BATCH, epochs=3, verbose=0)
            np.savez(Path(folder) / "start.npz", *model.get_weights())
            for who, python in (("peer", arguments.peer_python), ("ours", sys.executable)):
                command = [python, __file__, "--side", who, "--folder", folder]
                command += ["--data", arguments.data, "--samples", str(arguments.samples)]
                command += ["--epochs", str(arguments.epochs), "--seed", str(seed)]
                environment = dict(os.environ)
                environment.pop("TF_USE_LEGACY_KERAS", None)
                if who == "peer":
                    environment.update(TF_USE_LEGACY_KERAS="1")
                    environment.pop("PYTHONPATH", None)
                subprocess.run(command, check=True, env=environment)
                rows = json.loads((Path(folder) / f"{who}-{seed}.json").read_text())
                plain = rows[0][4]
                for name, value, _, accuracy, seconds, path in rows:
                    data = Path(path).read_bytes()
                    record = {
                        "side": who,
                        "what": name,
                        "value": value,
                        "seed": seed,
                        "accuracy": accuracy,
                        "step_ratio": seconds / plain,
                        "tflite_bytes": len(data),
                        "gzip_bytes": len(gzip.compress(data, 9)),
                    }
                    if who == "ours":
                        record["kcz_bytes"] = len(pack(data))
                    found.append(record)
    table = Table("", "tfmot accuracy", "ours", "tfmot step", "ours", "its gzip", "our .kcz")
    for what, value in dict.fromkeys((r["what"], r["value"]) for r in found):

        def mean(who, key, what=what, value=value):
            chosen = [r for r in found if (r["side"], r["what"], r["value"]) == (who, what, value)]
            return float(np.mean([r[key] for r in chosen]))

        table.add_row(
            f"{what} {value or ''}",
            f"{mean('peer', 'accuracy'):.2%}",
            f"{mean('ours', 'accuracy'):.2%}",
            f"{mean('peer', 'step_ratio'):.2f}",
            f"{mean('ours', 'step_ratio'):.2f}",
            f"{mean('peer', 'gzip_bytes'):,.0f}",
            f"{mean('ours', 'kcz_bytes'):,.0f}",
        )
    Console(width=100).print(table)
    settings = {k: getattr(arguments, k) for k in ("samples", "epochs", "seeds")}
    Path(arguments.out).write_text(json.dumps({**settings, "rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    if "--side" in sys.argv:
        parser = argparse.ArgumentParser()
        for name in ("--side", "--folder", "--data"):
            parser.add_argument(name)
        for name in ("--samples", "--epochs", "--seed"):
            parser.add_argument(name, type=int)
        side(parser.parse_args())
    else:
        main()
