"""Wall time and peak memory of the recipe's search with one worker process and with two.

scikit-learn's digits and a net of 9,674 parameters, so that it ends soon: what is compared is how
the same trials run one after another and side by side. Each row is a search in a fresh folder.

    python benchmarks/deep_compression_search.py
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    import keras
    from rich.console import Console
    from rich.table import Table

    from keras_compress import recipes

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    data = recipes.load_digits()
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(data.image_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(96, activation="relu"),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ],
        name="digits",
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(data.x_train, data.y_train, epochs=20, verbose=0)
    rows = {}
    for workers in args.workers:
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            result = recipes.deep_compression(
                model,
                data,
                recipes.CompressionTarget(size="2KB"),
                folder=folder,
                epochs=args.epochs,
                rounds=2,
                trials_per_round=4,
                workers=workers,
            )
            seconds = time.perf_counter() - started
        rows[workers] = {
            "seconds": round(seconds, 1),
            "size": result.size,
            "accuracy": result.accuracy,
            "peak_mb_parent": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "peak_mb_worker": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        }
    table = Table(title="Search for 2 KB on digits, 8 trials")
    for column in ("workers", "seconds", "bytes", "accuracy", "peak MB parent, worker"):
        table.add_column(column, justify="right")
    for workers, row in rows.items():
        table.add_row(
            str(workers),
            f"{row['seconds']}",
            str(row["size"]),
            f"{row['accuracy']:.2%}",
            f"{row['peak_mb_parent']}, {row['peak_mb_worker']}",
        )
    Console().print(table)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
