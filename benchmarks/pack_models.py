"""Sizes and speeds of the packed file beside gzip, zstd, xz and brotli, in one run.

    python benchmarks/pack_models.py FILES_OR_FOLDERS... [--json OUT [--keep]] [--quick]

Every packed file is unpacked and compared with its original. Sizes are bytes written. Speeds are
bytes of the original over processor time, of all threads, so that what else runs on the machine
counts for little, the best of the runs, which take turns; unpacking also over wall time, which two
threads are compared by. Peak memory is what
unpacking from file to file adds to a process of its own.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import brotli
import zstandard

from keras_compress import packing, storage

_GZIP_FRAME = 12  # a gzip file's 18 bytes of frame, against the 6 of zlib's
CODECS = ("fast", "small", "auto", "smallest")


def others(quick: bool) -> dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]]:
    """Name -> (compress, decompress) of the compressors we stand beside."""
    xz = 9 | lzma.PRESET_EXTREME
    table: dict[str, Any] = {
        "gzip -9": (lambda d: zlib.compress(d, 9) + bytes(_GZIP_FRAME), None),
        "zstd -19": (
            lambda d: zstandard.ZstdCompressor(level=19).compress(d),
            zstandard.decompress,
        ),
        "xz -9e": (lambda d: lzma.compress(d, preset=xz), lzma.decompress),
        "brotli -11": (lambda d: brotli.compress(d, quality=11, lgwin=24), brotli.decompress),
    }
    if not quick:
        table["zstd -22"] = (
            lambda d: zstandard.ZstdCompressor(level=22).compress(d), zstandard.decompress,
        )  # fmt: skip
    return table


@dataclass
class Timed:
    """A result, and the best wall time and processor time it took, in seconds."""

    result: bytes
    wall: float = math.inf
    processor: float = math.inf


def timed(functions: dict[str, Callable[[], bytes]], runs: int) -> dict[str, Timed]:
    """Call each function `runs` times, in turns."""
    best: dict[str, Timed] = {}
    for _ in range(runs):
        for name, function in functions.items():
            wall, processor = time.perf_counter(), time.process_time()
            result = function()
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            one = best.setdefault(name, Timed(result))
            one.wall, one.processor = min(one.wall, wall), min(one.processor, processor)
    return best


_UNPACK_FILE = """
import re, sys
from keras_compress import packing

def status(field):
    with open("/proc/self/status") as file:
        return int(re.search(field + r":\\s+(\\d+)", file.read())[1])

packing.unpack(packing.pack(b"warm", codec="fast"))
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak starts anew
before = status("VmRSS")
packing.unpack_file(sys.argv[1], sys.argv[2])
print(status("VmHWM") - before)
"""


def peak_memory(packed: bytes) -> int:
    """Bytes that unpacking from file to file adds to a process, on Linux."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "packed.kcz")
        source.write_bytes(packed)
        command = [sys.executable, "-c", _UNPACK_FILE, str(source), str(Path(folder, "out"))]
        environment = {**os.environ, "PYTHONPATH": str(Path(packing.__file__).parents[2])}
        done = subprocess.run(command, check=True, capture_output=True, env=environment)
    return 1024 * int(done.stdout)


def kind_of(data: bytes) -> str:
    """`"int8"`, `"float32"` ...: the type most bytes of weights have; `"codebook"` if shared."""
    sizes: dict[str, int] = {}
    for tensor in packing.inspect(data, codec="fast").tensors:
        name = tensor.dtype.replace("uint8", "int8")
        if name.startswith("float") and tensor.distinct <= 256 < tensor.count:
            name = "codebook"
        sizes[name] = sizes.get(name, 0) + tensor.size
    return max(sizes, key=lambda name: sizes[name])


