"""Checks of arguments that several packages take."""

from __future__ import annotations

from typing import Any

from keras_compress.errors import KerasCompressError

__all__ = ["check_count", "check_max_drop"]


def check_count(name: str, value: object, *, minimum: int = 1) -> int:
    """Return `value` if it is a whole number of at least `minimum`.

    Raises:
        KerasCompressError: If it isn't.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise KerasCompressError(
            f"`{name}` must be an int of at least {minimum}. Received: {name}={value!r}."
        )
    return value


def check_max_drop(value: Any) -> None:
    """Raise unless `value` is a number of percentage points from 0 to 100.

    Raises:
        KerasCompressError: If it isn't.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= 100:
        raise KerasCompressError(
            "`max_drop` must be a number of percentage points from 0 to 100. "
            f"Received: max_drop={value!r}."
        )
