"""The process that holds one model: told on stdin what to do, answers on stdout.

A model has a process to itself, so that its memory is its own and a runtime that crashes on it
takes nothing else down. Messages are JSON, one a line. Nothing here imports TensorFlow unless
`tf.lite` is the only runtime there is.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np

from keras_compress.bench.delegation import describe_delegation
from keras_compress.bench.machine import memory_kb, reset_peak_memory
from keras_compress.errors import KerasCompressError, ModelFileError, PackedFileError
from keras_compress.storage import read_file
from keras_compress.tflite.custom_operators import binary_kernels, has_binary_operators
from keras_compress.tflite.input_shapes import set_shapes
from keras_compress.tflite.runtime import load_runtime, make_interpreter
from keras_compress.tflite.schema import check_model_bytes

_LATER_INITS = 3
_LATER_DECODES = 3


class Worker:
    """One model under the clock."""

    def __init__(self) -> None:
        self.interpreter: Any = None

    def load(
        self,
        *,
        path: str,
        name: str,
        packed: bool,
        threads: int,
        delegate: str,
        seed: int,
        base: str | None = None,
        input_shapes: dict[str, list[int]] | None = None,
    ) -> dict[str, Any]:
        """Decode, initialize and run the model once, timing each; see `BenchmarkResult`."""
        runtime = load_runtime()
        beside = read_file(base) if packed and base is not None else None
        if packed:
            # Loading the native decoder is part of starting the app, not of decoding a file.
            from keras_compress.packing import unpack
            from keras_compress.packing.native import library

            library()
        gc.collect()
        reset_peak_memory()
        before, _ = memory_kb()
        stored = read_file(path)
        decode_ms: list[float] = []
        data = stored
        if packed:
            try:
                elapsed, data = _timed(lambda: unpack(stored, base=beside))
            except PackedFileError as error:
                raise PackedFileError(f"{name}: {error}") from error
            decode_ms.append(elapsed)
        check_model_bytes(data, name=name)
        decoded, _ = memory_kb()

        def start(kernels: str = delegate) -> Any:
            interpreter = make_interpreter(runtime, data, threads=threads, delegate=kernels)
            set_shapes(interpreter, input_shapes, name)
            interpreter.allocate_tensors()
            return interpreter

        try:
            init_ms, self.interpreter = _timed(start)
            _fill_inputs(self.interpreter, seed)
            initialized, _ = memory_kb()
            first_ms, _ = _timed(self.interpreter.invoke)
        except (RuntimeError, ValueError) as error:
            if isinstance(error, KerasCompressError):
                raise
            self.interpreter = None
            raise ModelFileError(
                f"The runtime can't run {name}: {' '.join(str(error).split())[:300]} "
                f"{_way_out(start, delegate, seed)}".strip()
            ) from error
        overall, peak = memory_kb()
        later = []
        for _ in range(_LATER_INITS):
            elapsed, other = _timed(start)
            later.append(elapsed)
            del other
        for _ in range(_LATER_DECODES if packed else 0):
            elapsed, copy = _timed(lambda: unpack(stored, base=beside))
            decode_ms.append(elapsed)
            del copy
        return {
            "file_bytes": len(stored),
            "model_bytes": len(data),
            "sha256": hashlib.sha256(stored).hexdigest(),
            "decode_ms": decode_ms,
            "init_ms": init_ms,
            "later_init_ms": later,
            "first_inference_ms": first_ms,
            "memory_before_kb": before,
            "memory_decoded_kb": decoded,
            "memory_initialized_kb": initialized,
            "memory_overall_kb": overall,
            "memory_peak_kb": peak,
            "delegate": {
                **describe_delegation(self.interpreter, delegate),
                "binary_kernels": binary_kernels() if has_binary_operators(data) else None,
            },
            "runtime": {"name": runtime.name, "version": runtime.version},
        }

    def run(self, *, runs: int, min_secs: float, max_secs: float, settle: int) -> dict[str, Any]:
        """Run at least `runs` times and `min_secs`, at most `max_secs`; return nanoseconds.

        The `settle` runs before them are not timed: they bring the model back into caches that
        another one had in between.
        """
        invoke, clock = self.interpreter.invoke, time.perf_counter_ns
        for _ in range(settle):
            invoke()
        times: list[int] = []
        collecting = gc.isenabled()
        gc.disable()
        try:
            begin = clock()
            earliest, latest = begin + int(min_secs * 1e9), begin + int(max_secs * 1e9)
            while True:
                started = clock()
                invoke()
                ended = clock()
                times.append(ended - started)
                if ended >= latest or (len(times) >= runs and ended >= earliest):
                    break
        finally:
            if collecting:
                gc.enable()
        return {"times_ns": times}


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter_ns()
    value = action()
    return (time.perf_counter_ns() - started) / 1e6, value


def _fill_inputs(interpreter: Any, seed: int) -> None:
    """Set inputs to random numbers; integers that may be indices to zero."""
    generator = np.random.default_rng(seed)
    for detail in interpreter.get_input_details():
        shape, dtype = detail["shape"], np.dtype(detail["dtype"])
        if dtype.kind == "f":
            value = generator.uniform(-1, 1, shape).astype(dtype)
        elif dtype in (np.dtype(np.int8), np.dtype(np.uint8)):
            limits = np.iinfo(dtype)
            value = generator.integers(limits.min, limits.max + 1, shape).astype(dtype)
        elif dtype.kind in "iub":
            value = np.zeros(shape, dtype)
        else:
            raise ModelFileError(f"Inputs must be numbers. Received: {detail['name']!r}, {dtype}.")
        interpreter.set_tensor(detail["index"], value)


def _way_out(start: Callable[[str], Any], delegate: str, seed: int) -> str:
    """Return what to do about a model that `delegate` can't run: the other kernels, if they can."""
    other = "none" if delegate == "xnnpack" else "xnnpack"
    try:
        interpreter = start(other)
        _fill_inputs(interpreter, seed)
        interpreter.invoke()
    except (RuntimeError, ValueError):
        return ""
    theirs = "The runtime's own kernels run it" if other == "none" else "XNNPACK runs it"
    return f'{theirs}: pass `delegate="{other}"` (`--delegate {other}`).'


def serve(requests: Iterator[str], replies: IO[str]) -> None:
    """Answer requests until there are no more."""
    worker = Worker()
    commands: dict[str, Callable[..., dict[str, Any]]] = {"load": worker.load, "run": worker.run}
    for line in requests:
        request = json.loads(line)
        try:
            reply: dict[str, Any] = {"result": commands[request["command"]](**request["arguments"])}
        except KerasCompressError as error:
            reply = {"error": str(error)}
        except MemoryError:
            reply = {"error": "Not enough memory for this model."}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _requests(lines: queue.SimpleQueue[str]) -> Iterator[str]:
    while True:
        yield lines.get()


def _listen(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    # The parent closed its end, or is no more: nobody waits for what is under way.
    os._exit(0)


def main() -> None:
    # Ctrl-C reaches every process of a terminal; the parent is the one that decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What native code prints must not end up among the replies.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    serve(_requests(lines), replies)
