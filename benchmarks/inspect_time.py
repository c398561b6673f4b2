"""Wall time of `keras-compress inspect FILE` as a whole process, beside an empty Python.

    python benchmarks/inspect_time.py FILES_OR_FOLDERS... [--json OUT]

The goal is 0.6 s. The median of several runs is quoted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from keras_compress import storage

GOAL_S = 0.6


def wall_time(command: list[str], runs: int) -> float:
    """Return the median wall time of `command` in seconds, after one run that isn't counted."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    files = sorted(
        file
        for path in args.paths
        for file in (path.rglob("*.tflite") if path.is_dir() else [path])
    )
    empty = wall_time([sys.executable, "-c", "pass"], args.runs)
    table = Table(title=f"keras-compress inspect, whole process (empty Python: {empty:.3f} s)")
    table.add_column("file")
    for column in ("bytes", "seconds", "goal"):
        table.add_column(column, justify="right")
    rows = []
    for file in files:
        seconds = wall_time(
            [sys.executable, "-m", "keras_compress", "inspect", str(file)], args.runs
        )
        rows.append({"file": file.name, "bytes": file.stat().st_size, "seconds": seconds})
        reached = "reached" if seconds <= GOAL_S else "missed"
        table.add_row(file.name, f"{file.stat().st_size:,}", f"{seconds:.3f}", reached)
    Console().print(table)
    if args.json:
        record = {"goal_s": GOAL_S, "empty_python_s": empty, "runs": args.runs, "files": rows}
        storage.write_atomic(args.json, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
