"""`keras-compress pack`: a `.tflite` into a packed file."""

from __future__ import annotations

import argparse
from typing import Any

from keras_compress.cli.codec_option import add_codec
from keras_compress.cli.files import add_outputs, for_each_file


def register(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "pack",
        help="pack a .tflite, lossless, into a .kcz",
        description="Pack a .tflite into a .kcz that `unpack` restores byte for byte. The result "
        "is unpacked and compared before it takes its place.",
    )
    parser.add_argument(
        "models", metavar="IN.tflite", nargs="+", help="the files to pack; - for standard input"
    )
    add_outputs(parser, ".kcz")
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

    def work(source: str, target: str) -> dict[str, Any]:
        return pack_file(
            source, target, codec=args.codec, any_file=args.any, base=args.base
        ).to_dict()

    return for_each_file(args, args.models, work, _say)


def _say(sizes: dict[str, Any]) -> str:
    line = (
        f"{sizes['target']}: {sizes['packed_size']} bytes, {sizes['ratio']:.2f} times smaller than "
        f"{sizes['source']} ({sizes['original_size']} bytes)"
    )
    if sizes["needs_binary_kernels"]:
        line += (
            "\nIt holds binary layers: open it with keras_compress.load_interpreter. Its fallback "
            "in built-in operators is a file of its own, and is not packed with it."
        )
    return line
