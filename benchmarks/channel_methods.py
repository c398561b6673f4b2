"""All methods of channel pruning and plain criteria on one net at one share of its MACs.

    python benchmarks/channel_methods.py --data FOLDER
    python benchmarks/channel_methods.py --data FOLDER --test

Each method gets the same images to choose by, and its net the same short distilled fine-tuning.
"Chosen" is the accuracy on 2000 other training images after the choice, with statistics of batch
normalization taken anew; "tuned" after the fine-tuning. The nets were trained on these images, and
know them; only the test set, looked at once at the end by `--test`, is a figure of its own. Done
methods are found in benchmarks/cache and not run again. On a GPU, with a fine-tuning that counts:

    KERAS_BACKEND=jax python benchmarks/channel_methods.py --data FOLDER --net cifar10_resnet56 \
        --epochs 100 --images 45000 --interval 25 --test
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from cache_folder import CACHE
from rich.console import Console
from rich.table import Table

from keras_compress import channel_pruning
from keras_compress.distillation import Distiller

RESULTS = Path(__file__).parent / "results" / "channel_methods.json"
METHODS: dict[str, Callable[[Case], channel_pruning.ChannelPruned]] = {}


class Case:
    """The net, the images of each kind, and what the arguments ask for."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        sys.path.insert(0, str(arguments.data))
        import load

        (x, y), (self.x_test, self.y_test) = load.cifar10()
        y, self.y_test = y.ravel(), self.y_test.ravel()
        order = np.random.default_rng(0).permutation(len(x))
        held, few, tuned = order[-2000:], order[: arguments.few], order[: arguments.images]
        self.held = x[held].astype("float32"), y[held]
        #: What choices are made by.
        self.x, self.y = x[few].astype("float32"), y[few]
        #: What is trained on; bytes, for a GPU takes 45,000 images.
        self.tuned = x[tuned], y[tuned]
        models = arguments.data / "models"
        if arguments.net == "mlperf_resnet8":
            path = models / "mlperf_tiny" / "pretrainedResnet.h5"
        else:
            path = models / "cifar10_nets" / f"{arguments.net}.keras"
        self.model = keras.saving.load_model(path, compile=False)
        logits = self.model.layers[-1].activation is keras.activations.linear
        self.loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
        self.model.compile(keras.optimizers.Adam(arguments.rate), self.loss)
        self.share, self.arguments = arguments.share, arguments

    def prune(self, criterion: Any, **settings: Any) -> channel_pruning.ChannelPruned:
        data = {"x": self.x, "y": self.y, "batch_size": 100}
        return channel_pruning.prune(
            self.model, self.share, criterion=criterion, **data, **settings
        )


def method(function: Callable[[Case], Any]) -> Callable[[Case], Any]:
    METHODS[function.__name__] = function
    return function


for name, criterion in {
    "l1": "l1",
    "fpgm": "fpgm",
    "bn_gamma": "bn_gamma",
    "random": "random",
    "taylor_per_mac": channel_pruning.Taylor(per="macs"),
    "group_fisher_at_once": channel_pruning.GroupFisher(per="macs"),
}.items():
    METHODS[name] = lambda case, criterion=criterion: case.prune(criterion)


@method
def uniform_l1(case: Case) -> channel_pruning.ChannelPruned:
    return case.prune("l1", method="uniform")


@method
def lasso(case: Case) -> channel_pruning.ChannelPruned:
    return case.prune("lasso", compensate=True)


@method
def cap(case: Case) -> channel_pruning.ChannelPruned:
    return case.prune("explained_variance", compensate=True)


@method
def group_fisher(case: Case) -> channel_pruning.ChannelPruned:
    x, y = case.tuned
    return channel_pruning.prune_while_training(
        case.model,
        x.astype("float32"),
        y,
        case.share,
        interval=case.arguments.interval,
        per="macs",
        batch_size=100,
        verbose=0,
    )


@method
def genetic(case: Case) -> channel_pruning.ChannelPruned:
    return channel_pruning.genetic(
        case.model,
        case.x,
        case.y,
        case.share,
        layer_batches=case.arguments.interval,
        final_epochs=0,
        batch_size=100,
    )


@method
def ucp(case: Case) -> channel_pruning.ChannelPruned:
    """With the weights that there are: from new ones, as in the paper, the net is trained long."""
    x, y = case.tuned
    return channel_pruning.ucp(
        case.model,
        x.astype("float32"),
        y,
        case.share,
        epochs=max(case.arguments.epochs, 1),
        from_scratch=False,
        batch_size=100,
        verbose=0,
    )


@method
def cacp(case: Case) -> channel_pruning.ChannelPruned:
    rates = 0.8 * case.share, min(1.5 * case.share, 0.95)
    policy = channel_pruning.search_policy(
        case.model, case.x, case.y, rates=rates, episodes=case.arguments.trials, batch_size=100
    )
    return policy.prune(case.share)


