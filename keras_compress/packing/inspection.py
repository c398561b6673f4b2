"""What is in a model file, tensor by tensor, and what packing makes of it."""

from __future__ import annotations

import ctypes
import math
import os
from dataclasses import asdict, dataclass, replace
from typing import Any

from keras_compress import storage
from keras_compress.errors import ModelFileError
from keras_compress.packing import job, native, native_structures
from keras_compress.packing.interruption import interruptible
from keras_compress.packing.other_compressors import compared_sizes
from keras_compress.packing.pack import MAGIC
from keras_compress.packing.packed_file import open_packed
from keras_compress.tflite.custom_operators import has_binary_operators

__all__ = ["Inspection", "TensorReport", "inspect"]

_WIDTHS = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 7: 2, 8: 8, 9: 1, 10: 8, 12: 8, 15: 4, 16: 2, 18: 2}
_FLOATS = {0, 1, 10, 18, 21, 22}
# Types of several elements a byte, and the bits of one: int4, int2, uint4.
_BITS = {17: 4, 19: 2, 20: 4}

_NOTES = {
    "sparse": ("Sparse tensors", "Their buffers hold, and the counts are of, kept values only."),
    "overlapping": ("Buffers that share bytes with another", "They are packed, but not listed."),
    "elsewhere": ("Tensors whose data lie in other files", "Those files are not packed."),
    "options": ("Operators with options behind the FlatBuffer", "They are packed with the graph."),
}


@dataclass(frozen=True)
class TensorReport:
    """One constant buffer of a model.

    Attributes:
        name: Name of the first tensor that uses the buffer.
        dtype: Its TFLite type.
        shape: Its shape.
        size: Bytes of the buffer in the original.
        count: Elements of `dtype` in the buffer, two of `int4` and four of `int2` in a byte; bytes
            for strings, `complex128` and types that are not known.
        zeros: Elements that are zero.
        distinct: Distinct values.
        entropy: Order-0 entropy in bits per element: what a coder without contexts can reach.
        coder: How the packed file codes it; `"skeleton"` if it stayed with the graph.
        packed_bytes: Bytes in the packed file, to within a byte or two; codebooks count to the
            graph and plan. `None` for a buffer that stayed with the graph.
        bits_per_weight: `8 * packed_bytes / count`.
        bits_per_kept_weight: `8 * packed_bytes / (count - zeros)`.
        over_entropy: `bits_per_weight - entropy`, in bits: negative where contexts told the coder
            more than counts of values can.
        tensors: How many tensors share the buffer.
        part: Of a bundle (`.task`, `.litertlm`), the model it belongs to; `""` of a `.tflite`.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int
    count: int
    zeros: int
    distinct: int
    entropy: float
    coder: str
    packed_bytes: float | None
    bits_per_weight: float | None
    bits_per_kept_weight: float | None
    over_entropy: float | None
    tensors: int
    part: str = ""


@dataclass(frozen=True)
class Inspection:
    """A model file seen from inside.

    Attributes:
        original_size: Bytes of the `.tflite`.
        packed_size: Bytes of the packed file.
        skeleton_size: Bytes of the `.tflite` that are not in a modelled buffer: the graph.
        skeleton_packed: Bytes they, and the plan of the file, take in the packed file.
        tensors: The constant buffers, in file order.
        compared: Sizes other compressors reach, if asked for.
        not_compared: Compressors that are not installed.
        notes: What the tensors above don't tell: sparse tensors, data in other files and the like,
            with how many there are.
        needs_binary_kernels: Whether the model holds binary layers, which
            `keras_compress.load_interpreter` runs.
    """

    original_size: int
    packed_size: int
    skeleton_size: int
    skeleton_packed: int
    tensors: tuple[TensorReport, ...]
    compared: dict[str, int]
    not_compared: tuple[str, ...]
    notes: tuple[str, ...] = ()
    needs_binary_kernels: bool = False

    @property
    def ratio(self) -> float:
        """`original_size / packed_size`."""
        return self.original_size / self.packed_size

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain dictionaries and lists, for JSON."""
        return {**asdict(self), "ratio": round(self.ratio, 4)}


