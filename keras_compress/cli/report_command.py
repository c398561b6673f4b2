"""`keras-compress report`: turns a report.json into a page that opens offline."""

from __future__ import annotations

import argparse
from typing import Any

from keras_compress.cli.files import add_force


def register(subparsers: Any) -> None:
    """Add `report` to the command's subparsers."""
    parser = subparsers.add_parser(
        "report",
        help="turn a report.json into one HTML page",
        description=(
            "Turn a report.json, as `demo` and `export` write it, into one self-contained HTML "
            "page: sizes, accuracy and latency side by side, the weights layer by layer, the "
            "packed file tensor by tensor. It opens offline and holds no script."
        ),
    )
    parser.add_argument("report", metavar="REPORT.json", help="the report to read")
    parser.add_argument(
        "--out",
        metavar="FILE.html",
        help="where to write the page (default: beside the report, ending in .html)",
    )
    add_force(parser)
    parser.add_argument(
        "--json", action="store_true", help="print what was written as JSON instead of a line"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from keras_compress.report import LARGEST_REPORT, parse, render
    from keras_compress.storage import check_target, read_file, write_atomic

    source = Path(args.report)
    target = Path(args.out) if args.out else source.with_suffix(".html")
    check_target(target, source, replace=args.force)
    report = parse(read_file(source, limit=LARGEST_REPORT), origin=str(source))
    page = render(report).encode("utf-8", "replace")
    write_atomic(target, page, made_from=source)
    if args.json:
        print(json.dumps({"report": str(source), "page": str(target), "bytes": len(page)}))
    else:
        print(f"{target} ({len(page):,} bytes)")
    return 0