@method
def nsga2(case: Case) -> channel_pruning.ChannelPruned:
    population = 12
    front = channel_pruning.search_rates(
        case.model,
        case.x,
        case.y,
        population=population,
        generations=max(case.arguments.trials // population, 1),
        batch_size=100,
    )
    return front.prune(case.share)


class Augmented(keras.utils.PyDataset):
    """Images shifted by up to four pixels and mirrored by chance."""

    def __init__(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        super().__init__()
        self._x, self._y, self._size = x, y, batch_size
        self._generator = np.random.default_rng(0)
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        self._order = self._generator.permutation(len(self._x))

    def __len__(self) -> int:
        return len(self._x) // self._size

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self._order[index * self._size : (index + 1) * self._size]
        padded = np.pad(self._x[chosen], [(0, 0), (4, 4), (4, 4), (0, 0)])
        shifts = self._generator.integers(0, 9, (len(chosen), 2))
        parts = zip(padded, shifts, strict=True)
        x = np.stack([image[i : i + 32, j : j + 32] for image, (i, j) in parts])
        mirrored = self._generator.random(len(x)) < 0.5
        x[mirrored] = x[mirrored, :, ::-1]
        return x.astype("float32"), self._y[chosen]


def tune(case: Case, small: keras.Model) -> None:
    """Train a cut net on labels and on what the whole one says."""
    keras.utils.set_random_seed(0)
    data = Augmented(*case.tuned, 100)
    steps = case.arguments.epochs * len(data)
    rate = keras.optimizers.schedules.CosineDecay(case.arguments.rate, steps)
    distiller = Distiller(case.model, small, student_loss_weight=0.5)
    distiller.compile(keras.optimizers.Adam(rate), case.loss)
    distiller.fit(data, epochs=case.arguments.epochs, verbose=0)


def accuracy(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    found = model.predict(x.astype("float32"), batch_size=250, verbose=0)
    return round(100 * float((found.argmax(1) == y).mean()), 2)


def run(case: Case, name: str, path: Path) -> dict[str, Any]:
    keras.utils.set_random_seed(0)
    start = time.perf_counter(), time.process_time()
    pruned = METHODS[name](case)
    seconds, processor = time.perf_counter() - start[0], time.process_time() - start[1]
    small = pruned.model
    channel_pruning.reestimate_statistics(small, case.x, batch_size=100)
    before, after = pruned.report.before, pruned.report.after
    row = {
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "macs": [before["macs"], after["macs"]],
        "parameters": [before["parameters"], after["parameters"]],
        "chosen": accuracy(small, *case.held),
    }
    if case.arguments.epochs:
        tune(case, small)
        row["tuned"] = accuracy(small, *case.held)
    small.save(path)
    return row


def show(record: dict[str, Any]) -> None:
    table = Table(title=f"{record['net']} at {record['share']:g} of its MACs")
    for heading in ("method", "search s", "CPU s", "MACs", "parameters", "chosen", "tuned", "test"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for name, row in sorted(record["rows"].items(), key=lambda each: each[1]["chosen"]):
        table.add_row(
            name,
            f"{row['seconds']:.0f}",
            f"{row['processor_seconds']:.0f}",
            f"{row['macs'][1] / row['macs'][0]:.3f}",
            f"{row['parameters'][1]:,}",
            *(f"{row[key]:.2f}" if key in row else "" for key in ("chosen", "tuned", "test")),
        )
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with load.py and models/")
    parser.add_argument("--net", default="mlperf_resnet8")
    parser.add_argument("--share", type=float, default=0.5, help="of MACs that is left (0.5)")
    parser.add_argument("--few", type=int, default=500, help="images to choose by (500)")
    parser.add_argument("--images", type=int, default=2000, help="images to train on (2000)")
    parser.add_argument("--epochs", type=int, default=1, help="of fine-tuning (1)")
    parser.add_argument("--rate", type=float, default=0.001, help="of learning (0.001)")
    parser.add_argument("--interval", type=int, default=3, help="batches between cuts (3)")
    parser.add_argument("--trials", type=int, default=60, help="nets that a search tries (60)")
    parser.add_argument("--methods", nargs="*", default=None, choices=[*METHODS])
    parser.add_argument("--test", action="store_true", help="look at the test set, once")
    arguments = parser.parse_args()
    settings = {
        key: getattr(arguments, key)
        for key in ("net", "share", "few", "images", "epochs", "rate", "interval", "trials")
    }
    names = list(METHODS) if arguments.methods is None else arguments.methods
    case = Case(arguments)
    key = "-".join(f"{value}" for value in settings.values())
    folder = CACHE / "channel_methods" / key
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / "rows.json"
    rows = json.loads(journal.read_text()) if journal.exists() else {}
    for name in names:
        if name not in rows:
            rows[name] = run(case, name, folder / f"{name}.keras")
            journal.write_text(json.dumps(rows, indent=1) + "\n")
            print(name, json.dumps(rows[name]), flush=True)
    if arguments.test:
        for name, row in rows.items():
            if "test" not in row:
                net = keras.saving.load_model(folder / f"{name}.keras", compile=False)
                row["test"] = accuracy(net, case.x_test, case.y_test)
        journal.write_text(json.dumps(rows, indent=1) + "\n")
    record = {**settings, "backend": keras.backend.backend(), "rows": rows}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")
    show(record)


if __name__ == "__main__":
    main()
