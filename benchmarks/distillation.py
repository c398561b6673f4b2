"""Hinton's MNIST table: a small net trained plainly, distilled, and distilled without digit 3.

arXiv 1503.02531, section 3: a teacher of two hidden layers of 1200 units with dropout and
images jittered by up to two pixels; students of two hidden layers of 800 units, on images as
they are, without dropout. Prints test errors of 10,000 beside the paper's. Every net is kept in
`--work` once trained, so that a run that was stopped goes on with the next one.

    python benchmarks/distillation.py --data mnist.npz --json benchmarks/results/distillation.json
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from cache_folder import CACHE
from rich.console import Console
from rich.table import Table

from keras_compress import distillation

PAPER = {
    "teacher, 2x1200": {"errors": 67},
    "student 2x800, plain": {"errors": 146},
    "student 2x800, distilled": {"errors": 74},
    "distilled without 3": {"errors": 206, "errors_on_3": 133},
    "distilled without 3, bias of 3 raised": {"errors": 109, "errors_on_3": 14},
}
ABSENT = 3


def net(units: int, dropout: tuple[float, float], name: str) -> keras.Model:
    layers = [keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dropout(dropout[0])]
    for i in (1, 2):
        layers.append(keras.layers.Dense(units, activation="relu", name=f"hidden_{i}"))
        layers.append(keras.layers.Dropout(dropout[1]))
    return keras.Sequential([*layers, keras.layers.Dense(10, name="logits")], name=name)


class Jittered(keras.utils.PyDataset):
    """Training images shifted by up to two pixels each way, anew every epoch."""

    def __init__(self, x, y, batch_size, seed):
        super().__init__()
        padded = np.pad(x, ((0, 0), (2, 2), (2, 2)))
        self.windows = np.lib.stride_tricks.sliding_window_view(padded, (28, 28), axis=(1, 2))
        self.y, self.batch_size = y, batch_size
        self.generator = np.random.default_rng(seed)
        self.on_epoch_end()

    def on_epoch_end(self):
        self.order = self.generator.permutation(len(self.y))

    def __len__(self):
        return len(self.y) // self.batch_size

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        dy, dx = self.generator.integers(0, 5, (2, len(rows)))
        return self.windows[rows, dy, dx], self.y[rows]


def optimizer(args, epochs: int, samples: int):
    steps = epochs * (samples // args.batch_size)
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(args.learning_rate, steps))


def labels_loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def train_teacher(args, data, seed):
    (x, y), _ = data
    model = net(1200, (0.2, 0.5), "teacher")
    model.compile(optimizer(args, args.teacher_epochs, len(y)), labels_loss())
    model.fit(Jittered(x, y, args.batch_size, seed), epochs=args.teacher_epochs, verbose=2)
    return model


def train_plain(args, data, seed):
    (x, y), _ = data
    model = net(800, (0.0, 0.0), "student")
    model.compile(optimizer(args, args.epochs, len(y)), labels_loss(), steps_per_execution=20)
    model.fit(x, y, batch_size=args.batch_size, epochs=args.epochs, verbose=2)
    return model


def train_distilled(args, data, teacher, keep, seed):
    (x, y), _ = data
    x, y = x[keep], y[keep]
    student = net(800, (0.0, 0.0), "student")
    missing = "" if keep.all() else f"_without_{ABSENT}"
    path = args.work / f"logits{missing}_{seed}.cache"
    cache = distillation.cache_teacher(teacher, x, path)
    losses = distillation.SoftTargets(args.temperature)
    distiller = distillation.Distiller(
        cache, student, losses, student_loss_weight=args.student_loss_weight
    )
    distiller.compile(optimizer(args, args.epochs, len(y)), labels_loss(), steps_per_execution=20)
    distiller.fit(cache.inputs(x), y, batch_size=args.batch_size, epochs=args.epochs, verbose=2)
    return student


def kept(args, name: str, seed: int, train):
    """Return the net of this name and its training time, trained now or in an earlier run."""
    stem = f"{name}_{seed}"
    path, times = args.work / f"{stem}.keras", args.work / f"{stem}.json"
    if not path.exists():
        keras.utils.set_random_seed(seed)
        start = time.perf_counter()
        model = train()
        times.write_text(json.dumps(time.perf_counter() - start))
        model.save(path)
    return keras.models.load_model(path, compile=False), json.loads(times.read_text())


def logits_of(model, data) -> np.ndarray:
    return model.predict(data[1][0], batch_size=1000, verbose=0)


def errors_of(model, data) -> dict[str, int]:
    return errors_in(logits_of(model, data), data[1][1])


def errors_in(logits, y, bias: float = 0.0) -> dict[str, int]:
    raised = np.where(np.arange(10) == ABSENT, logits + bias, logits)
    wrong = raised.argmax(-1) != y
    return {"errors": int(wrong.sum()), f"errors_on_{ABSENT}": int(wrong[y == ABSENT].sum())}


def run(args, data, seed: int) -> dict[str, dict]:
    keep_all = np.ones(len(data[0][1]), dtype=bool)
    teacher, seconds = kept(args, "teacher", seed, lambda: train_teacher(args, data, seed))
    results = {"teacher, 2x1200": {**errors_of(teacher, data), "seconds": seconds}}
    plain, seconds = kept(args, "plain", seed, lambda: train_plain(args, data, seed))
    results["student 2x800, plain"] = {**errors_of(plain, data), "seconds": seconds}
    distilled, seconds = kept(
        args, "distilled", seed, lambda: train_distilled(args, data, teacher, keep_all, seed)
    )
    results["student 2x800, distilled"] = {**errors_of(distilled, data), "seconds": seconds}
    keep = data[0][1] != ABSENT
    without, seconds = kept(
        args, "without", seed, lambda: train_distilled(args, data, teacher, keep, seed)
    )
    results["distilled without 3"] = {**errors_of(without, data), "seconds": seconds}
    # As in the paper the bias is the one that is best on the test set.
    biases = np.arange(0, 20.01, 0.1)
    logits, labels = logits_of(without, data), data[1][1]
    best = min(biases, key=lambda bias: errors_in(logits, labels, bias)["errors"])
    results["distilled without 3, bias of 3 raised"] = {
        **errors_in(logits, labels, best),
        "bias": round(float(best), 1),
    }
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="mnist.npz; Keras downloads it otherwise")
    parser.add_argument("--work", type=Path, default=CACHE / "distillation")
    parser.add_argument("--teacher-epochs", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--temperature", type=float, default=20.0)
    parser.add_argument("--student-loss-weight", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.data:
        with np.load(args.data) as file:
            data = [(file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])]
    else:
        data = keras.datasets.mnist.load_data()
    data = [((x / 255).astype("float32"), y.astype("int32")) for x, y in data]

    runs = {seed: run(args, data, seed) for seed in args.seeds}
    table = Table(title="Test errors of 10,000, MNIST")
    for column in ("net", "ours", f"on {ABSENT}", "paper", f"on {ABSENT}", "training s"):
        table.add_column(column, justify="left" if column == "net" else "right")
    for name, paper in PAPER.items():
        rows = [results[name] for results in runs.values()]
        mean = np.mean([row["errors"] for row in rows])
        on_absent = np.mean([row[f"errors_on_{ABSENT}"] for row in rows])
        seconds = [row["seconds"] for row in rows if "seconds" in row]
        table.add_row(
            name,
            f"{mean:.0f}",
            f"{on_absent:.0f}",
            str(paper["errors"]),
            str(paper.get("errors_on_3", "")),
            f"{np.mean(seconds):.0f}" if seconds else "",
        )
    Console().print(table)
    if args.json:
        settings = {k: v for k, v in vars(args).items() if k not in ("json", "work", "data")}
        record = {
            "command": "python benchmarks/distillation.py",
            "settings": settings,
            "keras": keras.__version__,
            "paper": PAPER,
            "seeds": runs,
        }
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
