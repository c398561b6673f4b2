"""Latency of several `.tflite` files in one process, run in turns, so that load hits all alike."""

from __future__ import annotations

import time

import numpy as np

from keras_compress.tflite.runtime import load_runtime, make_interpreter


def interleaved_latency(files: dict[str, bytes], *, rounds: int, runs: int = 3) -> dict[str, dict]:
    """Return of each file the processor time of one run on one thread, and its ratio to the first.

    A round runs every file, in an order drawn anew. The time is the thread's own, which other
    processes don't add to.

    Args:
        files: The files by name; ratios are to the first.
        rounds: Number of rounds.
        runs: Timed runs of a file in a round, behind one that isn't timed. Defaults to `3`.

    Returns:
        By name: `best_us` and `median_us`, microseconds a run; `ratio`, the median over rounds of
        the ratio within a round; `best_ratio`, of the best times.
    """
    runtime = load_runtime()
    interpreters = {}
    for name, data in files.items():
        interpreters[name] = make_interpreter(runtime, data)
        interpreters[name].allocate_tensors()
        interpreters[name].invoke()
    names, times = list(files), {name: [] for name in files}
    generator = np.random.default_rng(0)
    for _ in range(rounds):
        for name in generator.permutation(names):
            interpreters[name].invoke()
            begun = time.thread_time()
            for _ in range(runs):
                interpreters[name].invoke()
            times[name].append((time.thread_time() - begun) / runs)
    found = {name: np.array(each) for name, each in times.items()}
    first = found[names[0]]
    return {
        name: {
            "best_us": round(each.min() * 1e6, 1),
            "median_us": round(float(np.median(each)) * 1e6, 1),
            "ratio": round(float(np.median(each / first)), 3),
            "best_ratio": round(float(each.min() / first.min()), 3),
        }
        for name, each in found.items()
    }
