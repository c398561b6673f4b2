"""The option `--codec` of the commands that pack."""

from __future__ import annotations

import argparse

CODECS = ("auto", "fast", "small", "smallest")


def add_codec(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the option; `what` begins its help."""
    parser.add_argument(
        "--codec",
        choices=CODECS,
        default="auto",
        help=f"{what}. fast: unpacks fastest; small: unpacks faster than xz; smallest: takes the "
        "time it needs; auto: the smallest file that unpacks within some 0.3 seconds (default)",
    )
