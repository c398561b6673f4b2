"""Sizes and speeds of the packed file beside gzip, zstd, xz and brotli, in one run.

    python benchmarks/pack_models.py FILES_OR_FOLDERS... [--json OUT] [--quick]

Every packed file is unpacked and compared with its original. Sizes are bytes written. Speeds are
restored bytes over wall time: packing with threads, unpacking with one, the best of the runs.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import os
import platform
import sys
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


def timed(function: Callable[[], bytes], runs: int) -> tuple[bytes, float]:
    """Return the result and the best wall time in seconds."""
    best = math.inf
    for _ in range(runs):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return result, best


def measure(path: Path, runs: int, quick: bool) -> dict[str, Any]:
    """Measure one file; raises if anything is not lossless."""
    data = path.read_bytes()
    row: dict[str, Any] = {"file": path.name, "raw": len(data), "sizes": {}, "mb_per_s": {}}
    for name, (compress, decompress) in others(quick).items():
        packed, seconds = timed(lambda c=compress: c(data), 1)
        row["sizes"][name] = len(packed)
        speed = {"pack": len(data) / seconds / 1e6}
        if decompress is not None:
            restored, seconds = timed(lambda d=decompress, p=packed: d(p), runs)
            assert restored == data
            speed["unpack"] = len(data) / seconds / 1e6
        row["mb_per_s"][name] = {k: round(v, 2) for k, v in speed.items()}
    for codec in CODECS:
        packed, seconds = timed(lambda c=codec: packing.pack(data, codec=c), 1)
        restored, back = timed(lambda p=packed: packing.unpack(p), runs)
        if restored != data:
            raise SystemExit(f"{path}: codec {codec} is not lossless")
        row["sizes"][codec] = len(packed)
        row["mb_per_s"][codec] = {
            "pack": round(len(data) / seconds / 1e6, 2),
            "unpack": round(len(data) / back / 1e6, 2),
        }
    row["best_other"] = min(
        (size, name) for name, size in row["sizes"].items() if name not in CODECS
    )[::-1]
    row["saved_percent"] = round(100 * (1 - row["sizes"]["auto"] / row["best_other"][1]), 2)
    return row


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
    mean = math.exp(
        sum(math.log(r["sizes"]["auto"] / r["best_other"][1]) for r in rows) / len(rows)
    )
    print(f"geometric mean of auto over the best other: {mean:.4f}")
    losses = [r["file"] for r in rows if r["saved_percent"] <= 0]
    print("not the smallest: " + (", ".join(losses) or "none"))
    if args.json:
        document = {
            "schema_version": 1,
            "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
            "load_average_at_end": os.getloadavg()[0],
            "geometric_mean_of_auto_over_best_other": round(mean, 4),
            "not_smallest": losses,
            "files": rows,
        }
        storage.write_atomic(args.json, json.dumps(document, indent=1) + "\n")
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
