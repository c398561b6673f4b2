"""Reading and writing files so that a failure leaves what was there untouched."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from keras_compress.errors import KerasCompressError

__all__ = ["open_atomic", "read_file", "write_atomic", "write_files"]


def read_file(path: str | os.PathLike[str], *, limit: int | None = None) -> bytes:
    """Return the bytes of `path`.

    Args:
        path: The file to read.
        limit: Largest size in bytes to accept; checked before anything is read.
            Defaults to `None` (no limit).

    Raises:
        KerasCompressError: If the file is missing, unreadable, a folder, or over `limit`.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if limit is not None and size > limit:
                raise KerasCompressError(
                    f"A file here may hold at most {limit} bytes. "
                    f"Received: {path} with {size} bytes."
                )
            try:
                return file.read()
            except MemoryError as error:
                raise KerasCompressError(
                    f"A file here has to fit in memory. Received: {path} with {size} bytes, more "
                    "than could be had. Close other programs, or use a machine with more memory."
                ) from error
    except OSError as error:
        raise KerasCompressError(f"Can't read {path}: {error.strerror or error}.") from error


@contextlib.contextmanager
def open_atomic(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; rename it to `path` once the block succeeds.

    A reader, or a process killed halfway, finds either the old file or the whole new one.

    Raises:
        KerasCompressError: If the folder is not writable or the disk is full. The old file,
            if there was one, is unchanged.
    """
    path = Path(path)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _new_file_mode())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise KerasCompressError(f"Can't write {path}: {error.strerror or error}.") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def write_atomic(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path` by way of `open_atomic`."""
    with open_atomic(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def write_files(folder: str | os.PathLike[str], contents: Mapping[str, bytes | str]) -> list[Path]:
    """Write several files into `folder` and return their paths.

    All are whole on the disk before the first takes its name, so that a full disk leaves the
    files of an earlier run as they were.

    Args:
        folder: Where to write; made if need be.
        contents: File name to what it shall hold; text is written as UTF-8.

    Raises:
        KerasCompressError: If the folder can't be written to.
    """
    paths = [Path(folder) / name for name in contents]
    with contextlib.ExitStack() as files:
        for path, data in zip(paths, contents.values(), strict=True):
            file = files.enter_context(open_atomic(path))
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
    return paths


def _new_file_mode() -> int:
    # mkstemp makes private files; what we write should carry the user's usual permissions.
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
