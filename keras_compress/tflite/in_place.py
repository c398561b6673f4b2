"""Small edits of a file, made in place on its bytes.

Constants are overwritten where they lie. The converter orders results by its own rules and keeps
results that were only there to steer it: here the lists of results are rewritten without touching
another byte, so constants keep their alignment and nothing is serialized anew.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_compress.errors import ExportError
from keras_compress.tflite.model_file import Tensor
from keras_compress.tflite.reader import read_tflite

__all__ = ["keep_outputs", "replace_constants"]

# Fields of the tables, by their order in TFLite's schema.fbs.
_MODEL_SUBGRAPHS = 2
_MODEL_SIGNATURES = 7
_SUBGRAPH_OUTPUTS = 2
_SUBGRAPH_OPERATORS = 3
_SIGNATURE_OUTPUTS = 1


def keep_outputs(data: bytes, names: list[str]) -> bytes:
    """Return the model with the results `names` alone, in that order.

    Operators that do nothing but convert a dropped result to float are dropped too.

    Args:
        data: A converted `.tflite` file with one signature.
        names: Names of results in its signature.

    Raises:
        ExportError: If the converter lost one of the results.
    """
    file = read_tflite(data)
    if not file.signatures:
        raise ExportError("The converter wrote no signature, so results can't be told apart.")
    results = file.signatures[0].outputs
    missing = [name for name in names if name not in results]
    if missing:
        raise ExportError(
            f"The converter dropped results of the model: {', '.join(missing)}. Received back: "
            f"{', '.join(results)}."
        )
    kept = [results[name] for name in names]
    if list(file.outputs) == kept and list(results) == names:
        return data
    dropped = {index for name, index in results.items() if name not in names} - set(kept)
    dead = {
        number
        for number, operator in enumerate(file.operators)
        if operator.name == "DEQUANTIZE" and set(operator.outputs) <= dropped
    }

    edited = bytearray(data)
    root = _Table(edited, struct.unpack_from("<I", edited, 0)[0])
    graph = root.tables(_MODEL_SUBGRAPHS)[0]
    graph.set_numbers(_SUBGRAPH_OUTPUTS, kept)
    operators = graph.tables(_SUBGRAPH_OPERATORS)
    graph.set_tables(_SUBGRAPH_OPERATORS, [op for i, op in enumerate(operators) if i not in dead])
    signature = root.tables(_MODEL_SIGNATURES)[0]
    order = list(results)
    entries = signature.tables(_SIGNATURE_OUTPUTS)
    signature.set_tables(_SIGNATURE_OUTPUTS, [entries[order.index(name)] for name in names])
    return bytes(edited)


def replace_constants(data: bytes, change: Callable[[Tensor], np.ndarray | None]) -> bytes:
    """Return the model with other values in some of its constants.

    Args:
        data: A `.tflite` file.
        change: Called with each constant that can be read; returns values for it, of its type and
            number, or `None` to leave it as it is.
    """
    edited = bytearray(data)
    start = _address(data)
    for tensor in read_tflite(data).tensors:
        values = change(tensor) if tensor.is_readable else None
        if values is not None and tensor.data is not None:
            if values.nbytes != len(tensor.data):
                raise ValueError(f"{tensor.name!r} keeps its {len(tensor.data)} bytes.")
            place = _address(tensor.data) - start
            edited[place : place + len(tensor.data)] = values.tobytes()
    return bytes(edited)


def _address(data: bytes | memoryview) -> int:
    return int(np.frombuffer(data, np.uint8).__array_interface__["data"][0])


class _Table:
    """A flatbuffer table in `data` at `position`. Only for files that `read_tflite` accepted."""

    def __init__(self, data: bytearray, position: int) -> None:
        self.data = data
        self.position = position

    def tables(self, field: int) -> list[_Table]:
        start, length = self._vector(field)
        places = [start + 4 * i for i in range(length)]
        return [_Table(self.data, place + self._read("<I", place)) for place in places]

    def set_numbers(self, field: int, values: list[int]) -> None:
        start = self._resize(field, len(values))
        struct.pack_into(f"<{len(values)}i", self.data, start, *values)

    def set_tables(self, field: int, tables: list[_Table]) -> None:
        start = self._resize(field, len(tables))
        for i, table in enumerate(tables):
            place = start + 4 * i
            struct.pack_into("<I", self.data, place, table.position - place)

    def _resize(self, field: int, length: int) -> int:
        start, old = self._vector(field)
        if length > old:
            raise ExportError("A list of a model file can't grow in place.")
        struct.pack_into("<I", self.data, start - 4, length)
        return start

    def _vector(self, field: int) -> tuple[int, int]:
        vtable = self.position - self._read("<i", self.position)
        slot = 4 + 2 * field
        offset = self._read("<H", vtable + slot) if slot < self._read("<H", vtable) else 0
        if offset == 0:
            raise ExportError("The converted file lacks a list that every model has.")
        place = self.position + offset
        start = place + self._read("<I", place)
        return start + 4, self._read("<I", start)

    def _read(self, form: str, place: int) -> Any:
        return struct.unpack_from(form, self.data, place)[0]
