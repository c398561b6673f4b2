"""Native work on threads of its own, so that Ctrl-C stops it and leaves nothing behind.

Python runs signal handlers in the main thread only, and between two of its own instructions. A main
thread inside a native call would notice Ctrl-C when the call has ended; one that is interrupted
while its helpers still work frees what they read. So no calling thread enters the library for long:
it hands the work to a thread that no handler ever interrupts, waits, and, if anything is raised
meanwhile, has the library stop, waits for the end, and goes on raising. Whatever the work uses
belongs to the thread that works.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from keras_compress.packing import native

__all__ = ["interruptible", "run_sections", "turn"]

T = TypeVar("T")

# Seconds between two looks of a waiting thread: where locks can't be interrupted (Windows), how
# long Ctrl-C takes to be noticed.
_LOOK = 0.1


class _Here(threading.local):
    """The flag that the calling thread's work is stopped by, while it works."""

    stop: ctypes.c_int32 | None = None


_here = _Here()


class _Task:
    """One piece of work, and what became of it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.finished = False
        self._work = work
        self._stop = ctypes.c_int32(0)
        self._begun = False
        self._guard = _thread.allocate_lock()
        # Wakes whoever waits; `finished` is what counts, since an acquired lock may be lost to an
        # exception that is raised just behind it.
        self._bell = _thread.allocate_lock()
        self._bell.acquire()

    def run(self) -> None:
        with self._guard:
            if self._stop.value:
                return
            self._begun = True
        try:
            # Debuggers and coverage set a trace for threads of `threading` alone.
            if threading.gettrace() is not None:
                sys.settrace(threading.gettrace())
            with _watching(self._stop):
                self.result = self._work()
        except BaseException as error:
            self.error = error
        finally:
            # Frees what the work holds before anyone hears of its end.
            del self._work
            self.finished = True
            self._bell.release()

    def wait(self) -> None:
        while not self.finished:
            self._bell.acquire(timeout=_LOOK)

    def abandon(self) -> None:
        """Have the work end early, and wait until it has; more interrupts change nothing."""
        while True:
            try:
                with self._guard:
                    self._stop.value = 1
                    begun = self._begun
                if begun:
                    self.wait()
                return
            except KeyboardInterrupt:
                continue


def interruptible(work: Callable[[], T]) -> T:
    """Call `work` on a thread of its own and return its result.

    What is raised in the calling thread meanwhile, such as `KeyboardInterrupt`, comes out once
    `work` has ended, for which its native calls are stopped. Inside of other such work, `work` is
    called as it is, and stopped with it.
    """
    if _here.stop is not None:
        return work()
    task = _Task(work)
    try:
        try:
            _thread.start_new_thread(task.run, ())
        except RuntimeError:
            # At the interpreter's end, and where there are no threads, none can be started.
            return work()
        task.wait()
    except BaseException:
        task.abandon()
        raise
    if task.error is not None:
        raise task.error
    result: T = task.result
    return result


@contextlib.contextmanager
def turn(lock: threading.Lock) -> Iterator[None]:
    """Hold `lock`; waiting for it ends when the work that waits is stopped."""
    while not lock.acquire(timeout=_LOOK):
        if _here.stop is not None and _here.stop.value:
            raise native.StoppedError
    try:
        yield
    finally:
        lock.release()


def run_sections(sections: int, work: Callable[[int], None], threads: int) -> None:
    """Call `work` for each section, on up to `threads` threads; the first error ends them all.

    All of them have ended when this returns or raises. To be called by interruptible work.
    """
    # The graph's section comes first: nothing takes longer, or is as indivisible.
    waiting = list(reversed(range(sections)))
    failures: list[BaseException] = []
    lock = threading.Lock()
    stop = _here.stop

    def take() -> None:
        while True:
            with lock:
                if not waiting or failures:
                    return
                section = waiting.pop()
            try:
                work(section)
            except BaseException as error:
                with lock:
                    failures.append(error)

    def help_out() -> None:
        with _watching(stop):
            take()

    helpers: list[threading.Thread] = []
    # Without threads of its own, work is done by the one that asked.
    with contextlib.suppress(RuntimeError):
        for _ in range(min(threads, sections) - 1):
            helper = threading.Thread(target=help_out)
            helper.start()
            helpers.append(helper)
    take()
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]


@contextlib.contextmanager
def _watching(stop: ctypes.c_int32 | None) -> Iterator[None]:
    """Have this thread's calls of the library look at `stop`."""
    library = native.library()
    before = library.kc_watch(None if stop is None else ctypes.addressof(stop))
    _here.stop = stop
    try:
        yield
    finally:
        _here.stop = None
        library.kc_watch(before)
