"""What other compressors make of the same bytes, for `inspect(compare=True)`."""

from __future__ import annotations

import contextlib
import lzma
import queue
import threading
import zlib
from collections.abc import Callable, Mapping

__all__ = ["compared_sizes"]

# Seconds between two looks at what was raised.
_LOOK = 0.1


def compared_sizes(data: bytes) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the sizes that gzip, xz, zstd and brotli reach, and those that are not installed.

    What is raised in the calling thread meanwhile, such as `KeyboardInterrupt`, comes out at once.
    These libraries can't be stopped within a call: one that runs goes on unheard on a thread of its
    own, which keeps no process alive, and none is begun after it.
    """
    compressors, missing = _installed()
    answers: queue.SimpleQueue[dict[str, int] | BaseException] = queue.SimpleQueue()
    stopped = threading.Event()
    arguments = (data, compressors, stopped, answers)
    threading.Thread(target=_run, args=arguments, daemon=True).start()
    try:
        answer = None
        while answer is None:
            # A signal that arrives just before a wait begins doesn't end it: waits are short.
            with contextlib.suppress(queue.Empty):
                answer = answers.get(timeout=_LOOK)
    finally:
        stopped.set()
    if isinstance(answer, BaseException):
        raise answer
    return answer, missing


def _run(
    data: bytes,
    compressors: Mapping[str, Callable[[bytes], int]],
    stopped: threading.Event,
    answers: queue.SimpleQueue[dict[str, int] | BaseException],
) -> None:
    sizes = {}
    try:
        for name, size_of in compressors.items():
            if stopped.is_set():
                return
            sizes[name] = size_of(data)
    except BaseException as error:
        answers.put(error)
        return
    answers.put(sizes)


def _installed() -> tuple[dict[str, Callable[[bytes], int]], tuple[str, ...]]:
    gzip_overhead = 18 - 6  # a gzip file's frame against zlib's
    found: dict[str, Callable[[bytes], int]] = {
        "gzip -9": lambda data: len(zlib.compress(data, 9)) + gzip_overhead,
        "xz -9e": lambda data: len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
    }
    missing = []
    try:
        import zstandard

        found["zstd -19"] = lambda data: len(zstandard.ZstdCompressor(level=19).compress(data))
    except ImportError:
        missing.append("zstandard")
    try:
        import brotli

        found["brotli -11"] = lambda data: len(brotli.compress(data, quality=11, lgwin=24))
    except ImportError:
        missing.append("brotli")
    return found, tuple(missing)
