"""Processes that a test starts, and what they leave behind."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path


def descendants(pid: int) -> set[int]:
    """Return the living processes under `pid`, on Linux."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:2]
                if state != "Z":
                    parents[int(folder.name)] = int(parent)
    found = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return found - {pid}
        found |= more


def wait_for(condition, seconds: float = 60.0) -> bool:
    """Wait until `condition()` holds; return whether it did in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which the package under test is found."""
    import keras_compress

    return {
        **os.environ,
        "PYTHONPATH": str(Path(keras_compress.__file__).parents[1]),
        **more,
    }
