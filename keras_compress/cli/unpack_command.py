"""`keras-compress unpack`: a packed file back into the `.tflite` it was made from."""

from __future__ import annotations

import argparse
import json
from typing import Any

from keras_compress.cli.files import add_outputs, for_each_file
from keras_compress.cli.number_options import at_least


def register(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "unpack",
        help="restore the .tflite from a .kcz",
        description="Restore the .tflite that a .kcz was made from, byte for byte.",
    )
    parser.add_argument(
        "packed", metavar="IN.kcz", nargs="+", help="the packed files; - for standard input"
    )
    add_outputs(parser, ".tflite")
    parser.add_argument(
        "--max-size",
        type=at_least(0),
        metavar="BYTES",
        help="refuse files that declare more than so many bytes",
    )
    parser.add_argument("--base", metavar="OLD.tflite", help="the file that a patch was made for")
    parser.add_argument(
        "--threads",
        type=at_least(1),
        default=1,
        metavar="N",
        help="decode with so many (default: 1)",
    )
    parser.add_argument("--check", action="store_true", help="check everything, and write nothing")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from keras_compress import storage
    from keras_compress.packing.pack import unpack_file, verify

    if args.check:
        base = None if args.base is None else storage.read_file(args.base)
        whole = []
        for path in args.packed:
            verify(path, max_size=args.max_size, threads=args.threads, base=base)
            whole.append({"source": path, "whole": True})
            if not args.json:
                print(f"{path}: whole")
        if args.json:
            print(json.dumps(whole[0] if len(whole) == 1 else whole))
        return 0

    def work(source: str, target: str) -> dict[str, Any]:
        return unpack_file(
            source, target, max_size=args.max_size, threads=args.threads, base=args.base
        ).to_dict()

    return for_each_file(
        args, args.packed, work, lambda sizes: f"{sizes['target']}: {sizes['original_size']} bytes"
    )
