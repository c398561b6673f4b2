"""`keras-compress architectures`: the nets to begin with, and what each takes."""

from __future__ import annotations

import argparse
import json
from typing import Any

from keras_compress.cli.files import add_force
from keras_compress.cli.number_options import at_least, number_in

_SIZE = "96x96x3"


def register(subparsers: Any) -> None:
    """Add `architectures` to the command's subparsers."""
    parser = subparsers.add_parser(
        "architectures",
        help="list small nets with parameters, MACs, bytes and latency",
        description=(
            "Build every net of keras_compress.architectures at every width for images of one "
            "size; count parameters and multiply-accumulates, export to float32 and int8, pack, "
            "and time both in LiteRT on this machine. Takes seconds a net: --only and "
            "--count-only make it shorter."
        ),
    )
    parser.add_argument(
        "--input",
        type=_shape,
        default=_shape(_SIZE),
        metavar="HxWxC",
        help=f"size of an image (default: {_SIZE})",
    )
    parser.add_argument(
        "--classes", type=at_least(2), default=10, metavar="N", help="classes (default: 10)"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PART",
        help='only nets whose name has this in it, such as "mobilenet" or "g3"; may be repeated',
    )
    parser.add_argument(
        "--count-only", action="store_true", help="count, and don't export, pack or time"
    )
    parser.add_argument(
        "--threads", type=at_least(1), default=1, metavar="N", help="threads (default: 1)"
    )
    parser.add_argument(
        "--min-secs",
        type=number_in(0),
        default=0.5,
        metavar="S",
        help="least seconds of timed runs of each file (default: 0.5)",
    )
    parser.add_argument("--plot", metavar="OUT.png", help="write a picture too (needs matplotlib)")
    add_force(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=_run)


def _shape(text: str) -> tuple[int, int, int]:
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"must be height x width x channels, not {text!r}")
    return int(parts[0]), int(parts[1]), int(parts[2])


def _run(args: argparse.Namespace) -> int:
    import os

    from keras_compress.storage import check_target

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if args.plot is not None:
        check_target(args.plot, replace=args.force)

    from keras_compress.exporter.quiet import quiet_native_output
    from keras_compress.recipes.architecture_plot import plot_architectures
    from keras_compress.recipes.architecture_table import architecture_table
    from keras_compress.search.progress import RichProgress

    with quiet_native_output(), RichProgress() as progress:
        rows = architecture_table(
            args.input,
            classes=args.classes,
            only=args.only,
            measure=not args.count_only,
            threads=args.threads,
            min_secs=args.min_secs,
            progress=progress,
        )
    if args.plot is not None:
        plot_architectures(rows, args.plot)
    if args.json:
        found = [row.to_dict() for row in rows]
        print(json.dumps({"input": list(args.input), "classes": args.classes, "nets": found}))
    else:
        _print_table(rows, args)
    return 0


def _print_table(rows: list[Any], args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    size = "x".join(map(str, args.input))
    table = Table(title=f"{size}, {args.classes} classes")
    table.add_column("Net", no_wrap=True)
    headings = ["Parameters", "MACs, M"]
    if not args.count_only:
        headings += ["float32, KB", "int8, KB", "packed, KB", "float32, ms", "int8, ms"]
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        if row.left_out:
            continue
        cells = [f"{row.parameters:,}", f"{row.macs / 1e6:,.2f}"]
        if not args.count_only:
            kilobytes = (row.float32_bytes, row.int8_bytes, row.packed_bytes)
            cells += [f"{n / 1000:,.0f}" for n in kilobytes]
            cells += [f"{row.float32_ms:.3f}", f"{row.int8_ms:.3f}"]
        table.add_row(row.name, *cells)
    console.print(table)
    for row in rows:
        if row.left_out:
            console.print(f"{row.name}: {row.left_out}", highlight=False, markup=False)
