"""Peak memory of training with each technique, beside that of a plain `fit`.

Each variant trains in a process of its own, for a peak can't be taken back. Every process builds
all variants and trains one, so what differs is what training it takes.

    python benchmarks/step_memory.py --json benchmarks/results/step_memory.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from step_time import variants

from keras_compress import distillation
from keras_compress.bench.machine import memory_kb
from keras_compress.distillation.cache import data_fingerprint


def peak_mb(name: str, steps: int, batch_size: int) -> float:
    """Return the peak resident memory in MB of this process, after `steps` steps of a variant."""
    generator = np.random.default_rng(0)
    x = generator.uniform(0, 255, (steps * batch_size, 32, 32, 3)).astype("float32")
    y = generator.integers(0, 10, len(x))
    if name == "distillation, from a cache":
        outputs = generator.dirichlet(np.ones(10), len(x)).astype("float32")
        kept = distillation.TeacherCache((outputs,), (("softmax",),), "", data_fingerprint(x))
        x = kept.inputs(x)
    model, callbacks = variants(steps)[name]
    model.fit(x, y, batch_size=batch_size, verbose=0, callbacks=callbacks)
    return memory_kb()[1] / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    names = list(variants(args.steps))
    with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=1) as pool:
        trained = pool.imap(partial(peak_mb, steps=args.steps, batch_size=args.batch_size), names)
        peaks = dict(zip(names, track(trained, "Training", total=len(names)), strict=True))

    table = Table(title=f"Peak memory of training ResNet8, batch {args.batch_size}, CPU")
    for column in ("variant", "MB", "over plain"):
        table.add_column(column, justify="left" if column == "variant" else "right")
    for name, peak in peaks.items():
        table.add_row(name, f"{peak:,.0f}", f"{peak / peaks['plain']:.3f}")
    Console().print(table)
    if args.json:
        record = {
            "command": "python benchmarks/step_memory.py",
            "settings": {"steps": args.steps, "batch": args.batch_size},
            "cpu": platform.processor() or platform.machine(),
            "peak_mb": {name: round(peak, 1) for name, peak in peaks.items()},
        }
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
