"""`keras-compress inspect`: what is in a model file and what packing makes of it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from keras_compress.cli.codec_option import add_codec


def register(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "inspect",
        help="show the tensors of a .tflite or .kcz and how they are packed",
        description="Show each constant tensor of a .tflite or .kcz: zeros, distinct values, "
        "entropy, coder and bits per weight. A .tflite is packed in memory for it.",
    )
    parser.add_argument("file", metavar="FILE", help="a .tflite or .kcz; - for standard input")
    parser.add_argument("--base", metavar="OLD.tflite", help="the file that a patch was made for")
    parser.add_argument(
        "--compare", action="store_true", help="also run gzip, zstd, xz and brotli (slower)"
    )
    add_codec(parser, "what to pack a .tflite for")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from keras_compress import storage
    from keras_compress.packing.inspection import inspect

    base = None if args.base is None else storage.read_file(args.base)
    seen = inspect(args.file, codec=args.codec, compare=args.compare, base=base)
    if args.json:
        print(json.dumps(seen.to_dict(), indent=2))
    else:
        _print_table(seen)
    return 0


def _print_table(seen: Any) -> None:
    # Plain columns: a table library would take longer to import than the file to pack.
    header = ("tensor", "type", "shape", "zeros", "distinct", "entropy", "coder", "bits/weight",
              "over entropy", "bits/kept", "bytes")  # fmt: skip
    rows = [header]
    for tensor in seen.tensors:
        rows.append((
            _shorten(f"{tensor.part}/{tensor.name}" if tensor.part else tensor.name, 40),
            tensor.dtype,
            "x".join(map(str, tensor.shape)) or "-",
            f"{100 * tensor.zeros / tensor.count:.1f}%",
            str(tensor.distinct),
            f"{tensor.entropy:.3f}",
            tensor.coder,
            _number(tensor.bits_per_weight),
            "-" if tensor.over_entropy is None else f"{tensor.over_entropy:+.3f}",
            _number(tensor.bits_per_kept_weight),
            _number(tensor.packed_bytes, 0),
        ))  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join(cells))
    print()
    print(f"original         {seen.original_size:>10} bytes")
    print(f"packed           {seen.packed_size:>10} bytes, {seen.ratio:.2f} times smaller")
    print(f"  graph and plan {seen.skeleton_packed:>10} bytes, of {seen.skeleton_size}")
    if seen.needs_binary_kernels:
        print(
            "binary layers    as bits: open it with keras_compress.load_interpreter, or the "
            "fallback"
        )
    for name, size in seen.compared.items():
        print(f"{name:<17}{size:>10} bytes, {seen.original_size / size:.2f} times smaller")
    for note in seen.notes:
        print(f"note: {note}")
    for name in seen.not_compared:
        print(f"{name:<17} not installed: not compared")


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else "…" + text[-(width - 1) :]


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
