"""Trains the pruned and clustered LeNets whose packed bits `benchmarks/weight_bits.py` counts.

    python benchmarks/lenet_weights.py --data mnist.npz --out FOLDER [--net lenet_300_100]

Shares kept and values a layer are those of Deep Compression (arXiv 1510.00149, tables 2 and 3), so
that bits a kept weight stand beside bits a kept weight. L2 while training and pruning, as the paper
advises: it is what lets the weights of pixels that are always black go first. Writes one float32
`.tflite` for each net, and its test accuracies beside it as JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import keras

from keras_compress import architectures, clustering, exporter, pruning, recipes, storage

# Layer -> share kept, values (zero among them).
PLANS = {
    "lenet_300_100": {"ip1": (0.08, 64), "ip2": (0.09, 64), "ip3": (0.26, 64)},
    "lenet_5": {"conv1": (0.66, 256), "conv2": (0.12, 256), "ip1": (0.08, 32), "ip2": (0.19, 32)},
}
BATCH = 128


def with_l2(model: keras.Model, strength: float) -> keras.Model:
    """Return a fresh copy of `model` whose kernels are regularized."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if "kernel_regularizer" in config:
            config["kernel_regularizer"] = keras.regularizers.L2(strength) if strength else None
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


def fit(model: keras.Model, data: recipes.ImageData, epochs: int, rate: float, callbacks) -> float:
    """Train with Adam on a cosine and return the test accuracy."""
    steps = epochs * -(-len(data.x_train) // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(
        keras.optimizers.Adam(schedule),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(data.x_train, data.y_train, BATCH, epochs, verbose=2, callbacks=callbacks)
    return float(model.evaluate(data.x_test, data.y_test, verbose=0)[1])


def compress(net: str, data: recipes.ImageData, epochs: tuple[int, int, int], l2: float):
    """Return the small model and its test accuracy after each stage."""
    model = with_l2(getattr(architectures, net)(), l2)
    accuracy = {"baseline": fit(model, data, epochs[0], 2e-3, [])}
    rising = epochs[1] * -(-len(data.x_train) // BATCH) * 6 // 10
    callbacks = [
        pruning.PruningCallback(
            pruning.PruningConfig(
                pruning.PolynomialDecay(0.0, 1 - kept, begin_step=0, end_step=rising),
                layers=[layer],
            )
        )
        for layer, (kept, _) in PLANS[net].items()
    ]
    accuracy["pruned"] = fit(model, data, epochs[1], 1e-3, callbacks)
    model = with_l2(pruning.finalize(model), 0)
    callbacks = [
        clustering.ClusteringCallback(clustering.ClusteringConfig(n_clusters=n, layers=[layer]))
        for layer, (_, n) in PLANS[net].items()
    ]
    accuracy["clustered"] = fit(model, data, epochs[2], 5e-4, callbacks)
    return clustering.finalize(model), accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="MNIST_NPZ")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--net", choices=sorted(PLANS), action="append")
    parser.add_argument("--epochs", type=int, nargs=3, default=(15, 20, 5))
    parser.add_argument("--l2", type=float, default=2e-5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    data = recipes.load_npz(args.data)
    args.out.mkdir(parents=True, exist_ok=True)
    for net in args.net or sorted(PLANS):
        keras.utils.set_random_seed(args.seed)
        model, accuracy = compress(net, data, tuple(args.epochs), args.l2)
        exported = exporter.convert(model, samples=data.x_test[:100])
        storage.write_atomic(args.out / f"{net}.tflite", exported.tflite)
        record = {"accuracy": accuracy, "epochs": list(args.epochs), "l2": args.l2}
        storage.write_atomic(args.out / f"{net}.json", json.dumps(record, indent=1) + "\n")
        print(net, accuracy)


if __name__ == "__main__":
    main()
