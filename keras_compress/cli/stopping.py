"""Ending a command from outside: what is under way is taken back, as after Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["TerminatedError", "exit_code", "stoppable"]


class TerminatedError(KeyboardInterrupt):
    """A signal that asks the process to end; all that looks after Ctrl-C looks after it too.

    Args:
        number: The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_code(stop: KeyboardInterrupt) -> int:
    """Return the exit code of a process that was ended by `stop`: 128 and the signal's number."""
    return 128 + (stop.number if isinstance(stop, TerminatedError) else signal.SIGINT)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Raise `TerminatedError` when the process is asked to end within the block.

    By default such a signal ends a process at once, and what it had started or written halfway
    would stay. A signal that the process was told to ignore (`nohup`) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]

    def stop(number: int, _: FrameType | None) -> None:
        # Once: whoever asks again must not keep things from being taken back.
        for each in ours:
            signal.signal(each, signal.SIG_IGN)
        raise TerminatedError(number)

    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
