"""The records of Deep Compression: train them, pack them, check the packed files.

    python benchmarks/deep_compression.py check
    python benchmarks/deep_compression.py train lenet_300_100 --seed 0
    python benchmarks/deep_compression.py pack lenet_300_100 --seed 0

`check` unpacks every file under benchmarks/results/deep_compression, runs it on the whole test
set with the TFLite runtime and prints bytes on disk and error. `train` makes a net anew, under
any back end (KERAS_BACKEND=jax on a GPU), and `pack`, for which TensorFlow is needed, its file.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, os.fspath(Path(__file__).resolve().parent))

import numpy as np
from cache_folder import CACHE

RESULTS = Path(__file__).resolve().parent / "results" / "deep_compression"
# name -> net, most bytes, largest error in %, what stands in print
GOALS = {
    "lenet_300_100": ("lenet_300_100", 4000, 1.64, "27 KB at 1.58 %; 8,560 B at 1.9 %"),
    "lenet_5": ("lenet_5", 2400, 0.74, "44 KB at 0.74 %; 3,030 B at 0.69 %"),
    "lenet_5_tiny": ("lenet_5", 1500, 0.96, "1,520 B at 0.96 %"),
    "resnet8": ("resnet8", 20000, 13.0, "int8: 98,496 B at 13.03 %"),
    "resnet8_small": ("resnet8", 12000, 15.0, "MLPerf Tiny's bar: 15 %"),
}


def recipes():
    """Return the recipes, by the name of their record."""
    from deep_compression_training import Recipe

    lenet_300_100 = Recipe(
        "lenet_300_100",
        1.15e-5,
        epochs=80,
        float_epochs=15,
        step_digits=8,
        settle_epochs=10,
        copies=1,
        teacher=True,
    )
    lenet_5 = Recipe(
        "lenet_5",
        1.4e-5,
        epochs=90,
        float_epochs=5,
        batch=100,
        step_digits=8,
        settle_epochs=15,
        settle_learning_rate=2.5e-4,
        settle_rate_weight=8e-6,
        copies=3,
        teacher=True,
    )
    resnet8 = Recipe(
        "resnet8",
        4.2e-6,
        target_bytes=19600,
        epochs=36,
        batch=125,
        ramp=0.25,
        hold=0.2,
        step_size=0.5,
        step_digits=8,
        copies=9,
        teacher=True,
        temperature=3.0,
    )
    return {
        "lenet_300_100": lenet_300_100,
        "lenet_5": lenet_5,
        "lenet_5_tiny": dataclasses.replace(
            lenet_5, rate_weight=5e-6, settle_rate_weight=3e-6, copies=0, teacher=False
        ),
        "resnet8": resnet8,
        "resnet8_small": dataclasses.replace(
            resnet8,
            rate_weight=1.3e-5,
            target_bytes=11750,
            epochs=60,
            settle_epochs=12,
            settle_learning_rate=2e-4,
            settle_rate_weight=6e-6,
        ),
    }


def packed(model) -> bytes:
    """Return the packed file of a finalized net."""
    import keras_compress
    from keras_compress import exporter

    model = exporter.permute_channels(model).model
    if model.name == "resnet8":
        from deep_compression_training import with_normalization

        model = with_normalization(model)
    exported = exporter.convert(model)
    return keras_compress.pack(exported.tflite, codec="smallest")


def test_error(data: bytes, net: str, folder: Path | None) -> float:
    """Return the error in % of a packed file on the whole test set, by the TFLite runtime."""
    from ai_edge_litert.interpreter import Interpreter
    from deep_compression_data import data_set, load

    import keras_compress

    _, (x, y) = load(data_set(net), folder)
    x = x.astype(np.float32) if net == "resnet8" else x[..., None].astype(np.float32) / 255
    interpreter = Interpreter(model_content=keras_compress.unpack(data), num_threads=1)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]
    wrong = 0
    for image, label in zip(x, y, strict=True):
        interpreter.set_tensor(entry, image[None])
        interpreter.invoke()
        wrong += int(np.argmax(interpreter.get_tensor(result)[0]) != label)
    return 100 * wrong / len(x)


def train(args) -> None:
    import keras
    from deep_compression_training import rate_net

    recipe = recipes()[args.name]
    changes = dict(change.split("=", 1) for change in args.set)
    for key, value in changes.items():
        kind = type(getattr(recipe, key))
        value = value not in ("0", "False") if kind is bool else kind(value)
        recipe = dataclasses.replace(recipe, **{key: value})
    started = time.perf_counter()
    name = f"{args.run or args.name}-seed{args.seed}"

    def log(text):
        print(f"{time.perf_counter() - started:7.0f} s {text}", flush=True)

    model = rate_net(recipe, args.seed, args.cache, args.data, name, log)
    model.save(args.cache / f"{name}.keras")
    record = {
        "recipe": dataclasses.asdict(recipe),
        "seed": args.seed,
        "backend": keras.backend.backend(),
        "seconds": round(time.perf_counter() - started),
    }
    (args.cache / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    log(f"{name}.keras is trained; pack it by the command `pack`")


def pack(args) -> None:
    import keras

    name = f"{args.run or args.name}-seed{args.seed}"
    model = keras.models.load_model(args.cache / f"{name}.keras", compile=False)
    data = packed(model)
    error = test_error(data, GOALS[args.name][0], args.data)
    (args.cache / f"{name}.kcz").write_bytes(data)
    path = args.cache / f"{name}.json"
    record = {**json.loads(path.read_text()), "bytes": len(data), "error": error}
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{name}: {len(data)} bytes, {error:.2f} % error", flush=True)


def check(args) -> int:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Bytes of the packed file and error on the whole test set")
    for column in ("name", "bytes", "error %", "goal", "reached", "in print"):
        table.add_column(column)
    results = {}
    for path in sorted(args.results.glob("*.kcz")):
        name = next(n for n in sorted(GOALS, key=len, reverse=True) if path.stem.startswith(n))
        net, most, largest, printed = GOALS[name]
        data = path.read_bytes()
        error = test_error(data, net, args.data)
        reached = len(data) <= most and error <= largest + 1e-9
        results[path.stem] = {"bytes": len(data), "error": error, "reached": reached}
        table.add_row(
            path.stem,
            f"{len(data):,}",
            f"{error:.2f}",
            f"{most:,} at {largest}",
            "yes" if reached else "no",
            printed,
        )
    Console(width=110).print(table)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    if not results:
        print(f"No packed file in {args.results}: train one first.")
    return 0 if results else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("check", "train", "pack"):
        command = commands.add_parser(name)
        command.add_argument("--data", type=Path, default=None, help="folder of the data sets")
        if name != "check":
            command.add_argument("name", choices=sorted(GOALS))
            command.add_argument("--seed", type=int, default=0)
            command.add_argument("--cache", type=Path, default=CACHE / "deep_compression")
            command.add_argument("--run", help="name of the run in the cache")
    commands.choices["train"].add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE")
    commands.choices["check"].add_argument("--results", type=Path, default=RESULTS)
    commands.choices["check"].add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.command == "check":
        return check(args)
    {"train": train, "pack": pack}[args.command](args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
