"""Packing and unpacking of bytes and files."""

from __future__ import annotations

import ctypes
import os
from dataclasses import asdict, dataclass
from typing import Any

from keras_compress import storage
from keras_compress.errors import KerasCompressError, ModelFileError, PackedFileError
from keras_compress.packing import native

__all__ = ["FileSizes", "pack", "pack_file", "unpack", "unpack_file", "unpack_into", "verify"]

MAGIC = b"\x89KCZ"


@dataclass(frozen=True)
class FileSizes:
    """What packing or unpacking a file came to.

    Attributes:
        source: Path of the file that was read.
        target: Path of the file that was written.
        original_size: Bytes of the original on disk.
        packed_size: Bytes of the packed file on disk.
        ratio: `original_size / packed_size`.
    """

    source: str
    target: str
    original_size: int
    packed_size: int
    ratio: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary, for JSON."""
        return asdict(self)


def pack(data: bytes, *, codec: str = "auto") -> bytes:
    """Pack the bytes of a `.tflite`; `unpack` restores them byte for byte.

    Any bytes can be packed. What is not a `.tflite` is coded by a general model, and what can't
    be made smaller is stored; the result is never more than 64 bytes longer than `data`.

    Example:

    ```python
    packed = keras_compress.pack(Path("model.tflite").read_bytes())
    assert keras_compress.unpack(packed) == Path("model.tflite").read_bytes()
    ```

    Args:
        data: The bytes to pack.
        codec: `"small"` for the smallest file, `"fast"` for the fastest unpacking, `"auto"` for
            the smallest file that unpacks within some four seconds. Defaults to `"auto"`.

    Raises:
        KerasCompressError: If `codec` is unknown.
    """
    source = _bytes_like(data, "data")
    result, _ = native.pack_sections(source, native.codec_number(codec))
    return native.take(result)


def unpack(data: bytes, *, max_size: int | None = None) -> bytes:
    """Restore what `pack` was given.

    Args:
        data: The bytes of a packed file.
        max_size: Largest size in bytes to restore; checked before memory is allocated.
            Defaults to `None`, which allows what the file's own size makes plausible.

    Raises:
        PackedFileError: If the file is damaged (the message names the section), was written by a
            newer version, or declares more than `max_size` bytes.
    """
    source = _bytes_like(data, "data")
    result, error = native.Bytes(), native.NativeError()
    if max_size == 0:
        unpacked_size(source, max_size=0)
    status = native.library().kc_unpack(
        source, len(source), max_size or 0, ctypes.byref(result), ctypes.byref(error)
    )
    native.check(status, error, limit=max_size)
    return native.take(result)


def unpack_into(data: bytes, buffer: Any) -> int:
    """Restore into `buffer`, a writable buffer such as a `bytearray` or a NumPy array of bytes.

    Args:
        data: The bytes of a packed file.
        buffer: Where to write. It may be longer than needed; after an error its contents are
            unspecified.

    Returns:
        The number of bytes written.

    Raises:
        PackedFileError: If the file is damaged or does not fit `buffer`.
    """
    source = _bytes_like(data, "data")
    view = memoryview(buffer).cast("B")
    if view.readonly:
        raise KerasCompressError("`buffer` must be writable. Received: a read-only buffer.")
    target = (ctypes.c_uint8 * len(view)).from_buffer(view)
    written, error = ctypes.c_size_t(), native.NativeError()
    status = native.library().kc_unpack_into(
        source, len(source), ctypes.addressof(target), len(view),
        ctypes.byref(written), ctypes.byref(error),
    )  # fmt: skip
    native.check(status, error, limit=len(view))
    return written.value


def unpacked_size(data: bytes, *, max_size: int | None = None) -> int:
    """Return the size of the original, from the checked header.

    Raises:
        PackedFileError: If the file is damaged, or `max_size` is given and smaller.
    """
    source = _bytes_like(data, "data")
    size, error = ctypes.c_uint64(), native.NativeError()
    status = native.library().kc_unpacked_size(
        source, len(source), ctypes.byref(size), ctypes.byref(error)
    )
    native.check(status, error)
    if max_size is not None and size.value > max_size:
        error.value = size.value
        native.check(3, error, limit=max_size)
    return size.value


def verify(data: bytes, *, max_size: int | None = None) -> None:
    """Check a packed file as `unpack` would, handing nothing out.

    Raises:
        PackedFileError: If `unpack` would raise it.
    """
    source = _bytes_like(data, "data")
    error = native.NativeError()
    status = native.library().kc_verify(source, len(source), max_size or 0, ctypes.byref(error))
    native.check(status, error, limit=max_size)


def pack_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    codec: str = "auto",
    any_file: bool = False,
) -> FileSizes:
    """Pack the file `source` into `target`, and unpack it once before it takes its place.

    Args:
        source: A `.tflite` file.
        target: Where to write; replaced only once the packed bytes were found to be right.
        codec: As in `pack`. Defaults to `"auto"`.
        any_file: Accept files that are not a `.tflite`. Defaults to `False`.

    Raises:
        ModelFileError: If `source` is empty, cut short or not a `.tflite`.
        KerasCompressError: If a file can't be read or written.
    """
    data = storage.read_file(source)
    if not any_file:
        require_model(data, os.fspath(source))
    packed = pack(data, codec=codec)
    if unpack(packed) != data:
        raise PackedFileError(
            f"Packing {os.fspath(source)} was not lossless; nothing was written. Please report "
            "the file."
        )
    storage.write_atomic(target, packed)
    return _sizes(source, target, len(data), len(packed))


def unpack_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    max_size: int | None = None,
) -> FileSizes:
    """Unpack the file `source` into `target`.

    Raises:
        PackedFileError: If `source` is damaged; nothing is written then.
        KerasCompressError: If a file can't be read or written.
    """
    packed = storage.read_file(source)
    data = unpack(packed, max_size=max_size)
    storage.write_atomic(target, data)
    return _sizes(source, target, len(data), len(packed))


def require_model(data: bytes, name: str) -> None:
    """Raise `ModelFileError` unless `data` is a whole `.tflite`."""
    if not data:
        raise ModelFileError(f"A model file must not be empty. Received: {name} with 0 bytes.")
    count = ctypes.c_size_t()
    if native.library().kc_tensors(data, len(data), None, 0, ctypes.byref(count)) == 0:
        return
    if data[4:8] == b"TFL3":
        raise ModelFileError(
            f"A model file must be whole. Received: {name}, which is cut short or damaged "
            f"({len(data)} bytes)."
        )
    raise ModelFileError(
        f"A model file must be a `.tflite` (FlatBuffer identifier TFL3). Received: {name}, which "
        f"starts with {data[:8]!r}. Pass --any to pack any file."
    )


def _sizes(
    source: str | os.PathLike[str], target: str | os.PathLike[str], original: int, packed: int
) -> FileSizes:
    ratio = round(original / packed, 4) if packed else 0.0
    return FileSizes(os.fspath(source), os.fspath(target), original, packed, ratio)


def _bytes_like(data: Any, name: str) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    raise KerasCompressError(f"`{name}` must be bytes. Received: {type(data).__name__}.")
