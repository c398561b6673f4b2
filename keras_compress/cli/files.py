"""Files that a command reads and writes, one at a time: names, `-`, what may be replaced."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from keras_compress.errors import KerasCompressError
from keras_compress.storage import STANDARD, check_target

__all__ = ["add_force", "add_outputs", "for_each_file"]


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add the option without which no file is replaced."""
    parser.add_argument("-f", "--force", action="store_true", help="replace files that are there")


def add_outputs(parser: argparse.ArgumentParser, suffix: str) -> None:
    """Add where results go: by default beside each input, with `suffix`."""
    parser.add_argument(
        "-o",
        "--output",
        metavar=f"OUT{suffix}",
        help=f"file to write, - for standard output (default: the input's name with {suffix}; "
        "from standard input to standard output)",
    )
    parser.add_argument("--out-dir", metavar="DIR", help="folder for the results of all inputs")
    add_force(parser)
    parser.set_defaults(suffix=suffix, wrong_usage=parser.error)


def for_each_file(
    args: argparse.Namespace,
    inputs: list[str],
    work: Callable[[str, str], dict[str, Any]],
    say: Callable[[dict[str, Any]], str],
) -> int:
    """Call `work` with each input and its output, and print what came of it; return the exit code.

    A file that fails is named, and the next one comes: the exit code is 1 then. What is printed
    goes to stderr where a result takes standard output.
    """
    wrong_usage: Callable[[str], NoReturn] = args.wrong_usage
    if args.output is not None and args.out_dir is not None:
        wrong_usage("--output and --out-dir can't both be given")
    if args.output not in (None, STANDARD) and len(inputs) > 1:
        wrong_usage("--output names one file, and there are several inputs; use --out-dir")
    if args.output == STANDARD and len(inputs) > 1:
        wrong_usage("results of several inputs can't share standard output; use --out-dir")
    if inputs.count(STANDARD) > 1:
        wrong_usage("standard input can be read once")
    targets = [_target(args, source) for source in inputs]
    if len({os.path.realpath(target) for target in targets}) < len(targets):
        wrong_usage("two inputs would be written to one file; name them one at a time")
    done, failed = [], False
    for source, target in zip(inputs, targets, strict=True):
        out = sys.stderr if target == STANDARD else sys.stdout
        try:
            check_target(target, source, args.base, replace=args.force)
            done.append(work(source, target))
        except KerasCompressError as error:
            if len(inputs) == 1:
                raise
            message = " ".join(str(error).split())
            print(f"keras-compress: error: {message}", file=sys.stderr)
            failed = True
            continue
        if not args.json:
            print(say(done[-1]), file=out)
    if args.json:
        out = sys.stderr if STANDARD in targets else sys.stdout
        print(json.dumps(done[0] if len(inputs) == 1 else done, indent=2), file=out)
    return 1 if failed else 0


def _target(args: argparse.Namespace, source: str) -> str:
    if args.output is not None:
        return str(args.output)
    if source == STANDARD:
        if args.out_dir is not None:
            args.wrong_usage("what comes from standard input has no name for --out-dir")
        return STANDARD
    name = os.path.splitext(source)[0] + str(args.suffix)
    return name if args.out_dir is None else os.path.join(args.out_dir, os.path.basename(name))
