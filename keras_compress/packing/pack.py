"""Packing and unpacking of bytes and files."""

from __future__ import annotations

import ctypes
import os
from dataclasses import asdict, dataclass, replace
from typing import Any

from keras_compress import storage
from keras_compress.errors import KerasCompressError, ModelFileError, PackedFileError
from keras_compress.packing import job, native
from keras_compress.packing.file_pieces import FilePieces
from keras_compress.packing.interruption import interruptible
from keras_compress.packing.packed_file import PackedFile, open_packed
from keras_compress.tflite.custom_operators import has_binary_operators

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
        needs_binary_kernels: Whether the model holds binary layers, which
            `keras_compress.load_interpreter` runs.
    """

    source: str
    target: str
    original_size: int
    packed_size: int
    ratio: float
    needs_binary_kernels: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary, for JSON."""
        return asdict(self)


def pack(data: bytes, *, codec: str = "auto", base: bytes | None = None) -> bytes:
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
        codec: `"fast"` for the fastest unpacking, `"small"` for a small file that unpacks faster
            than xz, `"smallest"` for the smallest file at any time it takes, `"auto"` for the
            smallest that unpacks within some 0.3 seconds. Defaults to `"auto"`.
        base: The bytes of a file that will be at hand when unpacking, mostly an older model of the
            same graph: the result is a patch, as small as can be whatever `codec` says, and
            `unpack` needs the same `base`. Defaults to `None`.

    Raises:
        KerasCompressError: If `codec` is unknown.
    """
    source = _bytes_like(data, "data")
    number = native.codec_number(codec)
    if base is not None:
        old = _bytes_like(base, "base")
        return interruptible(lambda: job.pack_patch(source, old))
    return interruptible(lambda: native.take(job.pack_sections(source, number)[0]))


def unpack(
    data: bytes, *, max_size: int | None = None, threads: int = 1, base: bytes | None = None
) -> bytes:
    """Restore what `pack` was given.

    Args:
        data: The bytes of a packed file.
        max_size: Largest size in bytes to restore; checked before memory is allocated.
            Defaults to `None`, which allows what the file's own size makes plausible.
        threads: How many threads decode at once; a file has a section for about each million
            elements of its model, and a thread works on one of them. Defaults to 1.
        base: The bytes of the file that a patch was made for. Defaults to `None`.

    Raises:
        PackedFileError: If the file is damaged (the message names the section), was written by a
            newer version, or declares more than `max_size` bytes.
    """
    count = _checked_threads(threads)
    with open_packed(_bytes_like(data, "data"), max_size=max_size, base=base) as packed:

        def work() -> bytes:
            result, address = native.fresh_bytes(packed.original_size)
            packed.restore(memory=address, threads=count)
            return result

        return interruptible(work)


def unpack_into(data: bytes, buffer: Any, *, threads: int = 1, base: bytes | None = None) -> int:
    """Restore into `buffer`, a writable buffer such as a `bytearray` or a NumPy array of bytes.

    Args:
        data: The bytes of a packed file.
        buffer: Where to write. It may be longer than needed; after an error its contents are
            unspecified.
        threads: As in `unpack`. Defaults to 1.
        base: As in `unpack`. Defaults to `None`.

    Returns:
        The number of bytes written.

    Raises:
        PackedFileError: If the file is damaged or does not fit `buffer`.
    """
    view = memoryview(buffer).cast("B")
    if view.readonly:
        raise KerasCompressError("`buffer` must be writable. Received: a read-only buffer.")
    count = _checked_threads(threads)
    target = (ctypes.c_uint8 * len(view)).from_buffer(view)
    with open_packed(_bytes_like(data, "data"), max_size=len(view), base=base) as packed:
        # `target`, which keeps the buffer where it is, belongs to the work.
        interruptible(lambda: packed.restore(memory=ctypes.addressof(target), threads=count))
        return packed.original_size


def verify(
    data_or_path: bytes | str | os.PathLike[str],
    *,
    max_size: int | None = None,
    threads: int = 1,
    base: bytes | None = None,
) -> None:
    """Check a packed file as `unpack` would, section by section, keeping and writing nothing.

    Args:
        data_or_path: The bytes of a packed file, or its path.
        max_size: As in `unpack`. Defaults to `None`.
        threads: As in `unpack`. Defaults to 1.
        base: As in `unpack`. Defaults to `None`.

    Raises:
        PackedFileError: If `unpack` would raise it.
        KerasCompressError: If the file can't be read.
    """
    if isinstance(data_or_path, bytearray | memoryview):
        data_or_path = bytes(data_or_path)
    with open_packed(data_or_path, max_size=max_size, base=base) as packed:
        packed.restore(threads=_checked_threads(threads))


def pack_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    codec: str = "auto",
    any_file: bool = False,
    base: str | os.PathLike[str] | None = None,
) -> FileSizes:
    """Pack the file `source` into `target`, and unpack it once before it takes its place.

    Args:
        source: A `.tflite` file.
        target: Where to write; replaced only once the packed bytes were found to be right.
        codec: As in `pack`. Defaults to `"auto"`.
        any_file: Accept files that are not a `.tflite`. Defaults to `False`.
        base: A file that will be at hand when unpacking: `target` is a patch for it, see `pack`.
            Defaults to `None`.

    Raises:
        ModelFileError: If `source` is empty, cut short or not a `.tflite`.
        KerasCompressError: If a file can't be read or written.
    """
    storage.check_target(target, source, base)
    data = storage.read_file(source)
    if not any_file:
        require_model(data, os.fspath(source))
    old = None if base is None else storage.read_file(base)
    packed = pack(data, codec=codec, base=old)
    if unpack(packed, base=old) != data:
        raise PackedFileError(
            f"Packing {os.fspath(source)} was not lossless; nothing was written. Please report "
            "the file."
        )
    storage.write_atomic(target, packed, made_from=source)
    sizes = _sizes(source, target, len(data), len(packed))
    return replace(sizes, needs_binary_kernels=has_binary_operators(data))


def unpack_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    max_size: int | None = None,
    threads: int = 1,
    base: str | os.PathLike[str] | None = None,
) -> FileSizes:
    """Unpack the file `source` into `target`, section by section.

    Neither of the two is ever in memory as a whole: what is needed at once is one section, some
    four million bytes for each thread, and the graph.

    Args:
        source: A packed file.
        target: Where to write; replaced only once everything was found to be right.
        max_size: As in `unpack`. Defaults to `None`.
        threads: As in `unpack`. Defaults to 1.
        base: The file that a patch was made for. Defaults to `None`.

    Raises:
        PackedFileError: If `source` is damaged; nothing is written then.
        KerasCompressError: If a file can't be read or written.
    """
    count = _checked_threads(threads)
    storage.check_target(target, source, base)
    old = None if base is None else storage.read_file(base)
    if not storage.is_regular(source):
        # A pipe gives its bytes once, and in order: they are held in memory.
        data = storage.read_file(source)
        whole = unpack(data, max_size=max_size, threads=count, base=old)
        storage.write_atomic(target, whole)
        return _sizes(source, target, len(whole), len(data))
    with (
        FilePieces(source) as pieces,
        PackedFile(pieces.source(), pieces, max_size, old) as packed,
    ):
        with storage.open_atomic(target, made_from=source) as file:
            packed.restore(sink=pieces.sink(file), threads=count)
        return _sizes(source, target, packed.original_size, packed.packed_size)


def require_model(data: bytes, name: str) -> None:
    """Raise `ModelFileError` unless `data` is a whole `.tflite`, or a bundle with one in it."""
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
        f"A model file must be a `.tflite` (FlatBuffer identifier TFL3) or a bundle of some. "
        f"Received: {name}, which starts with {data[:8]!r}. Pass --any to pack any file."
    )


def _sizes(
    source: str | os.PathLike[str], target: str | os.PathLike[str], original: int, packed: int
) -> FileSizes:
    ratio = round(original / packed, 4) if packed else 0.0
    return FileSizes(os.fspath(source), os.fspath(target), original, packed, ratio)


def _checked_threads(threads: int) -> int:
    if not isinstance(threads, int) or threads < 1:
        raise KerasCompressError(f"`threads` must be a whole number from 1. Received: {threads!r}.")
    return threads


def _bytes_like(data: object, name: str) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    raise KerasCompressError(f"`{name}` must be bytes. Received: {type(data).__name__}.")
