"""Reading and writing files so that a failure leaves what was there untouched.

`-` stands for standard input and output. What is no regular file (a device, a pipe) is written
into, never replaced; of a link the file is replaced that it leads to.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from keras_compress.errors import KerasCompressError

__all__ = [
    "STANDARD",
    "check_target",
    "is_regular",
    "open_atomic",
    "read_file",
    "write_atomic",
    "write_files",
    "write_through",
]

STANDARD = "-"

Origins = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None

# Seconds that a pipe may lack a reader.
_READER_WAIT = 5.0


def is_regular(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a file that can be read in pieces, in any order."""
    return os.fspath(path) != STANDARD and os.path.isfile(path)


def read_file(path: str | os.PathLike[str], *, limit: int | None = None) -> bytes:
    """Return the bytes of `path`, or of standard input.

    Args:
        path: The file to read.
        limit: Largest size in bytes to accept; checked before anything is read where the size is
            known. Defaults to `None` (no limit).

    Raises:
        KerasCompressError: If the file is missing, unreadable, a folder, or over `limit`.
    """
    try:
        with _open_to_read(path) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                if limit is None:
                    return file.read()
                # A pipe has no size: a byte more than allowed tells as much.
                data = b"" if size > limit else file.read(limit + 1)
            except MemoryError as error:
                raise KerasCompressError(
                    f"A file here has to fit in memory. Received: {path} with {size} bytes, more "
                    "than could be had. Close other programs, or use a machine with more memory."
                ) from error
            if max(size, len(data)) > limit:
                raise KerasCompressError(
                    f"A file here may hold at most {limit} bytes. "
                    f"Received: {path} with {max(size, len(data))} bytes."
                )
            return data
    except OSError as error:
        raise KerasCompressError(f"Can't read {path}: {error.strerror or error}.") from error


def check_target(
    path: str | os.PathLike[str],
    *sources: str | os.PathLike[str] | None,
    replace: bool = True,
) -> None:
    """Refuse an output that can't be, before the work for it is done.

    Args:
        path: Where something is to be written.
        sources: The files it is made from; one of them under another name, too, is refused.
        replace: Whether a file that is there may be replaced. Defaults to `True`.

    Raises:
        KerasCompressError: If `path` is a folder, can't be written, is one of `sources`, or is
            there and not to be replaced.
    """
    if os.fspath(path) == STANDARD or _is_special(path):
        return
    if os.path.isdir(path):
        raise KerasCompressError(f"Can't write {path}: it is a folder.")
    if os.path.exists(path):
        for source in sources:
            if source is None or os.fspath(source) == STANDARD or not os.path.exists(source):
                continue
            if os.path.samefile(source, path):
                raise KerasCompressError(
                    f"The output can't take the place of its input. Received: {source} and {path}, "
                    "which are one file. Name another output."
                )
        if not replace:
            made_from = f" (from {sources[0]})" if sources else ""
            raise KerasCompressError(
                f"A file that is there is kept. Received: {path}{made_from}. Pass --force to "
                "replace it, or name another output."
            )
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(folder) and not os.access(folder, os.W_OK):
        raise KerasCompressError(f"Can't write {path}: its folder is read-only.")


