"""Numbers as a reader wants them: few digits, the unit beside, a dash where there is none."""

from __future__ import annotations

__all__ = [
    "NOTHING",
    "bits",
    "byte_count",
    "change_in_points",
    "count",
    "milliseconds",
    "percent",
    "plain",
    "ratio",
    "seconds",
    "share",
]

NOTHING = "\u2013"
_GAP = "\u00a0"  # a no-break space, so that a unit stays with its number


def plain(value: float | None, digits: int = 4) -> str:
    """Return `value` with `digits` significant digits."""
    return NOTHING if value is None else f"{value:.{digits}g}"


def count(value: int | None) -> str:
    """Return `value` with thousands apart."""
    return NOTHING if value is None else f"{value:,}"


def byte_count(value: int | None) -> str:
    """Return `value` bytes in B, kB (1000 bytes) or MB, with three significant digits."""
    if value is None:
        return NOTHING
    for unit, size in (("MB", 1_000_000), ("kB", 1_000)):
        if value >= size:
            number = value / size
            return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f}{_GAP}{unit}"
    return f"{value}{_GAP}B"


def percent(value: float | None, digits: int = 2) -> str:
    """Return a share from 0 to 1 in per cent."""
    return NOTHING if value is None else f"{100 * value:.{digits}f}{_GAP}%"


def share(value: float | None) -> str:
    """Return a share from 0 to 1 in per cent, with one digit."""
    return percent(value, 1)


def change_in_points(value: float | None, baseline: float | None) -> str:
    """Return how far the share `value` lies from `baseline`, in percentage points, signed."""
    if value is None or baseline is None:
        return NOTHING
    points = round(100 * (value - baseline), 2)
    if points == 0:
        return "no change"
    sign = "+" if points > 0 else "\u2212"
    return f"{sign}{abs(points):.2f} points"


def ratio(value: float | None) -> str:
    """Return a ratio with a multiplication sign."""
    if value is None:
        return NOTHING
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}\u00d7"


def milliseconds(value: float | None) -> str:
    """Return `value` milliseconds, in µs where they are few."""
    if value is None:
        return NOTHING
    if 0 < value < 1:
        number = 1000 * value
        return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f}{_GAP}µs"
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}{_GAP}ms"


def seconds(value: float | None) -> str:
    """Return `value` seconds, in minutes where they are many."""
    if value is None:
        return NOTHING
    if value < 120:
        return f"{value:.1f}{_GAP}s"
    return f"{value / 60:.1f}{_GAP}min"


def bits(value: float | None) -> str:
    """Return a number of bits, with two digits."""
    return NOTHING if value is None else f"{value:.2f}"
