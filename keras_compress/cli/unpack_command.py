"""`keras-compress unpack`: a packed file back into the `.tflite` it was made from."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any


def register(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "unpack",
        help="restore the .tflite from a .kcz",
        description="Restore the .tflite that a .kcz was made from, byte for byte.",
    )
    parser.add_argument("packed", metavar="IN.kcz", help="the packed file")
    parser.add_argument(
        "-o", "--output", metavar="OUT.tflite", help="default: the input's name with .tflite"
    )
    parser.add_argument(
        "--max-size",
        type=int,
        metavar="BYTES",
        help="refuse files that declare more than so many bytes",
    )
    parser.add_argument("--base", metavar="OLD.tflite", help="the file that a patch was made for")
    parser.add_argument("--threads", type=int, default=1, help="decode with so many (default: 1)")
    parser.add_argument("--check", action="store_true", help="check everything, and write nothing")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from keras_compress import storage
    from keras_compress.packing.pack import unpack_file, verify

    if args.check:
        base = None if args.base is None else storage.read_file(args.base)
        verify(args.packed, max_size=args.max_size, threads=args.threads, base=base)
        print(json.dumps({"source": args.packed, "whole": True}) if args.json else
              f"{args.packed}: whole")  # fmt: skip
        return 0
    target = args.output or os.path.splitext(args.packed)[0] + ".tflite"
    sizes = unpack_file(
        args.packed, target, max_size=args.max_size, threads=args.threads, base=args.base
    )
    if args.json:
        print(json.dumps(sizes.to_dict(), indent=2))
    else:
        print(f"{sizes.target}: {sizes.original_size} bytes")
    return 0