def inspect(
    data_or_path: bytes | str | os.PathLike[str],
    *,
    codec: str = "auto",
    compare: bool = False,
    base: bytes | None = None,
) -> Inspection:
    """Look into a `.tflite` or a packed file.

    A `.tflite` is packed in memory to say what packing makes of it.

    Example:

    ```python
    seen = keras_compress.inspect("model.tflite", compare=True)
    for tensor in seen.tensors:
        print(tensor.name, tensor.distinct, tensor.bits_per_weight)
    ```

    Args:
        data_or_path: The bytes of the file, or its path.
        codec: How to pack a `.tflite`. Defaults to `"auto"`.
        compare: Also run gzip, zstd, xz and brotli, which takes longer than everything else.
            Defaults to `False`.
        base: The bytes of the file that a patch was made for. Defaults to `None`.

    Raises:
        ModelFileError: If it is neither a `.tflite` nor a packed file.
        PackedFileError: If it is a damaged packed file.
    """
    data = data_or_path if isinstance(data_or_path, bytes) else storage.read_file(data_or_path)
    name = "the bytes given" if isinstance(data_or_path, bytes) else os.fspath(data_or_path)
    if not data:
        raise ModelFileError(f"A model file must not be empty. Received: {name} with 0 bytes.")

    def look() -> tuple[bytes, int, native_structures.Summary, tuple[TensorReport, ...]]:
        if data.startswith(MAGIC):
            original, packed_size, summary, extents = _open_packed(data, base)
        else:
            original = data
            _count_tensors(original, name)
            packed_size, summary, extents = _pack(original, codec)
        reports = _report(original, extents, _find_tensors(original, name))
        return original, packed_size, summary, reports

    original, packed_size, summary, reports = interruptible(look)
    compared, missing = compared_sizes(original) if compare else ({}, ())
    return Inspection(
        original_size=len(original),
        packed_size=packed_size,
        skeleton_size=summary.skeleton_size,
        skeleton_packed=summary.skeleton_packed,
        tensors=reports,
        compared=compared,
        not_compared=missing,
        notes=_notes(original),
        needs_binary_kernels=has_binary_operators(original),
    )


def _open_packed(
    data: bytes, base: bytes | None
) -> tuple[bytes, int, native_structures.Summary, list[native_structures.Extent]]:
    extents = _extents()
    with open_packed(data, base=base) as packed:
        original, address = native.fresh_bytes(packed.original_size)
        packed.restore(memory=address)
        # What the extents took is known once they were decoded.
        summary = packed.describe(extents)
    return original, len(data), summary, extents[: summary.extents]


def _pack(
    data: bytes, codec: str
) -> tuple[int, native_structures.Summary, list[native_structures.Extent]]:
    extents = _extents()
    result, summary = job.pack_sections(data, native.codec_number(codec), extents)
    size = result.size
    native.library().kc_free(ctypes.byref(result))
    return size, summary, extents[: summary.extents]


def _extents() -> ctypes.Array[native_structures.Extent]:
    return (native_structures.Extent * native.MOST_EXTENTS)()


def _count_tensors(model: bytes, name: str) -> int:
    count = ctypes.c_size_t()
    if native.library().kc_tensors(model, len(model), None, 0, ctypes.byref(count)) != 0:
        raise ModelFileError(
            f"`inspect` takes a whole `.tflite`, a bundle of them or a packed file. "
            f"Received: {name}, {len(model)} bytes that start with {model[:8]!r}."
        )
    return count.value


def _find_tensors(model: bytes, name: str) -> list[native_structures.Tensor]:
    count = ctypes.c_size_t(_count_tensors(model, name))
    tensors = (native_structures.Tensor * count.value)()
    native.library().kc_tensors(model, len(model), tensors, count.value, ctypes.byref(count))
    return list(tensors)


