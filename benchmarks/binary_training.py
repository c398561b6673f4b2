"""Binary nets in training: the time of a step beside plain layers, and accuracy on CIFAR-10.

    python benchmarks/binary_training.py step
    python benchmarks/binary_training.py accuracy --data FOLDER [--images N --epochs N ...]

`step` times one training step of VGG-small with binarized and with plain convolutions in
interleaved rounds. `accuracy` trains float, BWN, XNOR-Net with and without K, the block order
C-B-A-P and a distilled XNOR-Net, each for the same epochs, and keeps every finished run in the
JSON file, so that a stopped grid goes on where it was; `--jobs N` trains N nets side by side.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import statistics
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path

import keras
import numpy as np
from cache_folder import CACHE
from rich.console import Console
from rich.table import Table

from keras_compress.architectures import binary_resnet8, vgg_small

RESULTS = Path(__file__).parent / "results"
NETS = {"resnet8": binary_resnet8, "vgg_small": vgg_small}
# Name of a row: method, order of the block, whether a float net of the same form teaches.
ROWS = {
    "float": ("float", "BACP", False),
    "BWN": ("bwn", "BACP", False),
    "XNOR, no K": ("xnor", "BACP", False),
    "XNOR, K": ("xnor_k", "BACP", False),
    "XNOR, no K, C-B-A-P": ("xnor", "CBAP", False),
    "XNOR, no K, distilled": ("xnor", "BACP", True),
}


MEAN, DEVIATION = np.float32([125.3, 123.0, 113.9]), np.float32([63.0, 62.1, 66.7])


class Images(keras.utils.PyDataset):
    """Batches of CIFAR-10's bytes, shuffled anew each epoch; flipped and shifted if asked."""

    def __init__(self, x, y, batch, augment, seed):
        super().__init__()
        self.x, self.y, self.batch, self.augment = x, y, batch, augment
        self.generator = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self):
        return len(self.x) // self.batch

    def on_epoch_end(self):
        self.order = self.generator.permutation(len(self.x))

    def __getitem__(self, index):
        rows = self.order[index * self.batch : (index + 1) * self.batch]
        x = (self.x[rows] - MEAN) / DEVIATION
        if self.augment:
            padded = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)))
            for i, (dy, dx) in enumerate(self.generator.integers(0, 9, (len(x), 2))):
                x[i] = padded[i, dy : dy + 32, dx : dx + 32]
            flip = self.generator.random(len(x)) < 0.5
            x[flip] = x[flip, :, ::-1]
        return x, self.y[rows]


@functools.cache
def load(folder: str, images: int, tests: int):
    sys.path.insert(0, folder)
    if (Path(folder) / "load.py").exists():
        from load import cifar10
    else:
        from keras.datasets import cifar10 as sets

        cifar10 = sets.load_data
    (x, y), (x_test, y_test) = cifar10()
    return (x[:images], y[:images].ravel()), (
        (x_test[:tests] - MEAN) / DEVIATION,
        y_test[:tests].ravel(),
    )


def train(net, row, seed, args) -> dict:
    train_set, test_set = load(args.data, args.images, args.tests)
    folder = Path(args.folder)
    method, order, distilled = ROWS[row]
    keras.utils.set_random_seed(seed)
    model = NETS[net](method=method, order=order, width=args.width[net], classifier_activation=None)
    batches = Images(train_set[0], train_set[1], args.batch, args.augment, seed)
    rate = keras.optimizers.schedules.CosineDecay(args.rate, args.epochs * len(batches))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    compiled = {
        "optimizer": keras.optimizers.Adam(rate),
        "loss": loss,
        "metrics": ["accuracy"],
    }
    trained, callbacks = model, []
    backup = folder / f"{net}_{method}_{order}_{distilled}_{seed}"
    if distilled:
        teacher = keras.saving.load_model(folder / f"{net}_float_{seed}.keras")
        trained = keras.distillation.Distiller(
            teacher=teacher,
            student=model,
            distillation_losses=keras.distillation.LogitsDistillation(temperature=4.0),
            student_loss_weight=0.5,
        )
    else:
        callbacks = [keras.callbacks.BackupAndRestore(backup)]
    trained.compile(**compiled)
    start = time.process_time()
    trained.fit(
        batches, epochs=args.epochs, verbose=2 if args.jobs == 1 else 0, callbacks=callbacks
    )
    seconds = time.process_time() - start
    model.compile(loss=loss, metrics=["accuracy"])
    accuracy = float(model.evaluate(*test_set, batch_size=250, verbose=0)[1])
    if method == "float":
        model.save(folder / f"{net}_float_{seed}.keras")
    return {"accuracy": accuracy, "cpu_seconds": seconds, "parameters": model.count_params()}


