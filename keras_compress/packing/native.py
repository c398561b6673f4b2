"""Loads the native core and calls its C interface through ctypes."""

from __future__ import annotations

import bisect
import ctypes
import functools
import os
from collections.abc import Callable, Iterable
from typing import Any

from keras_compress.errors import KerasCompressError, NativeLibraryError, PackedFileError
from keras_compress.native_library import library_path
from keras_compress.packing.native_structures import (
    Bytes,
    Extent,
    NativeError,
    Part,
    Sink,
    Source,
    Statistics,
    Summary,
    Tensor,
    Unlisted,
)

__all__ = ["ABI_VERSION", "library"]

ABI_VERSION = 1

# What the format allows; arrays for reports are of this length.
MOST_EXTENTS = 1 << 16

CODECS = {"auto": 0, "fast": 1, "small": 2, "smallest": 3}

ERROR_LIMIT = 3
ERROR_MALFORMED = 9
_ERROR_VERSION = 5
_ERROR_NO_BASE = 11
_ERROR_BASE = 12
_ERROR_STOPPED = 13
_MEMORY = 2

# Names of TFLite's TensorType.
_TYPES = {
    -1: "unused", 0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string",
    6: "bool", 7: "int16", 8: "complex64", 9: "int8", 10: "float64", 11: "complex128",
    12: "uint64", 13: "resource", 14: "variant", 15: "uint32", 16: "uint16", 17: "int4",
    18: "bfloat16", 19: "int2", 20: "uint4", 21: "float8_e4m3fn", 22: "float8_e5m2",
}  # fmt: skip
# Those that NumPy knows by the same name, with the bytes of an element.
TYPES_OF_NUMPY = {
    "float32": 4, "float16": 2, "int32": 4, "uint8": 1, "int64": 8, "bool": 1, "int16": 2,
    "complex64": 8, "int8": 1, "float64": 8, "complex128": 16, "uint64": 8, "uint32": 4,
    "uint16": 2,
}  # fmt: skip


class StoppedError(Exception):
    """A call ended because `kc_watch`'s flag asked for it; who asked is raising something else."""


@functools.cache
def library() -> ctypes.CDLL:
    """Return the native library, loaded once.

    Raises:
        NativeLibraryError: If it is missing, can't be loaded, or speaks another version of the
            C interface than this package.
    """
    path = library_path()
    remedy = (
        "Reinstall the package (`pip install --force-reinstall keras-compress`); in a checkout run "
        "`cmake -S export -B build -DKC_INPLACE=ON && cmake --build build`."
    )
    try:
        loaded = ctypes.CDLL(os.fspath(path))
    except OSError as error:
        what = "is missing" if not path.exists() else f"can't be loaded ({error})"
        raise NativeLibraryError(f"The native library {path} {what}. {remedy}") from error
    try:
        loaded.kc_abi_version.restype = ctypes.c_uint32
        version = loaded.kc_abi_version()
        if version == ABI_VERSION:
            _declare(loaded)
    except AttributeError as error:
        raise NativeLibraryError(
            f"{path} is not this package's library, or of an older build. {remedy}"
        ) from error
    if version != ABI_VERSION:
        raise NativeLibraryError(
            f"The native library must speak interface version {ABI_VERSION}. "
            f"Received: version {version} in {path}. {remedy}"
        )
    return loaded


def _declare(loaded: ctypes.CDLL) -> None:
    # Pointers to bytes are passed as addresses, so that `bytes` and buffers need no copy.
    address, size, error = ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(NativeError)
    out = ctypes.POINTER(Bytes)
    reports = [ctypes.POINTER(Summary), ctypes.POINTER(Extent), size, error]
    signatures: dict[str, list[Any]] = {
        "kc_pack": [address, size, ctypes.c_int32, out, error],
        "kc_pack_report": [address, size, ctypes.c_int32, out, *reports],
        "kc_pack_open": [
            address,
            size,
            ctypes.c_int32,
            ctypes.POINTER(address),
            ctypes.POINTER(ctypes.c_uint32),
            error,
        ],
        "kc_pack_close": [address, out, *reports],
        "kc_unpack": [address, size, ctypes.c_uint64, out, error],
        "kc_unpack_into": [address, size, address, size, ctypes.POINTER(size), error],
        "kc_unpacked_size": [address, size, ctypes.POINTER(ctypes.c_uint64), error],
        "kc_verify": [address, size, ctypes.c_uint64, error],
        "kc_inspect": [address, size, ctypes.c_uint64, out, *reports],
        "kc_count_values": [
            address,
            size,
            ctypes.c_int32,
            ctypes.c_int32,
            ctypes.POINTER(Statistics),
        ],
        "kc_file_open": [
            ctypes.POINTER(Source),
            ctypes.c_uint64,
            ctypes.POINTER(address),
            ctypes.POINTER(Summary),
            error,
        ],
        "kc_file_open_patch": [
            ctypes.POINTER(Source),
            address,
            size,
            ctypes.c_uint64,
            ctypes.POINTER(address),
            ctypes.POINTER(Summary),
            error,
        ],
        "kc_pack_patch": [address, size, address, size, out, error],
        "kc_file_section": [address, ctypes.c_uint32, address, ctypes.POINTER(Sink), error],
        "kc_file_finish": [address, error],
        "kc_file_read": [address, ctypes.c_uint64, size, address, error],
        "kc_file_tensors": [address, ctypes.POINTER(Tensor), size, ctypes.POINTER(size), error],
        "kc_tensors": [address, size, ctypes.POINTER(Tensor), size, ctypes.POINTER(size)],
        "kc_file_parts": [address, ctypes.POINTER(Part), size, ctypes.POINTER(size), error],
        "kc_parts": [address, size, ctypes.POINTER(Part), size, ctypes.POINTER(size)],
        "kc_unlisted_parts": [address, size, ctypes.POINTER(Unlisted)],
    }
    for name, arguments in signatures.items():
        function = getattr(loaded, name)
        function.argtypes = arguments
        function.restype = ctypes.c_int32
    loaded.kc_pack_section.argtypes = [address, ctypes.c_uint32]
    loaded.kc_pack_section.restype = None
    loaded.kc_watch.argtypes = [address]
    loaded.kc_watch.restype = address
    loaded.kc_file_close.argtypes = [address]
    loaded.kc_file_close.restype = None
    loaded.kc_file_extents.argtypes = [address, ctypes.POINTER(Extent), size]
    loaded.kc_file_extents.restype = None
    loaded.kc_free.argtypes = [out]
    loaded.kc_free.restype = None
    loaded.kc_format_version.restype = ctypes.c_uint32
    loaded.kc_binary_kernels.restype = ctypes.c_char_p
    for name, argument in (
        ("kc_status_message", ctypes.c_int32),
        ("kc_place_name", ctypes.c_int32),
        ("kc_method_name", ctypes.c_uint32),
    ):
        function = getattr(loaded, name)
        function.argtypes = [argument]
        function.restype = ctypes.c_char_p


