"""`bench`: several models timed in turns on this machine."""

from __future__ import annotations

import contextlib
import math
import os
import random
import statistics
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_compress.argument_checks import check_count
from keras_compress.bench import machine
from keras_compress.bench.candidates import Candidate, Model, find_candidates
from keras_compress.bench.comparison import compare
from keras_compress.bench.process import WorkerProcess
from keras_compress.bench.result import SCHEMA_VERSION, BenchmarkResult
from keras_compress.bench.samples import describe
from keras_compress.errors import KerasCompressError

__all__ = ["bench"]

_ROUNDS = 10
_SETTLE_RUNS = 1


def bench(
    models: Model | Sequence[Model] | Mapping[str, Model],
    *,
    baseline: Model | None = None,
    threads: int = 1,
    warmup_runs: int = 5,
    num_runs: int = 50,
    min_secs: float = 1.0,
    max_secs: float = 150.0,
    delegate: str = "xnnpack",
    base: str | os.PathLike[str] | None = None,
    input_shapes: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
    timeout: float = 120.0,
    progress: Callable[[str, int, int], None] | None = None,
) -> BenchmarkResult:
    """Time models in turns: inference, initialization, unpacking, memory.

    Each model has a process to itself. The timed runs are cut into ten rounds; in every round
    each model has its turn, in an order drawn anew, so that a machine that gets hot, or busy,
    treats all alike. Inputs are random and set once; only the runtime's `invoke` is timed.

    Example:

    ```python
    from keras_compress.bench import bench

    result = bench(["model.tflite", "model.kcz"], baseline="baseline.tflite")
    for model in result.models:
        print(model.name, model.median_ms, model.comparison)
    ```

    Args:
        models: Paths of `.tflite` and `.kcz` files, or a dict from names to paths or to bytes.
        baseline: The model that others are compared with: a path, a key of `models`, or bytes.
            Defaults to `None` (no comparison).
        threads: Threads of the runtime. Defaults to `1`.
        warmup_runs: Runs of each model before timing, the first inference not counted.
            Defaults to `5`.
        num_runs: Fewest timed runs of each model. Defaults to `50`.
        min_secs: Least seconds of timed runs of each model. Defaults to `1.0`.
        max_secs: Most seconds of timed runs of each model; ends them even below `num_runs`.
            Defaults to `150.0`.
        delegate: `"xnnpack"`, or `"none"` for the runtime's own kernels. Defaults to
            `"xnnpack"`.
        base: The file that patches among the models were made for; unpacking them is timed beside
            it. Defaults to `None`.
        input_shapes: Shapes to run with instead of the models' own, for sizes that they leave open:
            one shape, for models of one input, or a dict from inputs' names. Defaults to `None`.
        seed: Seeds inputs and the order of turns. Defaults to `0`.
        timeout: Seconds that a model may take to load or to answer before it is given up.
            Defaults to `120.0`.
        progress: Called with a line, the steps done and the steps in all. Defaults to `None`.

    Returns:
        A `BenchmarkResult`.

    Raises:
        KerasCompressError: If a setting is out of range, a file is missing or is no model, or
            the runtime refuses or crashes on it.
    """
    _check_settings(threads, warmup_runs, num_runs, min_secs, max_secs, delegate, seed, timeout)
    shapes = _checked_shapes(input_shapes)
    with contextlib.ExitStack() as stack:
        candidates = find_candidates(models, baseline, lambda: _scratch(stack))
        tell = _Steps(progress, len(candidates) * (2 + _ROUNDS))
        thermal_before = machine.thermal()
        created = machine.utc_now()
        environment = machine.environment()

        workers, loaded = [], []
        for candidate in candidates:
            tell(f"Loading {candidate.name}")
            worker = stack.enter_context(WorkerProcess(candidate.name, timeout=timeout))
            loaded.append(
                worker.ask(
                    "load",
                    path=str(candidate.path),
                    name=candidate.name,
                    packed=candidate.packed,
                    threads=threads,
                    delegate=delegate,
                    seed=seed,
                    base=None if base is None else os.path.abspath(base),
                    input_shapes=shapes,
                )
            )
            workers.append(worker)
        warmups: list[list[int]] = []
        for candidate, worker in zip(candidates, workers, strict=True):
            tell(f"Warming up {candidate.name}")
            warmups.append(
                _run(worker, warmup_runs, 0.0, max_secs, settle=0) if warmup_runs else []
            )
        rounds, order = _take_turns(
            candidates, workers, tell, num_runs, min_secs, max_secs, random.Random(seed)
        )
        thermal_after = machine.thermal()

    entries = [
        _entry(candidate, facts, warmup, timed)
        for candidate, facts, warmup, timed in zip(candidates, loaded, warmups, rounds, strict=True)
    ]
    reference = next((entry for entry in entries if entry["is_baseline"]), None)
    if reference is not None:
        for entry in entries:
            if entry is not reference:
                entry["comparison"] = compare(entry, reference)
    return BenchmarkResult(
        {
            "schema_version": SCHEMA_VERSION,
            "uuid": str(uuid.uuid4()),
            "created": created,
            "settings": {
                "num_threads": threads,
                "warmup_runs": warmup_runs,
                "num_runs": num_runs,
                "min_secs": min_secs,
                "max_secs": max_secs,
                "delegate": delegate,
                "rounds": _ROUNDS,
                "settle_runs": _SETTLE_RUNS,
                "seed": seed,
                "order": order,
                **({} if shapes is None else {"input_shapes": shapes}),
            },
            "environment": {
                **environment,
                "runtime": loaded[0]["runtime"],
                "thermal_before": thermal_before,
                "thermal_after": thermal_after,
            },
            "models": entries,
        }
    )


