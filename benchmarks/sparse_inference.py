"""What XNNPACK's sparse kernels gain on a MobileNet-shaped net, dense over sparse.

    python benchmarks/sparse_inference.py --json benchmarks/results/sparse_inference.json \\
        --runner "qemu-aarch64-static -L /usr/aarch64-linux-gnu tflite_timer LIBRARY"

`--runner` times models given behind `ROUNDS`, as `tflite_timer.cc` does; without it the runtime
of this machine does, where x86 never runs sparse kernels sparsely. The weights are random: time
doesn't depend on what a net knows. Times under emulation are no device's; their ratios say
whether, and about how much, sparse inference pays.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from rich.console import Console
from rich.table import Table

from keras_compress import exporter
from keras_compress.tflite.runtime import load_runtime, make_interpreter

NAMES = (
    "dense",
    "80 % zeros, sparse",
    "90 % zeros, sparse",
    "90 % zeros, sparse, paddings as Keras makes them",
)


def pruned(model, sparsity: float):
    """Return the net with the 1x1 kernels at this sparsity, as its masks would leave them."""
    import keras

    from keras_compress import pruning

    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1):
            kernel = keras.ops.convert_to_numpy(layer.kernel)
            layer.kernel.assign(kernel * pruning.Unstructured().mask(abs(kernel), sparsity))
    return model


def make_models(args) -> list[bytes]:
    import keras

    keras.utils.set_random_seed(0)
    body = keras.applications.MobileNet(
        (args.size, args.size, 3), alpha=args.alpha, weights=None, include_top=False
    )
    head = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(body.output))
    plain = keras.Model(body.inputs, head)
    ready = exporter.pad_for_sparse_kernels(plain)
    files = [exporter.convert(ready, verify=False).tflite]
    for sparsity in (0.8, 0.9):
        exported = exporter.convert(pruned(ready, sparsity), sparse=True, verify=False)
        files.append(exported.tflite)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exporter.ExportWarning)
        exported = exporter.convert(pruned(plain, 0.9), sparse=True, verify=False)
    return [*files, exported.tflite]


def time_here(paths, rounds: int) -> list[list[float]]:
    interpreters = []
    for path in paths:
        interpreter = make_interpreter(load_runtime(), path.read_bytes())
        interpreter.allocate_tensors()
        interpreters.append(interpreter)
    times: list[list[float]] = [[] for _ in paths]
    for turn in range(rounds + 1):
        for each, interpreter in zip(times, interpreters, strict=True):
            start = time.perf_counter()
            interpreter.invoke()
            if turn:
                each.append((time.perf_counter() - start) * 1e3)
    return times


def time_by(runner: str, paths, rounds: int) -> list[list[float]]:
    done = subprocess.run(
        [*shlex.split(runner), str(rounds), *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [
        line.split() for line in done.stdout.splitlines() if line.startswith(str(paths[0].parent))
    ]
    return [[float(value) for value in row[1:]] for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runner", help="command that times models; default: this machine")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, default=96, help="height and width of the images")
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--models", type=Path, help="folder that keeps the models between runs")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = args.models or Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        paths = [home / f"{i}.tflite" for i in range(len(NAMES))]
        if not all(path.exists() for path in paths):
            for path, data in zip(paths, make_models(args), strict=True):
                path.write_bytes(data)
        files = dict(zip(NAMES, (path.read_bytes() for path in paths), strict=True))
        if args.runner:
            times = time_by(args.runner, paths, args.rounds)
        else:
            times = time_here(paths, args.rounds)
    where = "emulated" if args.runner else platform.machine()
    table = Table(title=f"MobileNet {args.alpha}, {args.size}x{args.size}, one thread, {where}")
    for column in ("model", "bytes", "conditions", "median ms, processor", "dense over it"):
        table.add_column(column, justify="left" if column == "model" else "right")
    dense = np.array(times[0])
    results = {}
    for (name, data), each in zip(files.items(), times, strict=True):
        check = exporter.check_sparse_runtime(data)
        ratio = float(np.median(dense / np.array(each)))
        results[name] = {
            "bytes": len(data),
            "conditions_failed": [condition.rule for condition in check.failed],
            "median_ms": float(np.median(each)),
            "dense_over_it": ratio,
        }
        verdict = "hold" if check.holds else f"{len(check.failed)} fail"
        table.add_row(name, f"{len(data):,}", verdict, f"{np.median(each):.2f}", f"{ratio:.2f}")
    Console().print(table)
    if args.json:
        record = {
            "command": "python benchmarks/sparse_inference.py",
            "settings": {"rounds": args.rounds, "size": args.size, "alpha": args.alpha},
            "emulated": bool(args.runner),
            "results": results,
        }
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
