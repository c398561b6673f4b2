"""CIFAR-10 nets cut to a share of their MACs without training and without labels.

    python benchmarks/channel_compensation.py --data FOLDER [--net cifar10_resnet56] [--test]

Channels by explained variance, readers fitted by least squares, statistics of batch normalization
taken anew: all on some training images. Accuracies are those on 2000 other training images, and
with `--test` on the test set. Adds a row to benchmarks/results/channel_compensation.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import keras
import numpy as np

from keras_compress import channel_pruning

RESULTS = Path(__file__).parent / "results" / "channel_compensation.json"


def accuracy(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    found = model.predict(x.astype("float32"), batch_size=250, verbose=0)
    return round(100 * float((found.argmax(1) == y).mean()), 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with load.py and models/")
    parser.add_argument("--net", default="cifar10_resnet56")
    parser.add_argument("--share", type=float, default=0.5, help="of MACs that is left (0.5)")
    parser.add_argument("--images", type=int, default=1000, help="to fit on (1000)")
    parser.add_argument("--criterion", default="explained_variance")
    parser.add_argument("--round-to", type=int, default=8)
    parser.add_argument("--test", action="store_true", help="look at the test set, once")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.data))
    import load

    (x, y), (x_test, y_test) = load.cifar10()
    y, y_test = y.ravel(), y_test.ravel()
    order = np.random.default_rng(0).permutation(len(x))
    fit, held_out = order[: arguments.images], order[-2000:]
    path = arguments.data / "models" / "cifar10_nets" / f"{arguments.net}.keras"
    model = keras.saving.load_model(path)
    start = time.perf_counter()
    pruned = channel_pruning.prune(
        model,
        arguments.share,
        criterion=arguments.criterion,
        x=x[fit].astype("float32"),
        y=y[fit],
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        round_to=arguments.round_to,
        compensate=True,
        batch_size=100,
    )
    seconds = time.perf_counter() - start
    before, after = pruned.report.before, pruned.report.after
    row = {
        "net": arguments.net,
        "criterion": arguments.criterion,
        "images": arguments.images,
        "round_to": arguments.round_to,
        "macs": [before["macs"], after["macs"]],
        "parameters": [before["parameters"], after["parameters"]],
        "kept": {r.group: [r.kept, r.channels] for r in pruned.report.groups},
        "seconds": round(seconds, 1),
        "held_out": accuracy(pruned.model, x[held_out], y[held_out]),
    }
    if arguments.test:
        row["test"] = accuracy(pruned.model, x_test, y_test)
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    key = ("net", "criterion", "images", "round_to")
    rows = [r for r in rows if any(r[k] != row[k] for k in key)] + [row]
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    print(json.dumps({k: v for k, v in row.items() if k != "kept"}))


if __name__ == "__main__":
    main()
