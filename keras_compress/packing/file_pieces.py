"""Files that the native library reads and writes piece by piece."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import IO, Any

from keras_compress.errors import KerasCompressError
from keras_compress.packing import native_structures

__all__ = ["FilePieces"]


class FilePieces:
    """Reads pieces of one file, and writes pieces of another, for the native library."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._path = os.fspath(path)
        try:
            self._file: IO[bytes] = open(path, "rb")  # noqa: SIM115 (closed by `close`)
            self._size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise KerasCompressError(f"Can't read {path}: {error.strerror or error}.") from error
        self._functions: list[Any] = []

    def source(self) -> native_structures.Source:
        """Return the file as a source of bytes."""

        def read(_: object, offset: int, to: int, size: int) -> None:
            view = memoryview((ctypes.c_char * size).from_address(to)).cast("B")
            with self._lock:
                self._file.seek(offset)
                if self._file.readinto(view) != size:  # type: ignore[attr-defined]
                    raise OSError(f"{self._path} was cut short while it was read")

        source = native_structures.Source()
        source.size = self._size
        source.read = self._guarded(native_structures.READ, read)
        return source

    def sink(self, target: IO[bytes]) -> native_structures.Sink:
        """Return the open file `target` as a sink of bytes."""

        def write(_: object, offset: int, data: int, size: int) -> None:
            view = memoryview((ctypes.c_char * size).from_address(data)).cast("B")
            with self._lock:
                target.seek(offset)
                target.write(view)

        sink = native_structures.Sink()
        sink.write = self._guarded(native_structures.WRITE, write)
        return sink

    def raise_failure(self) -> None:
        """Raise what a function called by the library ran into, if anything."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            if isinstance(failure, OSError):
                raise KerasCompressError(
                    f"Reading {self._path} or writing what it holds failed: "
                    f"{failure.strerror or failure}."
                ) from failure
            raise failure

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> FilePieces:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _guarded(self, kind: Any, function: Callable[..., None]) -> Any:
        # An exception must not reach the library: it is kept, and raised behind the library's back.
        def call(*arguments: Any) -> int:
            try:
                function(*arguments)
            except BaseException as error:
                self._failure = error
                return 1
            return 0

        self._functions.append(kind(call))
        return self._functions[-1]
