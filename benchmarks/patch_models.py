"""Patches beside bsdiff and `zstd --patch-from`, in one run.

    python benchmarks/patch_models.py [--data FOLDER] [--pair OLD NEW] [--only TEXT] [--json OUT]

The cases are those of `patch_pairs.py`, made from models in the data folder and from drawn weights
of LeNet-5's shapes. Training is imitated by noise. Every patch is applied, and what it restores is
compared. Sizes are bytes written.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from keras_compress import packing, storage

sys.path.insert(0, str(Path(__file__).parents[1]))
from patch_pairs import read_pairs

DATA = Path(os.environ.get("KERAS_COMPRESS_DATA", "../shared/data"))


def run_tool(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def others(old: bytes, new: bytes) -> dict[str, int]:
    """Sizes of the patches of the tools that are installed; each is applied and compared."""
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        a, b, patch, again = (str(Path(folder) / n) for n in ("old", "new", "patch", "again"))
        Path(a).write_bytes(old)
        Path(b).write_bytes(new)
        tools = {
            "bsdiff": (["bsdiff", a, b, patch], ["bspatch", a, again, patch]),
            "zstd --patch-from": (
                ["zstd", "-19", "--ultra", "--long=27", f"--patch-from={a}", "-f", b, "-o", patch],
                ["zstd", "-d", "--long=27", f"--patch-from={a}", "-f", patch, "-o", again],
            ),
        }
        for name, (make, apply) in tools.items():
            if shutil.which(make[0]) is None:
                continue
            run_tool(make)
            run_tool(apply)
            if Path(again).read_bytes() != new:
                raise SystemExit(f"{name} did not restore the file")
            sizes[name] = Path(patch).stat().st_size
    return sizes


def measure(old: bytes, new: bytes) -> dict[str, Any]:
    """Measure one case."""
    start = time.perf_counter()
    patch = packing.pack(new, base=old)
    packed = time.perf_counter() - start
    start = time.perf_counter()
    restored = packing.unpack(patch, base=old)
    unpacked = time.perf_counter() - start
    if restored != new:
        raise SystemExit("a patch did not restore the file")
    sizes = {
        "patch": len(patch),
        **others(old, new),
        "packed alone": len(packing.pack(new, codec="smallest")),
    }
    row: dict[str, Any] = {"raw": len(new), "sizes": sizes}
    row["pack_seconds"], row["unpack_seconds"] = round(packed, 3), round(unpacked, 3)
    rivals = [size for name, size in sizes.items() if name not in ("patch", "packed alone")]
    if rivals:
        row["of_best_other"] = round(len(patch) / min(rivals), 3)
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--pair", type=Path, nargs=2, default=None, metavar=("OLD", "NEW"))
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name has it")
    parser.add_argument("--json", type=Path, default=None, metavar="OUT")
    args = parser.parse_args()
    pairs = read_pairs(args.data, args.pair)
    rows = {name: measure(*pair) for name, pair in pairs.items() if args.only in name}
    columns = list(next(iter(rows.values()))["sizes"])
    table = Table("case", "raw", *columns, "of the best other")
    for name, row in rows.items():
        sizes = [str(row["sizes"][column]) for column in columns]
        table.add_row(name, str(row["raw"]), *sizes, str(row.get("of_best_other", "-")))
    Console(width=160).print(table)
    if args.json:
        storage.write_atomic(
            args.json, json.dumps({"schema_version": 1, "cases": rows}, indent=1) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