def measure(path: Path, runs: int, quick: bool) -> dict[str, Any]:
    """Measure one file; raises if anything is not lossless."""
    data = path.read_bytes()
    row: dict[str, Any] = {
        "file": path.name, "raw": len(data), "kind": kind_of(data), "sizes": {}, "mb_per_s": {},
        "peak_memory": {},
    }  # fmt: skip
    packers: dict[str, Callable[[], bytes]] = {}
    unpackers: dict[str, Callable[[], bytes]] = {}
    table = others(quick)
    for name, (compress, _) in table.items():
        packers[name] = lambda c=compress: c(data)
    for codec in CODECS:
        packers[codec] = lambda c=codec: packing.pack(data, codec=c)
    packed = timed(packers, 1)
    for name, done in packed.items():
        small = done.result
        row["sizes"][name] = len(small)
        row["mb_per_s"][name] = {"pack": round(len(data) / done.processor / 1e6, 2)}
        if name in CODECS:
            unpackers[name] = lambda p=small: packing.unpack(p)
            unpackers[f"{name}, 2 threads"] = lambda p=small: packing.unpack(p, threads=2)
        elif table[name][1] is not None:
            unpackers[name] = lambda d=table[name][1], p=small: d(p)
    for name, done in timed(unpackers, runs).items():
        if done.result != data:
            raise SystemExit(f"{path}: {name} is not lossless")
        speeds = row["mb_per_s"].setdefault(name, {})
        speeds["unpack_wall"] = round(len(data) / done.wall / 1e6, 2)
        if "threads" not in name:
            speeds["unpack"] = round(len(data) / done.processor / 1e6, 2)
    for codec in CODECS:
        row["peak_memory"][codec] = peak_memory(packed[codec].result)
    row["best_other"] = min(
        (size, name) for name, size in row["sizes"].items() if name not in CODECS
    )[::-1]
    for codec in ("auto", "small", "smallest"):
        saved = 1 - row["sizes"][codec] / row["best_other"][1]
        key = "saved_percent" if codec == "auto" else f"saved_percent_{codec}"
        row[key] = round(100 * saved, 2)
    return row


def geometric_mean(rows: list[dict[str, Any]], codec: str) -> float:
    """Of our size over the best other's."""
    logs = [math.log(row["sizes"][codec] / row["best_other"][1]) for row in rows]
    return math.exp(sum(logs) / len(logs))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER")
    parser.add_argument("--json", type=Path, default=None, metavar="OUT")
    parser.add_argument("--runs", type=int, default=3, help="unpacking runs, the best counts")
    parser.add_argument("--quick", action="store_true", help="leave out zstd -22")
    parser.add_argument(
        "--keep", action="store_true", help="measure only files that OUT doesn't hold yet"
    )
    args = parser.parse_args()
    files: list[Path] = []
    for path in args.paths:
        files += sorted(path.rglob("*.tflite")) if path.is_dir() else [path]
    if not files:
        raise SystemExit("No .tflite files there.")
    rows = []
    columns: list[str] = []
    before = json.loads(args.json.read_text())["files"] if args.keep and args.json.exists() else []
    known = {row["file"]: row for row in before}
    for path in files:
        rows.append(known.pop(path.name, None) or measure(path, args.runs, args.quick))
        if not columns:
            columns = ["raw", *rows[0]["sizes"]]
            print(
                f"{'file':<40}" + "".join(f"{c:>11}" for c in columns) + "  saved  pack unpack MB/s"
            )
        row = rows[-1]
        sizes = [row["raw"], *row["sizes"].values()]
        speed = row["mb_per_s"]["auto"]
        print(
            f"{row['file'][:39]:<40}"
            + "".join(f"{size:>11}" for size in sizes)
            + f"{row['saved_percent']:>6.1f}%{speed['pack']:>6.1f}{speed['unpack']:>7.1f}",
            flush=True,
        )
    means = {}
    for kind in ["all", *sorted({row["kind"] for row in rows})]:
        chosen = [row for row in rows if kind in ("all", row["kind"])]
        means[kind] = {codec: round(geometric_mean(chosen, codec), 4) for codec in CODECS}
        print(f"geometric mean over the best other, {kind} ({len(chosen)}): {means[kind]}")
    losses = [r["file"] for r in rows if r["saved_percent"] <= 0]
    print("not the smallest: " + (", ".join(losses) or "none"))
    if args.json:
        document = {
            "schema_version": 1,
            "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
            "load_average_at_end": os.getloadavg()[0],
            "geometric_means_over_best_other": means,
            "not_smallest": losses,
            "files": rows,
        }
        storage.write_atomic(args.json, json.dumps(document, indent=1) + "\n")
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
