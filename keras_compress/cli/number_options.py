"""Types of number options: what is out of range is wrong usage, exit code 2."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

__all__ = ["at_least", "number_in", "seed", "size", "whole_number"]


def whole_number(lowest: int, highest: int | None = None) -> Callable[[str], int]:
    """Return a type of argument: whole numbers from `lowest` to `highest` (`None`: any)."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None
        if value < lowest or (highest is not None and value > highest):
            upper = "" if highest is None else f" and at most {highest}"
            raise argparse.ArgumentTypeError(f"must be at least {lowest}{upper}, not {value}")
        return value

    return number


def at_least(lowest: int) -> Callable[[str], int]:
    """Return a type of argument: whole numbers from `lowest` on."""
    return whole_number(lowest)


def seed(text: str) -> int:
    """A type of argument: seeds, from 0 to 4294967295."""
    return whole_number(0, 2**32 - 1)(text)


def number_in(
    lowest: float, highest: float = sys.float_info.max, *, above: bool = False
) -> Callable[[str], float]:
    """Return a type of argument: numbers from `lowest` to `highest`; with `above`, but for it."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None
        if not lowest <= value <= highest or (above and value == lowest):
            word = "above" if above else "at least"
            upper = "finite" if highest == sys.float_info.max else f"at most {highest:g}"
            raise argparse.ArgumentTypeError(f"must be {word} {lowest:g} and {upper}, not {text}")
        return value

    return number


def size(text: str) -> int:
    """A type of argument: bytes, as a number or as 30KB or 12KiB."""
    from keras_compress.recipes.compression_target import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
