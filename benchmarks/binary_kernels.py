"""Binary convolutions beside XNNPACK's float32 and int8, layer by layer, in one process, in turns.

    python benchmarks/binary_kernels.py [--threads 1] [--rounds 100] [--kernels avx2]

"copied" is the time that moving the layer's floats from one buffer to another takes, reading and
writing what the layer reads and writes and computing nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from keras_compress import exporter
from keras_compress.binary import BinaryConv2D
from keras_compress.tflite.custom_operators import binary_kernels
from keras_compress.tflite.runtime import load_runtime, make_interpreter

HERE = Path(__file__).parent
LAYERS = [(56, 64), (28, 128), (14, 256), (7, 512)]


def files_of(size: int, channels: int, kernel: int) -> dict[str, bytes]:
    """The same convolution as float32, as int8, and with bits between float and int8 numbers."""
    inputs = keras.Input((size, size, channels))
    x = np.random.default_rng(0).normal(size=(4, size, size, channels)).astype(np.float32)
    plain = keras.layers.Conv2D(channels, kernel, padding="same")
    binary = BinaryConv2D(channels, kernel, padding="same")
    float_model = keras.Model(inputs, plain(inputs))
    binary_model = keras.Model(inputs, binary(inputs))
    int8 = {"precision": "int8", "representative_data": x, "verify": False}
    return {
        "float32": exporter.convert(float_model, verify=False).tflite,
        "int8": exporter.convert(float_model, **int8).tflite,
        "binary": exporter.convert(binary_model, verify=False).tflite,
        "binary, int8 in and out": exporter.convert(binary_model, **int8).tflite,
    }


class Copy:
    """What any layer with float32 numbers on both sides takes at least."""

    def __init__(self, size: int, channels: int):
        self.source = np.ones(size * size * channels, np.float32)
        self.target = np.zeros_like(self.source)

    def invoke(self) -> None:
        np.copyto(self.target, self.source)


def ready(data: bytes, threads: int, kernels: str | None = None):
    interpreter = make_interpreter(load_runtime(), data, threads=threads, kernels=kernels)
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    rng = np.random.default_rng(1)
    if details["dtype"] == np.int8:
        value = rng.integers(-128, 128, details["shape"], np.int8)
    else:
        value = rng.normal(size=details["shape"]).astype(np.float32)
    interpreter.set_tensor(details["index"], value)
    interpreter.invoke()
    return interpreter


def timed(interpreters: dict, rounds: int, threads: int, turn: float = 0.003) -> dict[str, float]:
    """Least over the rounds, in microseconds; every round gives each its turn of `turn` seconds.

    With one thread it is the processor's time, which other processes take nothing of.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    runs = {}
    for name, interpreter in interpreters.items():
        start = time.perf_counter()
        for _ in range(3):
            interpreter.invoke()
        runs[name] = max(1, int(turn / ((time.perf_counter() - start) / 3)))
    taken: dict[str, list[float]] = {name: [] for name in interpreters}
    for _ in range(rounds):
        for name, interpreter in interpreters.items():
            interpreter.invoke()  # brings back into the caches what the others drove out
            start = clock()
            for _ in range(runs[name]):
                interpreter.invoke()
            taken[name].append((clock() - start) / runs[name])
    return {name: min(values) * 1e6 for name, values in taken.items()}


def popcount_peak(kernels: str) -> float | None:
    """GMAC/s of the kernels' own instructions; `None` where they can't be compiled."""
    target = "-mavx2" if kernels == "avx2" else "-march=native"
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/peak"
        command = ["c++", "-O3", target, str(HERE / "popcount_peak.cc"), "-o", program]
        try:
            subprocess.run(command, check=True, capture_output=True)
            return float(subprocess.run([program], check=True, capture_output=True).stdout)
        except (OSError, subprocess.CalledProcessError):
            return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--kernels", help="those to use, instead of the processor's best")
    parser.add_argument("--prepare", help="write the models to this folder and end")
    parser.add_argument("--models", help="time those that --prepare wrote")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = options.prepare or options.models
    models = {}
    for kernel in (3, 1):
        for size, channels in LAYERS:
            place = folder and Path(folder) / f"{kernel}_{size}_{channels}.npz"
            if options.models:
                found = {n: v.tobytes() for n, v in np.load(place).items()}
            else:
                found = files_of(size, channels, kernel)
            if options.prepare:
                place.parent.mkdir(parents=True, exist_ok=True)
                np.savez(place, **{n: np.frombuffer(v, np.uint8) for n, v in found.items()})
            models[kernel, size, channels] = found
    if options.prepare:
        return
    kernels = options.kernels or binary_kernels()
    peak = popcount_peak(kernels)
    rows = []
    for (kernel, size, channels), found in models.items():
        interpreters = {n: ready(data, options.threads, kernels) for n, data in found.items()}
        interpreters["portable"] = ready(found["binary"], options.threads, "portable")
        interpreters["copied"] = Copy(size, channels)
        times = timed(interpreters, options.rounds, options.threads)
        macs = size * size * channels * channels * kernel * kernel
        rows.append(
            {
                "layer": f"{size}x{size}x{channels}, {kernel}x{kernel}",
                "microseconds": times,
                "over_float32": times["float32"] / times["binary"],
                "over_int8": times["int8"] / times["binary, int8 in and out"],
                "gmacs": macs / times["binary"] / 1e3,
                "share_of_peak": macs / times["binary"] / 1e3 / peak if peak else None,
            }
        )
    title = f"{kernels} kernels, {options.threads} thread(s), peak {peak} GMAC/s"
    table = Table(title=title)
    for heading in ("layer", "float32 us", "int8 us", "binary us", "binary int8 us", "portable us",
                    "copied us", "over float32", "over int8", "GMAC/s", "of peak"):  # fmt: skip
        table.add_column(heading, justify="right")
    for row in rows:
        times = row["microseconds"]
        table.add_row(
            row["layer"],
            *(
                f"{times[n]:.1f}"
                for n in (
                    "float32",
                    "int8",
                    "binary",
                    "binary, int8 in and out",
                    "portable",
                    "copied",
                )
            ),
            f"{row['over_float32']:.1f}",
            f"{row['over_int8']:.1f}",
            f"{row['gmacs']:.0f}",
            f"{row['share_of_peak']:.0%}" if peak else "",
        )
    Console(width=160).print(table)
    runtime = load_runtime()
    result = {
        "kernels": kernels,
        "threads": options.threads,
        "popcount_peak_gmacs": peak,
        "runtime": f"{runtime.name} {runtime.version}",
        "layers": rows,
    }
    path = HERE / "results" / f"binary_kernels_{kernels}_{options.threads}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