def _find_parts(model: bytes) -> native.PartNames:
    count = ctypes.c_size_t()
    native.library().kc_parts(model, len(model), None, 0, ctypes.byref(count))
    parts = (native_structures.Part * count.value)()
    native.library().kc_parts(model, len(model), parts, count.value, ctypes.byref(count))
    return native.PartNames(parts, lambda at, size: model[at : at + size])


def _notes(model: bytes) -> tuple[str, ...]:
    found = native_structures.Unlisted()
    native.library().kc_unlisted_parts(model, len(model), ctypes.byref(found))
    counts = {name: getattr(found, name) for name in _NOTES}
    return tuple(f"{a}: {counts[name]}. {b}" for name, (a, b) in _NOTES.items() if counts[name])


def _report(
    model: bytes,
    extents: list[native_structures.Extent],
    tensors: list[native_structures.Tensor],
) -> tuple[TensorReport, ...]:
    reports, at, parts = [], 0, _find_parts(model)
    for tensor in tensors:
        while at < len(extents) and extents[at].offset < tensor.offset:
            at += 1
        first = at  # a large tensor is divided into several extents
        while at < len(extents) and extents[at].offset < tensor.offset + tensor.size:
            at += 1
        report = _report_one(model, tensor, extents[first:at])
        reports.append(replace(report, part=parts.at(tensor.offset)))
    return tuple(reports)


def _report_one(
    model: bytes, tensor: native_structures.Tensor, parts: list[native_structures.Extent]
) -> TensorReport:
    name = model[tensor.name_offset : tensor.name_offset + tensor.name_size]
    shape = tuple(tensor.shape[: tensor.rank])
    count, zeros, distinct, entropy = _statistics(
        model[tensor.offset : tensor.offset + tensor.size], tensor.type, shape
    )
    packed = sum(part.bits for part in parts) / 8 if parts else None
    kept = count - zeros
    return TensorReport(
        name=name.decode("utf-8", "replace"),
        dtype=native.type_name(tensor.type),
        shape=shape,
        size=tensor.size,
        count=count,
        zeros=zeros,
        distinct=distinct,
        entropy=round(entropy, 4),
        coder=native.method_name(parts[0].method) if parts else "skeleton",
        packed_bytes=packed,
        bits_per_weight=None if packed is None else round(8 * packed / count, 4),
        bits_per_kept_weight=None if packed is None or not kept else round(8 * packed / kept, 4),
        over_entropy=None if packed is None else round(8 * packed / count - entropy, 4),
        tensors=tensor.users,
    )


def _statistics(data: bytes, dtype: int, shape: tuple[int, ...]) -> tuple[int, int, int, float]:
    """Elements, zeros, distinct values and order-0 entropy in bits."""
    if dtype in _BITS:
        data = _apart(data, _BITS[dtype], shape)
    width = _WIDTHS.get(dtype, 1)
    if len(data) % width:
        width = 1
    found = native_structures.Statistics()
    status = native.library().kc_count_values(
        data, len(data), width, int(dtype in _FLOATS), ctypes.byref(found)
    )
    native.check(status, native_structures.NativeError())
    return found.count, found.zeros, found.distinct, found.entropy


def _apart(data: bytes, bits: int, shape: tuple[int, ...]) -> bytes:
    """Elements of less than a byte as bytes, not in their order, which counts don't ask for."""
    each = 8 // bits
    columns = [
        data.translate(bytes(value >> bits * i & (1 << bits) - 1 for value in range(256)))
        for i in range(each)
    ]
    # The last byte may be padded with elements that are none.
    wanted = math.prod(shape)
    if not each * (len(data) - 1) < wanted <= each * len(data):
        return b"".join(columns)
    last = wanted - each * (len(data) - 1)
    return b"".join(column if i < last else column[:-1] for i, column in enumerate(columns))
