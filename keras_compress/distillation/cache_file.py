"""The file of a teacher cache.

The magic `KCTEACH2`, the header's length (uint32, little endian), the header (JSON), then the
outputs one after the other, row-major. The header has the structure, shapes and types of each
teacher's outputs and what they are, a checksum, and the fingerprints of the teachers and data.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.distillation.cache import DTYPES, TeacherCache
from keras_compress.distillation.heads import HEADS
from keras_compress.errors import KerasCompressError
from keras_compress.storage import open_atomic, read_file

if TYPE_CHECKING:
    import os

    from keras_compress.tensor import Tensor

MAGIC = b"KCTEACH2"
_LARGEST_HEADER = 1 << 16


def load_teacher_cache(path: str | os.PathLike[str], *, limit: int = 1 << 34) -> TeacherCache:
    """Read a file that `cache_teacher` wrote.

    Args:
        path: The file.
        limit: Largest size in bytes to accept. Defaults to 16 GiB.

    Raises:
        KerasCompressError: If it is missing, too large, of another kind, cut short or damaged.
    """
    data = read_file(path, limit=limit)
    header, start = _read_header(data, path)
    arrays = []
    leaves = [leaf for entry in header["teachers"] for leaf in _leaves(entry["outputs"])]
    for shape, dtype in leaves:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if start + size > len(data):
            raise _damaged(path, "it is shorter than its header says")
        array = np.frombuffer(data, dtype, count=size // np.dtype(dtype).itemsize, offset=start)
        arrays.append(array.reshape(shape))
        start += size
    if start != len(data):
        raise _damaged(path, "it is longer than its header says")
    if _checksum(arrays) != header["checksum"]:
        raise _damaged(path, "its checksum is wrong")
    left = iter(arrays)
    return TeacherCache(
        tuple(_with_arrays(entry["outputs"], left) for entry in header["teachers"]),
        tuple(tuple(entry["heads"]) for entry in header["teachers"]),
        header["fingerprint"],
        header["data"],
    )


def write_teacher_cache(path: str | os.PathLike[str], cache: TeacherCache) -> None:
    """Write a cache to `path`, whole or not at all."""
    teachers = [
        {"outputs": _described(outputs), "heads": heads}
        for outputs, heads in zip(cache.outputs, cache.heads, strict=True)
    ]
    # In the order of the header, which is that of the reader.
    arrays = [array for outputs in cache.outputs for array in _in_order(outputs)]
    header = json.dumps(
        {
            "teachers": teachers,
            "checksum": _checksum(arrays),
            "fingerprint": cache.fingerprint,
            "data": cache.data,
        }
    ).encode()
    with open_atomic(path) as file:
        file.write(MAGIC + struct.pack("<I", len(header)) + header)
        for array in arrays:
            file.write(np.ascontiguousarray(array).data)


def _described(outputs: Tensor) -> dict[str, Any]:
    if isinstance(outputs, dict):
        return {"dict": {str(key): _described(each) for key, each in outputs.items()}}
    if isinstance(outputs, list | tuple):
        return {"list": [_described(each) for each in outputs]}
    return {"array": [list(outputs.shape), outputs.dtype.name]}


def _in_order(outputs: Tensor) -> list[np.ndarray]:
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if isinstance(outputs, list | tuple):
        return [array for each in outputs for array in _in_order(each)]
    return [outputs]


def _leaves(described: object) -> list[tuple[list[int], str]]:
    """The shape and type of each array, in order; a `ValueError` if it makes no sense."""
    if not isinstance(described, dict) or len(described) != 1:
        raise ValueError(described)
    ((kind, content),) = described.items()
    if kind == "dict" and isinstance(content, dict) and content:
        content = list(content.values())
    elif kind == "array" and isinstance(content, list) and len(content) == 2:
        shape, dtype = content
        if dtype not in DTYPES or not isinstance(shape, list) or not 1 <= len(shape) <= 8:
            raise ValueError(described)
        if not all(type(size) is int and 0 <= size < 1 << 40 for size in shape):
            raise ValueError(described)
        return [(shape, dtype)]
    elif kind != "list" or not isinstance(content, list) or not content:
        raise ValueError(described)
    return [leaf for each in content for leaf in _leaves(each)]


def _with_arrays(described: dict[str, Any], arrays: Iterator[np.ndarray]) -> Any:
    ((kind, content),) = described.items()
    if kind == "dict":
        return {key: _with_arrays(each, arrays) for key, each in content.items()}
    if kind == "list":
        return [_with_arrays(each, arrays) for each in content]
    return next(arrays)


def _read_header(data: bytes, path: str | os.PathLike[str]) -> tuple[dict[str, Any], int]:
    if data[: len(MAGIC)] != MAGIC:
        raise KerasCompressError(
            f"A teacher cache begins with {MAGIC!r}. Received: {path}, a file of another kind. "
            "Choose another `path`."
        )
    begin = len(MAGIC) + 4
    if len(data) < begin:
        raise _damaged(path, "it is cut short")
    (length,) = struct.unpack_from("<I", data, len(MAGIC))
    if length > min(_LARGEST_HEADER, len(data) - begin):
        raise _damaged(path, "its header is longer than the file")
    try:
        header = json.loads(data[begin : begin + length])
    except (ValueError, RecursionError):
        raise _damaged(path, "its header is no JSON") from None
    if not _is_sound(header):
        raise _damaged(path, "its header makes no sense")
    return header, begin + length


def _is_sound(header: object) -> bool:
    if not isinstance(header, dict) or not isinstance(header.get("teachers"), list):
        return False
    if not all(isinstance(header.get(key), str) for key in ("checksum", "fingerprint", "data")):
        return False
    samples: set[int] = set()
    for entry in header["teachers"]:
        if not isinstance(entry, dict) or not isinstance(entry.get("heads"), list):
            return False
        try:
            leaves = _leaves(entry.get("outputs"))
        except (ValueError, TypeError):
            return False
        if len(leaves) != len(entry["heads"]) or not all(h in HEADS for h in entry["heads"]):
            return False
        samples.update(shape[0] for shape, _ in leaves)
    return len(samples) == 1


def _damaged(path: str | os.PathLike[str], why: str) -> KerasCompressError:
    return KerasCompressError(
        f"A teacher cache must be whole. Received: {path}, and {why}. Delete it to make it anew."
    )


def _checksum(arrays: Sequence[np.ndarray]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