def accuracy(args) -> None:
    Path(args.folder).mkdir(parents=True, exist_ok=True)
    args.width = {"resnet8": args.resnet_width, "vgg_small": args.vgg_width}
    settings = {
        k: getattr(args, k)
        for k in ("images", "tests", "epochs", "batch", "rate", "augment", "width")
    }
    path = Path(args.out)
    results = json.loads(path.read_text()) if path.exists() else {"runs": {}}
    if results.setdefault("settings", settings) != settings:
        raise SystemExit(f"{path} holds runs with other settings. Give another --out.")
    keys = {
        (net, row, seed): f"{net} | {row} | {seed}"
        for seed in range(args.seeds)
        for net in args.nets
        for row in ROWS
    }
    open_keys = [key for key, name in keys.items() if name not in results["runs"]]
    for key, result in run_all(open_keys, args):
        results["runs"][keys[key]] = result
        part = path.with_suffix(".part")
        part.write_text(json.dumps(results, indent=1))
        os.replace(part, path)
        print(key, result, flush=True)
    show(results)


def run_all(keys, args):
    """Yield `(key, result)` of each of `keys` as it ends; a taught net waits for its teacher."""
    if args.jobs == 1:
        for key in keys:
            net, row, seed = key
            yield key, train(net, row, seed, args)
        return
    floats = {(net, seed) for net, row, seed in keys if row == "float"}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, context, max_tasks_per_child=1) as pool:
        waiting, running = list(keys), {}
        while waiting or running:
            ready = [k for k in waiting if not ROWS[k[1]][2] or (k[0], k[2]) not in floats]
            for key in ready[: args.jobs - len(running)]:
                net, row, seed = key
                running[pool.submit(train, net, row, seed, args)] = key
                waiting.remove(key)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                key = running.pop(future)
                yield key, future.result()
                if key[1] == "float":
                    floats.discard((key[0], key[2]))


def show(results) -> None:
    settings = results["settings"]
    table = Table(title=f"CIFAR-10 test accuracy, {json.dumps(settings)}")
    nets = sorted({key.split(" | ")[0] for key in results["runs"]})
    for heading in ("row", *nets):
        table.add_column(heading, justify="left" if heading == "row" else "right")
    for row in ROWS:
        cells = []
        for net in nets:
            found = [
                run["accuracy"]
                for key, run in results["runs"].items()
                if key.startswith(f"{net} | {row} | ")
            ]
            spread = f" ± {100 * statistics.stdev(found):.2f}" if len(found) > 1 else ""
            mean = f"{100 * statistics.mean(found):.2f} %{spread} ({len(found)})" if found else "-"
            cells.append(mean)
        table.add_row(row, *cells)
    Console(width=120).print(table)


def step(args) -> None:
    x = np.random.default_rng(0).normal(size=(args.batch, 32, 32, 3)).astype("float32")
    y = np.zeros(args.batch, "int32")
    models = {}
    for method in ("float", "bwn", "xnor", "xnor_k"):
        keras.utils.set_random_seed(0)
        model = vgg_small(method=method, width=args.vgg_width)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.train_on_batch(x, y)
        models[method] = model
    times = {method: [] for method in models}
    # The processor's time is not disturbed by other processes; a GPU's work doesn't count in it.
    clock = time.process_time if args.clock == "cpu" else time.perf_counter
    for _ in range(args.rounds):
        for method, model in models.items():
            start = clock()
            model.train_on_batch(x, y)
            times[method].append(clock() - start)
    base = times["float"]
    table = Table(title=f"Training step of vgg_small x{args.vgg_width}, batch {args.batch}")
    for heading in ("layers", "median ms", "ratio to plain layers"):
        table.add_column(heading, justify="left" if heading == "layers" else "right")
    rows = {}
    for method, measured in times.items():
        ratio = statistics.median(a / b for a, b in zip(measured, base, strict=True))
        rows[method] = {"median_ms": 1e3 * statistics.median(measured), "ratio": ratio}
        table.add_row(method, f"{rows[method]['median_ms']:.1f}", f"{ratio:.3f}")
    Console(width=100).print(table)
    out = {
        "rows": rows,
        "width": args.vgg_width,
        "batch": args.batch,
        "rounds": args.rounds,
        "clock": args.clock,
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
    }
    Path(args.out).write_text(json.dumps(out, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("step")
    one.add_argument("--vgg-width", type=float, default=0.25)
    one.add_argument("--batch", type=int, default=64)
    one.add_argument("--rounds", type=int, default=21)
    one.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    one.add_argument("--out", default=str(RESULTS / "binary_step.json"))
    two = commands.add_parser("accuracy")
    two.add_argument("--data", default=os.environ.get("KERAS_COMPRESS_DATA", ""))
    two.add_argument("--images", type=int, default=50000)
    two.add_argument("--tests", type=int, default=10000)
    two.add_argument("--epochs", type=int, default=200)
    two.add_argument("--batch", type=int, default=128)
    two.add_argument("--rate", type=float, default=1e-3)
    two.add_argument("--seeds", type=int, default=3)
    two.add_argument("--augment", action="store_true")
    two.add_argument("--jobs", type=int, default=1, help="nets that are trained side by side")
    two.add_argument("--nets", nargs="+", choices=sorted(NETS), default=sorted(NETS))
    two.add_argument("--resnet-width", type=float, default=1.0)
    two.add_argument("--vgg-width", type=float, default=1.0)
    two.add_argument(
        "--folder", default=str(CACHE / "binary_training"), help="checkpoints and teachers"
    )
    two.add_argument("--out", default=str(RESULTS / "binary_training.json"))
    args = parser.parse_args()
    (step if args.command == "step" else accuracy)(args)


if __name__ == "__main__":
    main()
