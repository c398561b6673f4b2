"""What restoring takes, by kind of tensor: the times that `auto`'s budget counts with.

    python benchmarks/decode_costs.py [--json OUT] [--runs 7] [--size 262144]

For each kind of tensor a file of one is packed with `smallest`, which takes the models that mix
predictions, and with `small`, and restored by one thread: nanoseconds of processor time a byte of
the tensor, the best of the runs, less what an almost empty file takes. Then a file of each kind,
sixteen times as large, is packed with `auto`, which promises to restore in 0.3 s. *graph* is text
without a tensor. The machine's speed is named by its processor and by what `lzma` of the standard
library takes for a fixed text, so that figures of two machines can be held against each other.
"""

from __future__ import annotations

import argparse
import json
import lzma
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from ai_edge_litert import schema_py_generated as schema

sys.path.insert(0, str(Path(__file__).parents[1]))
from keras_compress import packing, storage
from tests.packing.foreign_models import Foreign, nibbles
from tests.packing.quantizers import blockwise, weights

_T = schema.TensorType
_COLUMNS = 512


def best(call: Callable[[], Any], runs: int) -> float:
    """Seconds of processor time."""
    times = []
    for _ in range(runs):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return min(times)


def _text(size: int) -> bytes:
    lines, at = [], 0
    rng = np.random.default_rng(5)
    names = ["conv", "dense", "bias", "kernel", "mean", "gamma", "moving", "depthwise"]
    while at < size:
        lines.append(f"{'/'.join(rng.choice(names, 3))}_{rng.integers(1000)}\n".encode())
        at += len(lines[-1])
    return b"".join(lines)[:size]


def kinds(size: int) -> dict[str, tuple[int, bytes]]:
    """Name -> type, and about `size` bytes."""
    rng = np.random.default_rng(3)

    def dense(width: float) -> np.ndarray:
        return weights(max(1, int(size / width / _COLUMNS)), _COLUMNS, 4) * 20

    def whole(values: np.ndarray, low: int, high: int) -> np.ndarray:
        return np.clip(np.round(values), low, high)

    def book(values: int, width: int) -> np.ndarray:
        spread = values // 5
        numbers = whole(dense(width) * spread + values // 2, 0, values - 1).astype(int)
        return rng.normal(size=values)[numbers]

    sparse = np.where(rng.uniform(size=dense(4).shape) < 0.2, dense(4), 0)
    rows = dense(4).shape[0] // 16 * 16
    return {
        "float32": (_T.FLOAT32, dense(4).astype("<f4").tobytes()),
        "float32, a fifth kept": (_T.FLOAT32, sparse.astype("<f4").tobytes()),
        "float32 of 256 values": (_T.FLOAT32, book(256, 4).astype("<f4").tobytes()),
        "float32, int4 in blocks": (_T.FLOAT32, blockwise("int4", (rows, 512), 32).tobytes()),
        "float32, int8 in blocks": (_T.FLOAT32, blockwise("q8_0", (rows, 512), 32).tobytes()),
        "float16": (_T.FLOAT16, dense(2).astype("<f2").tobytes()),
        "float16 of 256 values": (_T.FLOAT16, book(256, 2).astype("<f2").tobytes()),
        "bfloat16": (_T.BFLOAT16, dense(2).astype(ml_dtypes.bfloat16).tobytes()),
        "int8": (_T.INT8, whole(dense(1) * 20, -127, 127).astype(np.int8).tobytes()),
        "uint8": (_T.UINT8, whole(dense(1) * 20 + 128, 0, 255).astype(np.uint8).tobytes()),
        "int4": (_T.INT4, nibbles(whole(dense(0.5) * 2, -8, 7), 4)),
        "int2": (_T.INT2, nibbles(whole(dense(0.25), -2, 1), 2)),
        "int16": (_T.INT16, whole(dense(2) * 3000, -32767, 32767).astype("<i2").tobytes()),
        "int16 of 200 values": (_T.INT16, whole(dense(2) * 30, -99, 99).astype("<i2").tobytes()),
        "int32": (_T.INT32, whole(dense(4) * 30000, -(2**30), 2**30).astype("<i4").tobytes()),
        "int64": (_T.INT64, whole(dense(8) * 30000, -(2**30), 2**30).astype("<i8").tobytes()),
        "float64": (_T.FLOAT64, dense(8).astype("<f8").tobytes()),
        "bool": (_T.BOOL, (dense(1) > 0).tobytes()),
        "string": (_T.STRING, _text(size)),
        "uint8 text": (_T.UINT8, _text(size)),
    }  # fmt: skip


def file_of(kind: int, data: bytes) -> bytes:
    """A model of this tensor, in rows of 512 elements."""
    f = Foreign()
    in_bytes = {_T.FLOAT32: 4, _T.INT32: 4, _T.INT64: 8, _T.FLOAT64: 8, _T.FLOAT16: 2}
    width = {**in_bytes, _T.BFLOAT16: 2, _T.INT16: 2, _T.INT4: 0.5, _T.INT2: 0.25}.get(kind, 1)
    count = int(len(data) / width)
    shape = (count // _COLUMNS, _COLUMNS) if count % _COLUMNS == 0 else (count,)
    f.tensor("w", kind, shape, f.buffer(data))
    return f.finish()


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":")[1].strip() if lines else model
    text = _text(1 << 20)
    packed = lzma.compress(text, preset=6)
    seconds = best(lambda: lzma.decompress(packed), 5)
    return {"processor": model, "unlzma_mb_a_second": round(len(text) / 1e6 / seconds, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=None, metavar="OUT")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--size", type=int, default=1 << 18, help="bytes of a tensor")
    args = parser.parse_args()
    on = machine()
    print(f"{on['processor']}; lzma restores {on['unlzma_mb_a_second']} MB/s")
    empty = file_of(_T.FLOAT32, bytes(64))
    fixed = {}
    for codec in ("smallest", "small"):
        packed = packing.pack(empty, codec=codec)
        fixed[codec] = best(lambda packed=packed: packing.unpack(packed), args.runs)
    print(f"{'kind':<26}{'smallest':>22}{'small':>22}   ns a byte      auto, 16 times as much: s")
    rows = []
    large = kinds(16 * args.size)
    for name, (kind, data) in {**kinds(args.size), "graph": (-1, _text(args.size))}.items():
        row: dict[str, Any] = {"kind": name, "bytes": len(data)}
        model = data if kind < 0 else file_of(kind, data)
        for codec in ("smallest", "small"):
            packed = packing.pack(model, codec=codec)
            seconds = best(lambda packed=packed: packing.unpack(packed), args.runs) - fixed[codec]
            coder = "graph" if kind < 0 else packing.inspect(packed).tensors[0].coder
            row[codec] = {"coder": coder, "ns_a_byte": round(seconds * 1e9 / len(data), 1)}
        more = _text(16 * args.size) if kind < 0 else file_of(kind, large[name][1])
        packed = packing.pack(more)
        row["auto_s"] = round(best(lambda packed=packed: packing.unpack(packed), 3), 3)
        rows.append(row)
        columns = "".join(f"{row[c]['coder']:>15}{row[c]['ns_a_byte']:>7.1f}" for c in fixed)
        print(f"{name:<26}{columns}{row['auto_s']:>28.3f}", flush=True)
    if args.json:
        document = {"schema_version": 1, "machine": on, "tensor_bytes": args.size, "kinds": rows}
        storage.write_atomic(args.json, json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