def _scratch(stack: contextlib.ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keras_compress_")))


def _take_turns(
    candidates: list[Candidate],
    workers: list[WorkerProcess],
    tell: _Steps,
    num_runs: int,
    min_secs: float,
    max_secs: float,
    generator: random.Random,
) -> tuple[list[list[list[int]]], list[list[int]]]:
    """Return, for every model, its times of each round; and the order in every round."""
    rounds: list[list[list[int]]] = [[] for _ in workers]
    orders = []
    for number in range(_ROUNDS):
        order = list(range(len(workers)))
        generator.shuffle(order)
        orders.append(order)
        for index in order:
            tell(f"Round {number + 1} of {_ROUNDS}: {candidates[index].name}")
            rounds[index].append(
                _run(
                    workers[index],
                    math.ceil(num_runs / _ROUNDS),
                    min_secs / _ROUNDS,
                    max_secs / _ROUNDS,
                    settle=_SETTLE_RUNS,
                )
            )
    return rounds, orders


def _run(
    worker: WorkerProcess, runs: int, min_secs: float, max_secs: float, *, settle: int
) -> list[int]:
    reply = worker.ask(
        "run", seconds=max_secs, runs=runs, min_secs=min_secs, max_secs=max_secs, settle=settle
    )
    times: list[int] = reply["times_ns"]
    return times


def _entry(
    candidate: Candidate, facts: dict[str, Any], warmup: list[int], rounds: list[list[int]]
) -> dict[str, Any]:
    latency = describe([time for times in rounds for time in times])
    warm_ms = [facts["first_inference_ms"], *(time / 1e6 for time in warmup)]
    decodes = facts["decode_ms"]
    size_mb = facts["file_bytes"] / 1e6
    return {
        "name": candidate.name,
        "format": "kcz" if candidate.packed else "tflite",
        "sha256": facts["sha256"],
        "is_baseline": candidate.is_baseline,
        "latency_metrics": {
            **latency,
            "init_ms": facts["init_ms"],
            "later_init_ms": statistics.median(facts["later_init_ms"]),
            "first_inference_ms": facts["first_inference_ms"],
            "average_warm_up_ms": statistics.fmean(warm_ms),
        },
        "memory_metrics": _memory(facts),
        "misc_metrics": {
            "model_size_mb": size_mb,
            "num_runs": sum(len(times) for times in rounds),
            "num_warmup_runs": len(warm_ms),
            "model_throughput_in_mb_per_sec": size_mb / (latency["avg_ms"] / 1e3),
        },
        "decode": {
            "decode_ms": decodes[0] if decodes else 0.0,
            "later_decode_ms": statistics.median(decodes[1:]) if decodes[1:] else 0.0,
            "file_bytes": facts["file_bytes"],
            "model_bytes": facts["model_bytes"],
        },
        "delegate": facts["delegate"],
        "rounds": [
            {"num_runs": len(times), "median_ms": statistics.median(times) / 1e6}
            for times in rounds
        ],
    }


def _memory(facts: dict[str, Any]) -> dict[str, Any]:
    before = facts["memory_before_kb"]

    def grown(name: str) -> int | None:
        after = facts[name]
        return None if before is None or after is None else after - before

    peak = facts["memory_peak_kb"]
    return {
        "init_footprint_kb": grown("memory_initialized_kb"),
        "overall_footprint_kb": grown("memory_overall_kb"),
        "decode_footprint_kb": grown("memory_decoded_kb"),
        "peak_footprint_kb": grown("memory_peak_kb"),
        "peak_mem_mb": None if peak is None else peak / 1024,
    }


class _Steps:
    """Tells `progress` about step after step."""

    def __init__(self, progress: Callable[[str, int, int], None] | None, total: int) -> None:
        self.progress, self.done, self.total = progress, 0, total

    def __call__(self, line: str) -> None:
        if self.progress is not None:
            self.progress(line, self.done, self.total)
        self.done += 1


def _check_settings(
    threads: int,
    warmup_runs: int,
    num_runs: int,
    min_secs: float,
    max_secs: float,
    delegate: str,
    seed: int,
    timeout: float,
) -> None:
    cores = os.cpu_count() or 1
    check_count("threads", threads)
    check_count("warmup_runs", warmup_runs, minimum=0)
    check_count("num_runs", num_runs)
    check_count("seed", seed, minimum=0)
    if threads > max(cores, 1):
        raise KerasCompressError(
            f"`threads` can't be more than the machine's {cores} cores: more would be timed "
            f"waiting for each other. Received: threads={threads}."
        )
    for name, seconds in (("min_secs", min_secs), ("max_secs", max_secs), ("timeout", timeout)):
        if not 0 <= seconds < math.inf:
            raise KerasCompressError(
                f"`{name}` must be a number of seconds from 0. Received: {name}={seconds!r}."
            )
    if min_secs > max_secs:
        raise KerasCompressError(
            f"`min_secs` can't be above `max_secs`. Received: min_secs={min_secs:g}, "
            f"max_secs={max_secs:g}."
        )
    if delegate not in ("xnnpack", "none"):
        raise KerasCompressError(
            f'`delegate` must be "xnnpack" or "none". Received: delegate={delegate!r}.'
        )


def _checked_shapes(
    shapes: Sequence[int] | Mapping[str, Sequence[int]] | None,
) -> dict[str, list[int]] | None:
    """Return shapes by name, that of a lone input by the empty one."""
    if shapes is None:
        return None
    named = shapes if isinstance(shapes, Mapping) else {"": shapes}
    for shape in named.values():
        whole = isinstance(shape, Sequence) and not isinstance(shape, str)
        if not whole or not all(type(size) is int and 0 < size < 2**31 for size in shape):
            raise KerasCompressError(
                "`input_shapes` must be whole numbers above 0, or a dict from inputs' names to "
                f"such. Received: {shapes!r}."
            )
    return {name: list(shape) for name, shape in named.items()}
