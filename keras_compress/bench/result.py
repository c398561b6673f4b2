"""What a benchmark found: one schema for host and phone, with unknown fields kept."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from typing import Any

from keras_compress.bench.schema import check
from keras_compress.errors import KerasCompressError
from keras_compress.storage import read_file, write_atomic

__all__ = ["SCHEMA_VERSION", "BenchmarkResult", "ModelResult", "load_result"]

SCHEMA_VERSION = 1

_LARGEST_RESULT = 32 * 1024 * 1024


class ModelResult:
    """The measurements of one model: properties over an entry of a result's `models`."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    @property
    def name(self) -> str:
        return str(self._fields["name"])

    @property
    def median_ms(self) -> float:
        """Median time of one inference in milliseconds."""
        return float(self._fields["latency_metrics"]["median_ms"])

    @property
    def init_ms(self) -> float:
        """Time of the first initialization in milliseconds; decoding is not part of it."""
        return float(self._fields["latency_metrics"]["init_ms"])

    @property
    def decode_ms(self) -> float:
        """Time of the first unpacking in milliseconds, 0 for a `.tflite`."""
        return float(self._fields.get("decode", {}).get("decode_ms", 0.0))

    @property
    def file_bytes(self) -> int:
        """Size of the file as shipped."""
        decode = self._fields.get("decode", {})
        if "file_bytes" in decode:
            return int(decode["file_bytes"])
        return round(self._fields["misc_metrics"]["model_size_mb"] * 1e6)

    @property
    def is_baseline(self) -> bool:
        return bool(self._fields.get("is_baseline", False))

    @property
    def comparison(self) -> Mapping[str, Any] | None:
        """Ratios and verdict beside the baseline; `None` if there is none or this is it."""
        found: Mapping[str, Any] | None = self._fields.get("comparison")
        return found

    def to_dict(self) -> dict[str, Any]:
        return copy.deepcopy(dict(self._fields))


class BenchmarkResult:
    """A run of `bench`, here or on a phone.

    It holds the document as it was read, so that what this version doesn't know is kept.

    Args:
        document: A document that follows `result.schema.json`.

    Raises:
        KerasCompressError: If it doesn't, or is of a newer version. The message names the field.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        version = document.get("schema_version") if isinstance(document, Mapping) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise KerasCompressError(
                f"This version reads benchmark results up to schema version {SCHEMA_VERSION}. "
                f"Received: schema_version={version}. Update keras-compress."
            )
        check(document)
        self._document = copy.deepcopy(dict(document))

    @property
    def models(self) -> tuple[ModelResult, ...]:
        return tuple(ModelResult(fields) for fields in self._document["models"])

    @property
    def baseline(self) -> ModelResult | None:
        return next((model for model in self.models if model.is_baseline), None)

    @property
    def environment(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._document["environment"]
        return found

    @property
    def settings(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._document["settings"]
        return found

    def model(self, name: str) -> ModelResult:
        """Return the model called `name`.

        Raises:
            KerasCompressError: If there is none.
        """
        for model in self.models:
            if model.name == name:
                return model
        raise KerasCompressError(
            f"The result must hold the model asked for. Received: {name!r}; it holds "
            f"{', '.join(repr(m.name) for m in self.models)}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the whole document, ready for JSON."""
        return copy.deepcopy(self._document)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the document to `path`; an older file stays whole until the new one is."""
        write_atomic(path, json.dumps(self._document, indent=1, allow_nan=False) + "\n")


def load_result(path: str | os.PathLike[str]) -> BenchmarkResult:
    """Read a benchmark result, from this machine or another.

    Raises:
        KerasCompressError: If the file is missing, too large, not JSON, or not a result.
    """
    data = read_file(path, limit=_LARGEST_RESULT)
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, ValueError) as error:
        raise KerasCompressError(
            f"A benchmark result is a JSON document. Received: {path} "
            f"({' '.join(str(error).split())[:200] or type(error).__name__})."
        ) from error
    return BenchmarkResult(document)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON knows")