@contextlib.contextmanager
def open_atomic(path: str | os.PathLike[str], *, made_from: Origins = None) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; rename it to `path` once the block succeeds.

    A reader, or a process killed halfway, finds either the old file or the whole new one. The new
    one has the old one's mode and, where allowed, owner. Into a device or a pipe the bytes are
    copied once the block succeeds.

    Args:
        path: The file to write.
        made_from: A file, or several, that the new one gives away: who may not read them may not
            read the new one either. Defaults to `None`.

    Raises:
        KerasCompressError: If the folder is not writable or the disk is full. The old file,
            if there was one, is unchanged.
    """
    special = os.fspath(path) == STANDARD or _is_special(path)
    try:
        with _special_file(path) if special else _replaced_file(Path(path), made_from) as file:
            yield file
    except BrokenPipeError:
        raise  # whoever read it has gone: the command's business
    except OSError as error:
        raise KerasCompressError(f"Can't write {path}: {error.strerror or error}.") from error


def write_atomic(
    path: str | os.PathLike[str],
    data: bytes | str,
    *,
    made_from: Origins = None,
) -> None:
    """Write `data` (text as UTF-8) to `path` by way of `open_atomic`."""
    with open_atomic(path, made_from=made_from) as file:
        file.write(_encoded(data))


def write_through(
    path: str | os.PathLike[str],
    save: Callable[[Path], object],
    *,
    made_from: Origins = None,
) -> None:
    """Have `save` write a file, at a path that ends like `path`, and rename it to `path`.

    For what is written by a function of another library, which takes a path: `save` is called with
    that of an empty file, which nobody else may read.

    Args:
        path: The file to write.
        save: Writes it.
        made_from: As in `open_atomic`. Defaults to `None`.

    Raises:
        KerasCompressError: If the file can't be written.
    """
    target = Path(os.path.realpath(path))
    temporary = target.parent / f".{secrets.token_hex(8)}{target.suffix}"
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        save(temporary)
        _set_permissions(temporary, target, made_from)
        os.replace(temporary, target)
    except OSError as error:
        raise KerasCompressError(f"Can't write {path}: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def write_files(
    folder: str | os.PathLike[str],
    contents: Mapping[str, bytes | str],
    *,
    made_from: Origins = None,
) -> list[Path]:
    """Write several files into `folder` and return their paths.

    All are whole on the disk before the first takes its name, so that a full disk leaves the
    files of an earlier run as they were.

    Args:
        folder: Where to write; made if need be.
        contents: File name to what it shall hold; text is written as UTF-8.
        made_from: As in `open_atomic`. Defaults to `None`.

    Raises:
        KerasCompressError: If the folder can't be written to.
    """
    paths = [Path(folder) / name for name in contents]
    with contextlib.ExitStack() as files:
        for path, data in zip(paths, contents.values(), strict=True):
            file = files.enter_context(open_atomic(path, made_from=made_from))
            file.write(_encoded(data))
            file.flush()
    return paths


def _encoded(data: bytes | str) -> bytes:
    # File names may hold bytes that are no text.
    return data.encode("utf-8", "replace") if isinstance(data, str) else data


def _open_to_read(path: str | os.PathLike[str]) -> contextlib.AbstractContextManager[IO[bytes]]:
    if os.fspath(path) == STANDARD:
        return contextlib.nullcontext(sys.stdin.buffer)
    return open(path, "rb")


def _is_special(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is to be written into, since it is no file that could be replaced."""
    # What a shell directed /dev/stdout to may be a file; it is the shell's, and not replaced.
    if os.path.abspath(path).startswith(("/dev/", "/proc/")):
        return not os.path.isdir(path) and os.path.exists(path)
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


@contextlib.contextmanager
def _special_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    # What is restored comes in any order, and a pipe takes it in one.
    with tempfile.TemporaryFile() as file:
        yield file
        file.seek(0)
        if os.fspath(path) == STANDARD:
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        with os.fdopen(_open_special(path), "wb") as target:
            shutil.copyfileobj(file, target)


def _open_special(path: str | os.PathLike[str]) -> int:
    if not stat.S_ISFIFO(os.stat(path).st_mode) or os.path.abspath(path).startswith("/dev/"):
        return os.open(path, os.O_WRONLY)
    # A pipe that nobody reads would be waited for without end.
    for _ in range(int(_READER_WAIT / 0.05)):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.05)
            continue
        os.set_blocking(descriptor, True)
        return descriptor
    raise KerasCompressError(
        f"A pipe needs someone to read it. Received: {path}, which nobody opened within "
        f"{_READER_WAIT:.0f} seconds. Start what reads it first."
    )


@contextlib.contextmanager
def _replaced_file(path: Path, made_from: Origins) -> Iterator[IO[bytes]]:
    target = Path(os.path.realpath(path))  # the link stays
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        raise IsADirectoryError(0, "it is a folder")
    # Short, for the longest name that the file itself may have; and known before the file is there,
    # so that no interrupt can leave it behind.
    temporary = target.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _set_permissions(temporary, target, made_from)
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


_BINARY: int = getattr(os, "O_BINARY", 0)


def _set_permissions(temporary: Path, target: Path, made_from: Origins) -> None:
    """Give `temporary` the permissions of the file it replaces, or those of a new one."""
    try:
        old = os.stat(target)
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        mode = 0o666 & ~mask
        for origin in [made_from] if isinstance(made_from, str | os.PathLike) else made_from or ():
            if is_regular(origin):
                # The owner may write the new file, even where the old one is read-only.
                mode &= os.stat(origin).st_mode | 0o200
        os.chmod(temporary, mode)
        return
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):
            os.chown(temporary, old.st_uid, old.st_gid)
    os.chmod(temporary, stat.S_IMODE(old.st_mode))
