"""Keeping TensorFlow's native chatter off the terminal of a command."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

__all__ = ["quiet_native_output"]


@contextlib.contextmanager
def quiet_native_output() -> Iterator[None]:
    """Send what native code writes to stdout and stderr elsewhere within the block.

    Python's own `sys.stdout` and `sys.stderr` keep working: only file descriptors 1 and 2 are
    redirected, which affects the whole process. It is for commands, not for libraries. If the
    block fails with something unforeseen, what was held back is shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        kept = {number: os.dup(number) for number in (1, 2)}
    except OSError:  # One of them is closed: there is nothing to keep quiet.
        yield
        return
    streams = sys.stdout, sys.stderr
    with tempfile.TemporaryFile() as sink:
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            sys.stdout = os.fdopen(os.dup(kept[1]), "w", encoding="utf-8", errors="replace")
            sys.stderr = os.fdopen(
                os.dup(kept[2]), "w", encoding="utf-8", errors="replace", buffering=1
            )
            for number in (1, 2):
                os.dup2(sink.fileno(), number)
            yield
        finally:
            replaced = sys.stdout, sys.stderr
            sys.stdout, sys.stderr = streams
            for stream in replaced:
                stream.close()
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)
