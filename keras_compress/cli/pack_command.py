"""`keras-compress pack`: a `.tflite` into a packed file."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from keras_compress.cli.codec_option import add_codec


def register(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "pack",
        help="pack a .tflite, lossless, into a .kcz",
        description="Pack a .tflite into a .kcz that `unpack` restores byte for byte. The result "
        "is unpacked and compared before it takes its place.",
    )
    parser.add_argument("model", metavar="IN.tflite", help="the file to pack")
    parser.add_argument(
        "-o", "--output", metavar="OUT.kcz", help="default: the input's name with .kcz"
    )
    add_codec(parser, "what to pack for")
    parser.add_argument(
        "--base",
        metavar="OLD.tflite",
        help="make a patch: `unpack --base OLD.tflite` restores IN.tflite from it",
    )
    parser.add_argument("--any", action="store_true", help="accept files that are no .tflite")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from keras_compress.packing.pack import pack_file

    target = args.output or os.path.splitext(args.model)[0] + ".kcz"
    sizes = pack_file(args.model, target, codec=args.codec, any_file=args.any, base=args.base)
    if args.json:
        print(json.dumps(sizes.to_dict(), indent=2))
    else:
        print(
            f"{sizes.target}: {sizes.packed_size} bytes, "
            f"{sizes.ratio:.2f} times smaller than {sizes.source} ({sizes.original_size} bytes)"
        )
        if sizes.needs_binary_kernels:
            print(
                "It holds binary layers: open it with keras_compress.load_interpreter. Its twin in "
                "built-in operators is a file of its own, and is not packed with it."
            )
    return 0
