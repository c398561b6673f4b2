"""What Group Fisher pruning costs while it trains: a step's time and peak memory over a plain fit.

    python benchmarks/channel_group_fisher.py

Steps of both run round about in one process, so that a change of the machine's speed meets both
alike; peaks are taken in a process each. Writes benchmarks/results/channel_group_fisher.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from step_time import StepTimer

from keras_compress import architectures, channel_pruning
from keras_compress.bench.machine import memory_kb

RESULTS = Path(__file__).parent / "results" / "channel_group_fisher.json"
NETS = {
    "ResNet-20": lambda: architectures.cifar_resnet(depth=20),
    "MobileNetV2 x0.5": lambda: keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.5, weights=None, classes=10
    ),
}


def trained(net: str, kind: str, batch_size: int, interval: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = NETS[net]()
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    if kind == "plain":
        return model
    return channel_pruning.GroupFisherTrainer(
        model, 0.5, interval=interval, batch_size=batch_size, round_to=1
    )


def data(steps: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.uniform(0, 1, (steps * batch_size, 32, 32, 3)).astype("float32")
    return x, generator.integers(0, 10, len(x))


def peak_mb(case: tuple[str, str], steps: int, batch_size: int, interval: int) -> list[float]:
    """Return the resident memory in MB before training, and the peak after some steps."""
    model = trained(*case, batch_size, interval)
    x, y = data(steps, batch_size)
    before = memory_kb()[0] / 1024
    model.fit(x, y, batch_size=batch_size, verbose=0)
    return [before, memory_kb()[1] / 1024]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10, help="of each in a round (10)")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--interval", type=int, default=25)
    parser.add_argument("--nets", nargs="*", default=list(NETS), choices=list(NETS))
    arguments = parser.parse_args()
    size, interval = arguments.batch_size, arguments.interval
    rows = {}
    for net in arguments.nets:
        models = {kind: trained(net, kind, size, interval) for kind in ("plain", "pruning")}
        times: dict[str, list[float]] = {kind: [] for kind in models}
        x, y = data(arguments.steps, size)
        for turn in range(arguments.rounds + 1):
            for kind, model in models.items():
                timer = StepTimer()
                model.fit(x, y, batch_size=size, verbose=0, shuffle=False, callbacks=[timer])
                if turn:  # the first round compiles
                    times[kind].append(float(np.median(timer.seconds)) * 1e3)
        ratios = np.array(times["pruning"]) / np.array(times["plain"])
        context = multiprocessing.get_context("spawn")
        peak = partial(peak_mb, steps=30, batch_size=size, interval=interval)
        with context.Pool(1, maxtasksperchild=1) as pool:
            peaks = dict(zip(models, pool.map(peak, [(net, k) for k in models], 1), strict=True))
        rows[net] = {
            "step_ms": {kind: round(float(np.median(of)), 1) for kind, of in times.items()},
            "time_over_plain": round(float(np.median(ratios)), 3),
            "time_over_plain_p25_p75": np.percentile(ratios, [25, 75]).round(3).tolist(),
            "mb_before_and_peak": {k: [round(v) for v in of] for k, of in peaks.items()},
            "peak_over_plain": round(peaks["pruning"][1] / peaks["plain"][1], 3),
        }
        print(net, json.dumps(rows[net]), flush=True)
    record = {
        "command": "python benchmarks/channel_group_fisher.py",
        "settings": {"batch": size, "interval": interval, "rounds": arguments.rounds},
        "backend": keras.backend.backend(),
        "results": rows,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
