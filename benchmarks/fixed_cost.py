"""What of a small packed file is not weights: its frame, and its graph with the plan.

    python benchmarks/fixed_cost.py NET.tflite... [--json OUT]

Packed with `codec="smallest"`. A codebook with nothing in common but its values stands in the plan
and so counts here, though it is part of the weights.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from keras_compress import packing, storage


def measure(path: Path) -> dict[str, int | str]:
    """Return the bytes of one file's parts."""
    data = path.read_bytes()
    packed = packing.pack(data, codec="smallest")
    if packing.unpack(packed) != data:
        raise SystemExit(f"{path} doesn't come back as it was.")
    seen = packing.inspect(packed)
    buffers = round(sum(tensor.packed_bytes or 0 for tensor in seen.tensors))
    return {
        "file": path.name,
        "packed": len(packed),
        "buffers": buffers,
        "graph_and_plan": seen.skeleton_packed,
        "frame": len(packed) - buffers - seen.skeleton_packed,
        "not_weights": len(packed) - buffers,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--json", type=Path, default=None, metavar="OUT")
    args = parser.parse_args()
    rows = [measure(path) for path in args.files]
    for row in rows:
        print(*(f"{key} {value}" for key, value in row.items()), sep="  ")
    if args.json:
        storage.write_atomic(args.json, json.dumps({"schema_version": 1, "files": rows}, indent=1))


if __name__ == "__main__":
    main()
