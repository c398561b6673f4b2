"""Reads a report from outside: every value is checked where it is taken, and named if bad."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from keras_compress.errors import KerasCompressError

__all__ = ["LARGEST_REPORT", "Node", "parse"]

LARGEST_REPORT = 64 << 20  # bytes; a report of a thousand layers has about one million
_LONGEST_LIST = 100_000


def parse(data: bytes, *, origin: str = "The report") -> dict[str, Any]:
    """Return the JSON object in `data`.

    Args:
        data: UTF-8 bytes.
        origin: What the errors call the file. Defaults to `"The report"`.

    Raises:
        KerasCompressError: If it is no JSON object, or holds NaN or infinity.
    """
    try:
        value = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise KerasCompressError(
            f"{origin} must be JSON in UTF-8. Received: bytes that are no UTF-8 at offset "
            f"{error.start}."
        ) from error
    except RecursionError as error:
        raise KerasCompressError(f"{origin} is nested too deeply for a report.") from error
    except ValueError as error:
        raise KerasCompressError(
            f"{origin} must be JSON, as `keras-compress demo` writes it. Received: {error}"
        ) from error
    if not isinstance(value, dict):
        raise KerasCompressError(
            f"{origin} must be one JSON object. Received: a JSON {_kind(value)}."
        )
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name}, which is no JSON number")


class Node:
    """One value of a report, with its path for the errors.

    Every method takes a key, returns the value under it once checked, and `None` (or nothing to
    iterate over) where the key is absent or null: a report may leave any part out.

    Args:
        value: A JSON object.
        path: Where it stands in the report, as in `layers[3]`. Defaults to the top.
    """

    def __init__(self, value: Mapping[str, object], path: str = "") -> None:
        self._value = value
        self._path = path

    @property
    def value(self) -> Mapping[str, Any]:
        """The object itself, unchecked."""
        return self._value

    def keys(self) -> list[str]:
        """Return the names of the fields, in the order of the file."""
        return list(self._value)

    def node(self, key: str) -> Node | None:
        """Return the object under `key`."""
        value = self._value.get(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self._bad(key, "an object", value)
        return Node(value, self._join(key))

    def nodes(self, key: str) -> Iterator[Node]:
        """Yield the objects of the list under `key`."""
        for index, value in enumerate(self._list(key)):
            if not isinstance(value, Mapping):
                raise self._bad(f"{key}[{index}]", "an object", value)
            yield Node(value, f"{self._join(key)}[{index}]")

    def string(self, key: str) -> str | None:
        """Return the text under `key`."""
        value = self._value.get(key)
        if value is not None and not isinstance(value, str):
            raise self._bad(key, "text", value)
        return value

    def strings(self, key: str) -> list[str]:
        """Return the list of texts under `key`."""
        values = self._list(key)
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise self._bad(f"{key}[{index}]", "text", value)
        return values

    def flag(self, key: str) -> bool | None:
        """Return the truth value under `key`."""
        value = self._value.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._bad(key, "true or false", value)
        return value

    def number(
        self, key: str, *, minimum: float = -math.inf, maximum: float = math.inf
    ) -> float | None:
        """Return the finite number under `key`, from `minimum` to `maximum`."""
        value = self._value.get(key)
        if value is None:
            return None
        rule = "a finite number"
        if minimum > -math.inf:
            rule += (
                f" from {minimum:g} to {maximum:g}"
                if maximum < math.inf
                else f", at least {minimum:g}"
            )
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._bad(key, rule, value)
        try:
            number = float(value)
        except OverflowError:
            raise self._bad(key, rule, "a whole number of hundreds of digits") from None
        if not math.isfinite(number) or not minimum <= number <= maximum:
            raise self._bad(key, rule, value)
        return number

    def count(self, key: str, *, maximum: int = 1 << 53) -> int | None:
        """Return the whole number under `key`, from 0 to `maximum`."""
        value = self._value.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= maximum:
            raise self._bad(key, f"a whole number from 0 to {maximum}", value)
        return value

    def counts(self, key: str, *, longest: int) -> list[int]:
        """Return the list of whole numbers under `key`, of at most `longest` items."""
        values = self._list(key, longest=longest)
        items = Node({str(index): value for index, value in enumerate(values)}, self._join(key))
        counts = (items.count(str(index)) for index in range(len(values)))
        return [0 if count is None else count for count in counts]

    def _list(self, key: str, *, longest: int = _LONGEST_LIST) -> list[Any]:
        value = self._value.get(key)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise self._bad(key, "a list", value)
        if len(value) > longest:
            raise self._bad(key, f"a list of at most {longest} items", f"{len(value)} items")
        return list(value)

    def _join(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def _bad(self, key: str, rule: str, value: object) -> KerasCompressError:
        return KerasCompressError(
            f"In a report `{self._join(key)[:200]}` must be {rule}. Received: {_short(value)}"
        )


def _short(value: object) -> str:
    if isinstance(value, Mapping | list):
        return f"a JSON {_kind(value)}"
    try:
        shown = repr(value)
    except ValueError:  # Python refuses to print whole numbers of thousands of digits
        shown = "a number too long to show"
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _kind(value: object) -> str:
    kinds = {dict: "object", list: "list", str: "string", bool: "truth value", type(None): "null"}
    return kinds.get(type(value), "number")