def codec_number(codec: str) -> int:
    """Return the number of the codec called `codec`.

    Raises:
        KerasCompressError: If there is none of that name.
    """
    if codec not in CODECS:
        raise KerasCompressError(f"`codec` must be one of {sorted(CODECS)}. Received: {codec=}.")
    return CODECS[codec]


class PartNames:
    """What the models in a bundle are called, by the places of their bytes.

    Args:
        parts: As `kc_parts` lists them.
        read: Gives bytes of the file: offset, size.
    """

    def __init__(self, parts: Iterable[Part], read: Callable[[int, int], bytes]) -> None:
        names: list[str] = []
        self._starts: list[int] = []
        for i, part in enumerate(parts):
            name = read(part.name_offset, part.name_size).decode("utf-8", "replace")
            name = name or f"part {i}"
            names.append(f"{names[part.parent - 1]}/{name}" if part.parent else name)
            self._starts.append(part.offset)
        self._names = names

    def at(self, offset: int) -> str:
        """Return the name of the model that holds this byte, which lies in one; "" of no bundle."""
        place = bisect.bisect_right(self._starts, offset)
        return self._names[place - 1] if place else ""


def type_name(number: int) -> str:
    """Return the name of TFLite's tensor type `number`."""
    return _TYPES.get(number, f"type {number}")


def method_name(number: int) -> str:
    """Return the name of coding method `number`."""
    return str(library().kc_method_name(number).decode())


def check(status: int, error: NativeError, *, limit: int | None = None) -> None:
    """Raise `PackedFileError`, naming the section, unless `status` is 0."""
    if status == 0:
        return
    if status == _ERROR_STOPPED:
        raise StoppedError
    if status == _MEMORY:
        raise MemoryError("The native library ran out of memory.")
    loaded = library()
    what = loaded.kc_status_message(status).decode()
    place = loaded.kc_place_name(error.place).decode()
    if error.section:
        place += f" {error.section}"
    if status == _ERROR_VERSION:
        raise PackedFileError(
            f"This package reads packed files of version {loaded.kc_format_version()}. "
            f"Received: version {error.version}. Update keras-compress."
        )
    if status == ERROR_LIMIT:
        allowed = "what its size can hold" if limit is None else f"at most {limit} bytes"
        raise PackedFileError(
            f"A packed file may unpack to {allowed} here. Received: a declared size of "
            f"{error.value} bytes. Raise `max_size` if you trust the file."
        )
    if status in (_ERROR_NO_BASE, _ERROR_BASE):
        received = "no base" if status == _ERROR_NO_BASE else "another file"
        raise PackedFileError(
            f"This packed file is a patch: it restores a model beside the file it was made for, of "
            f"{error.value} bytes. Received: {received}. Pass that file as `base` (`--base`)."
        )
    where = f" ({place})" if place else ""
    raise PackedFileError(
        f"The packed file is damaged or not one: {what}{where}. Fetch or pack it again."
    )


def fresh_bytes(size: int) -> tuple[bytes, int]:
    """Return `bytes` whose contents are yet to be written, and where they stand.

    Nobody else may have seen the object before it is filled.
    """
    make = ctypes.pythonapi.PyBytes_FromStringAndSize
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_char_p, ctypes.c_ssize_t]
    where = ctypes.pythonapi.PyBytes_AsString
    where.restype, where.argtypes = ctypes.c_void_p, [ctypes.py_object]
    try:
        result: bytes = make(None, size)
    except MemoryError as error:
        raise KerasCompressError(
            f"What a packed file restores has to fit in memory here. Received: a declared size of "
            f"{size} bytes, more than could be had. Unpack from file to file (`unpack_file`)."
        ) from error
    return result, where(result)


def take(result: Bytes) -> bytes:
    """Copy a result of the library's into `bytes` and give its memory back."""
    try:
        return ctypes.string_at(result.data, result.size) if result.size else b""
    finally:
        library().kc_free(ctypes.byref(result))
