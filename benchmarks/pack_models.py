"""Sizes and speeds of the packed file beside gzip, zstd, xz and brotli, in one run.

    python benchmarks/pack_models.py FILES_OR_FOLDERS... [--json OUT] [--quick]

Every packed file is unpacked and compared with its original. Sizes are bytes written. Speeds are
restored bytes over wall time: packing with threads, unpacking with one thread (and with two), the
best of the runs, which take turns. Peak memory is that of a process of its own that unpacks from
file to file, less what it held before.
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
from pathlib import Path
from typing import Any

import brotli
import zstandard

from keras_compress import packing, storage

_GZIP_FRAME = 12  # a gzip file's 18 bytes of frame, against the 6 of zlib's
CODECS = ("fast", "small", "auto")


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


def timed(functions: dict[str, Callable[[], bytes]], runs: int) -> dict[str, tuple[bytes, float]]:
    """Return each result and its best wall time in seconds; the functions take turns."""
    best: dict[str, tuple[bytes, float]] = {}
    for _ in range(runs):
        for name, function in functions.items():
            start = time.perf_counter()
            result = function()
            seconds = time.perf_counter() - start
            if name not in best or seconds < best[name][1]:
                best[name] = (result, seconds)
    return best


_UNPACK_FILE = """
import resource, sys
from keras_compress import packing
packing.unpack(packing.pack(b"warm" * 9))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
packing.unpack_file(sys.argv[1], sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def peak_memory(packed: bytes) -> int:
    """Bytes that unpacking from file to file adds to a process."""
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
    for name, (small, _) in packed.items():
        row["sizes"][name] = len(small)
        if name in CODECS:
            unpackers[name] = lambda p=small: packing.unpack(p)
            unpackers[f"{name}, 2 threads"] = lambda p=small: packing.unpack(p, threads=2)
        elif table[name][1] is not None:
            unpackers[name] = lambda d=table[name][1], p=small: d(p)
    for name, (restored, seconds) in timed(unpackers, runs).items():
        if restored != data:
            raise SystemExit(f"{path}: {name} is not lossless")
        row["mb_per_s"][name] = {"unpack": round(len(data) / seconds / 1e6, 2)}
    for name, (_, seconds) in packed.items():
        row["mb_per_s"].setdefault(name, {})["pack"] = round(len(data) / seconds / 1e6, 2)
    for codec in CODECS:
        row["peak_memory"][codec] = peak_memory(packed[codec][0])
    row["best_other"] = min(
        (size, name) for name, size in row["sizes"].items() if name not in CODECS
    )[::-1]
    for codec in ("auto", "small"):
        saved = 1 - row["sizes"][codec] / row["best_other"][1]
        row["saved_percent" if codec == "auto" else "saved_percent_small"] = round(100 * saved, 2)
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
    args = parser.parse_args()
    files: list[Path] = []
    for path in args.paths:
        files += sorted(path.rglob("*.tflite")) if path.is_dir() else [path]
    if not files:
        raise SystemExit("No .tflite files there.")
    rows = []
    columns: list[str] = []
    for path in files:
        rows.append(measure(path, args.runs, args.quick))
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
