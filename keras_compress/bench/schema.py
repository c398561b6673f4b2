"""Checking a document against the written schema, `result.schema.json`, beside this file.

The schema uses a handful of JSON Schema's keywords, and those are what is implemented here, so
that reading a result needs no package. A keyword that is not known here is an error, not a
check left out.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from keras_compress.errors import KerasCompressError

__all__ = ["check", "load_schema"]

_NO_CHECK = {"$schema", "$id", "$defs", "title", "description"}

_TYPES: dict[str, tuple[type, ...]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}


@functools.cache
def load_schema() -> dict[str, Any]:
    """Return the schema of a benchmark result."""
    text = resources.files("keras_compress.bench").joinpath("result.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def check(document: object) -> None:
    """Raise `KerasCompressError`, naming the place, if `document` doesn't follow the schema."""
    _check(document, load_schema(), "result")


def _check(value: object, schema: dict[str, Any], place: str) -> None:
    for keyword, rule in schema.items():
        if keyword in _NO_CHECK:
            continue
        if keyword == "$ref":
            _check(value, load_schema()["$defs"][rule.removeprefix("#/$defs/")], place)
        elif keyword == "type":
            names = [rule] if isinstance(rule, str) else rule
            if not any(_is(value, name) for name in names):
                raise _wrong(place, f"must be of type {' or '.join(names)}", value)
        elif keyword == "enum":
            if value not in rule:
                raise _wrong(place, f"must be one of {', '.join(rule)}", value)
        elif keyword == "minimum":
            if isinstance(value, int | float) and value < rule:
                raise _wrong(place, f"must be at least {rule}", value)
        elif keyword == "required":
            missing = [name for name in rule if isinstance(value, dict) and name not in value]
            if missing:
                raise KerasCompressError(
                    f"A benchmark result lacks what the schema requires. Received: {place} "
                    f"without {', '.join(missing)}."
                )
        elif keyword == "properties":
            for name, inner in rule.items():
                if isinstance(value, dict) and name in value:
                    _check(value[name], inner, f"{place}.{name}")
        elif keyword == "items":
            for number, item in enumerate(value if isinstance(value, list) else []):
                _check(item, rule, f"{place}[{number}]")
        else:
            raise KerasCompressError(f"The schema's keyword {keyword!r} is not implemented.")


def _is(value: object, name: str) -> bool:
    # To Python a bool is an int; to JSON it isn't.
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name])


def _wrong(place: str, rule: str, value: object) -> KerasCompressError:
    shown = repr(value)
    return KerasCompressError(
        f"In a benchmark result {place} {rule}. Received: {shown[:80]}"
        f"{' ...' if len(shown) > 80 else ''}"
    )
