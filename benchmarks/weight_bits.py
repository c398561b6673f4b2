"""Bits a kept weight in packed models, beside what bounds and other coders give the same integers.

    python benchmarks/weight_bits.py MODEL.tflite... [--json OUT]

For each tensor with at most 256 distinct values: the indices into its sorted values are coded
with `pack(codec="smallest")` (the tensor's share of the file), with constriction's ANS coder under
the best order-0 model (the frequencies themselves, which it isn't charged for), and with NNCodec's
DeepCABAC where `nncodec` is installed. Codebooks are left out of all columns. The i.i.d. bound is
entropy of the codes of kept weights, plus H(p) for each position.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from keras_compress import packing, storage

try:
    import constriction
except ImportError:
    constriction = None
try:
    from nncodec.extensions import deepCABAC as nnc  # noqa: N813
except ImportError:
    nnc = None

_TYPES = {"float32", "float16", "int8", "uint8"}


def entropy(counts: np.ndarray) -> float:
    """Bits of each of the things counted."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def ans_bytes(indices: np.ndarray) -> int | None:
    """Bytes of constriction's ANS under the frequencies of the indices themselves."""
    if constriction is None:
        return None
    shares = np.bincount(indices) / indices.size
    model = constriction.stream.model.Categorical(shares, perfect=False)
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(indices.astype(np.int32), model)
    return 4 * len(coder.get_compressed())


def nncodec_bytes(indices: np.ndarray, shape: tuple[int, ...]) -> int | None:
    """Bytes of NNCodec's DeepCABAC, zero index first, parameter optimization on."""
    if nnc is None:
        return None
    best = None
    levels = indices.astype(np.int32).reshape(shape[0], -1)
    channels = np.zeros(levels.shape[0], np.int32)
    for unary in (4, 10, 20):  # its default is 10
        encoder = nnc.Encoder()
        encoder.initCtxModels(unary, 1)
        off, none = nnc.HdspMode.AlwaysOff, np.array((0, 0), np.int8)
        encoder.encodeLayer(levels, 0, 0, 0, 0, 0, channels, off, none, 0, 0)
        size = len(encoder.finish().tobytes())
        best = size if best is None else min(best, size)
    return best


def measure(model: bytes) -> list[dict[str, Any]]:
    """One record for each tensor with a codebook."""
    packed = packing.pack(model, codec="smallest")
    rows = []
    file = packing.open_packed(packed)
    for place, tensor in enumerate(packing.inspect(packed).tensors):
        if tensor.distinct > 256 or tensor.count < 500 or tensor.dtype not in _TYPES:
            continue
        values = file.tensor(place).reshape(-1)
        book, indices = np.unique(values, return_inverse=True)
        indices = indices.reshape(-1)
        zero = int(np.flatnonzero(book == 0)[0]) if (book == 0).any() else None
        counts = np.bincount(indices)
        kept_counts = counts if zero is None else np.delete(counts, zero)
        kept = int(kept_counts.sum())
        p = kept / indices.size
        mask = 0.0 if p in (0, 1) else -p * math.log2(p) - (1 - p) * math.log2(1 - p)
        bound = kept * entropy(kept_counts) + indices.size * mask
        centred = indices - (int(counts.argmax()) if zero is None else zero)
        rows.append({
            "tensor": tensor.name,
            "shape": list(tensor.shape),
            "weights": indices.size,
            "kept": kept,
            "values": len(book),
            "packed_bytes": tensor.packed_bytes,
            "order0_bytes": indices.size * entropy(counts) / 8,
            "iid_bound_bytes": bound / 8,
            "constriction_bytes": ans_bytes(indices),
            "nncodec_bytes": nncodec_bytes(centred, tensor.shape),
        })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--json", type=Path, metavar="OUT")
    args = parser.parse_args()
    document: dict[str, Any] = {"models": []}
    for path in args.paths:
        model = path.read_bytes()
        rows = measure(model)
        table = Table(title=f"{path.name}: bits a kept weight")
        for column in ("tensor", "shape", "kept", "values", "ours", "i.i.d. bound", "under it",
                       "order 0", "constriction", "NNCodec"):  # fmt: skip
            table.add_column(column, justify="left" if column == "tensor" else "right")
        total = {
            key: sum(row[key] or 0 for row in rows) for key in rows[0] if key.endswith("bytes")
        }
        total.update(
            tensor="all", shape=[], values=0, kept=sum(row["kept"] for row in rows),
            weights=sum(row["weights"] for row in rows),
        )  # fmt: skip
        for row in [*rows, total]:

            def bits(key: str, row: dict[str, Any] = row) -> str:
                return f"{8 * row[key] / row['kept']:.3f}" if row[key] else "-"

            table.add_row(
                row["tensor"][-28:], "x".join(map(str, row["shape"])),
                f"{row['kept']:,} ({row['kept'] / row['weights']:.1%})", str(row["values"] or ""),
                bits("packed_bytes"), bits("iid_bound_bytes"),
                f"{1 - row['packed_bytes'] / row['iid_bound_bytes']:.1%}",
                bits("order0_bytes"), bits("constriction_bytes"), bits("nncodec_bytes"),
            )  # fmt: skip
        Console(width=150).print(table)
        packed = len(packing.pack(model, codec="smallest"))
        print(f"{path.name}: {len(model):,} bytes, packed {packed:,}, "
              f"{8 * packed / total['kept']:.3f} bits a kept weight, all told\n")  # fmt: skip
        document["models"].append(
            {"file": path.name, "raw": len(model), "packed": packed, "tensors": rows, "all": total}
        )
    if args.json:
        storage.write_atomic(args.json, json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
