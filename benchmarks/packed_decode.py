"""How packed files are restored: by two threads, the first time in a process, in what memory.

    python benchmarks/packed_decode.py FILES_OR_FOLDERS... [--json OUT] [--runs N]

Each `.tflite` is packed with `fast`, `small` and `auto`, and restored:

- by one thread and by two, in turns, wall time, the best of the runs. On a busy machine two threads
  wait for their cores, so it also prints the *share*: how many times faster two threads could be,
  from the processor time of opening, which is one thread's, and of each section, taken up in order
  by whichever thread is free.
- in a new process: wall time and page faults of the first `unpack`, after import and loading of the
  library, beside the best of the ones after it.
- from file to file: the memory that adds to a process, beside the original's size.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pack_models import CODECS, peak_memory

from keras_compress import packing, storage
from keras_compress.packing import native, native_structures

_FRESH = """
import json, resource, sys, time
start = time.perf_counter()
from keras_compress import packing
packing.native.library()
loaded = time.perf_counter()
with open(sys.argv[1], "rb") as file:
    data = file.read()
faults, times = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, []
for _ in range(1 + int(sys.argv[2])):
    before = time.perf_counter()
    packing.unpack(data)
    times.append(time.perf_counter() - before)
    if len(times) == 1:
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
print(json.dumps({"load": loaded - start, "first": times[0], "later": min(times[1:]),
                  "faults": faults}))
"""


def in_new_process(packed: bytes, runs: int) -> dict[str, float]:
    """The best of three processes: seconds to load, of the first and the best later `unpack`."""
    environment = {**os.environ, "PYTHONPATH": str(Path(packing.__file__).parents[2])}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "packed.kcz")
        path.write_bytes(packed)
        found = []
        for _ in range(3):
            done = subprocess.run(
                [sys.executable, "-c", _FRESH, str(path), str(runs)],
                check=True, capture_output=True, env=environment,
            )  # fmt: skip
            found.append(json.loads(done.stdout))
    return {key: min(one[key] for one in found) for key in found[0]}


def section_times(packed: bytes) -> list[float]:
    """Processor seconds of opening, which decodes the graph, and of each section: best of three."""
    library, error = native.library(), native_structures.NativeError()
    best: list[float] = []
    for _ in range(3):
        start = time.thread_time()
        with packing.open_packed(packed) as file:
            times = [time.thread_time() - start]
            memory = ctypes.create_string_buffer(file.original_size + 1)
            for section in range(file._sections):
                start = time.thread_time()
                status = library.kc_file_section(
                    file._handle, section, ctypes.addressof(memory), None, ctypes.byref(error)
                )
                native.check(status, error)
                times.append(time.thread_time() - start)
        best = times if not best else list(map(min, best, times))
    return best


def possible(times: list[float]) -> float:
    """Times faster with two threads, if nothing else held them up."""
    busy = [times[0], times[0]]
    for one in times[1:]:
        busy[busy.index(min(busy))] += one
    return sum(times) / max(busy) if max(busy) else 1.0


def by_threads(packed: bytes, original: bytes, runs: int) -> dict[int, float]:
    """Wall seconds of the best run with one thread and with two."""
    best = {1: math.inf, 2: math.inf}
    for _ in range(runs):
        for threads, before in best.items():
            start = time.perf_counter()
            restored = packing.unpack(packed, threads=threads)
            best[threads] = min(before, time.perf_counter() - start)
            if restored != original:
                raise SystemExit("not lossless")
    return best


def measure(path: Path, runs: int) -> dict[str, Any]:
    """All figures of one file."""
    data = path.read_bytes()
    row: dict[str, Any] = {"file": path.name, "raw": len(data), "codecs": {}}
    for codec in CODECS:
        packed = packing.pack(data, codec=codec)
        times = section_times(packed)
        row["codecs"][codec] = {
            "packed": len(packed),
            "sections": len(times) - 1,
            "opening_seconds": round(times[0], 6),
            "processor_seconds": round(sum(times), 6),
            "share": round(possible(times), 3),
            "threads": {k: round(v, 6) for k, v in by_threads(packed, data, runs).items()},
            "process": {k: round(v, 6) for k, v in in_new_process(packed, runs).items()},
            "memory": peak_memory(packed),
        }
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--runs", type=int, default=3, help="runs, the best counts")
    args = parser.parse_args()
    files: list[Path] = []
    for path in args.paths:
        files += sorted(path.rglob("*.tflite")) if path.is_dir() else [path]
    rows = []
    print(
        f"{'file':<36}{'codec':<6}{'ms':>9}{'2 threads':>10}{'share':>7}{'first ms':>10}"
        f"{'later':>9}{'faults':>8}{'memory':>12}{'raw':>11}"
    )
    for path in files:
        rows.append(measure(path, args.runs))
        for codec, c in rows[-1]["codecs"].items():
            gain = c["threads"][1] / c["threads"][2]
            print(
                f"{path.name[:35]:<36}{codec:<6}{1e3 * c['threads'][1]:>9.2f}{gain:>10.2f}"
                f"{c['share']:>7.2f}{1e3 * c['process']['first']:>10.2f}"
                f"{1e3 * c['process']['later']:>9.2f}{c['process']['faults']:>8.0f}"
                f"{c['memory']:>12,}{rows[-1]['raw']:>11,}",
                flush=True,
            )
        if args.json:  # as it goes: what was measured stays
            document = {
                "schema_version": 1,
                "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
                "load_average_at_end": os.getloadavg()[0],
                "files": rows,
            }
            storage.write_atomic(args.json, json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
