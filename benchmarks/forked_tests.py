"""Pytest run in a fork that has the libraries imported already, under a limit of processor time."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

#: One process, nothing kept.
PYTEST = ["-q", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Recorder:
    """A pytest plugin that keeps what failed, and each test's processor seconds with set-up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []
        self._since = _processor_seconds()

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._since = _processor_seconds()

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        self.seconds[nodeid] = round(_processor_seconds() - self._since, 3)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(f"collecting {report.nodeid}")


def run_forked(
    tree: Path,
    arguments: list[str],
    *,
    processor: float | None = None,
    wall: float = 3600,
    out: Path | None = None,
    log: Path | None = None,
) -> str:
    """Run pytest on `tree`: "passed", "failed", or "late" past either limit, in seconds.

    This process must not have imported `keras_compress`, which the fork takes from `tree`.
    `out` takes each test's processor seconds and what failed as JSON, `log` what pytest prints.
    """
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.chdir(tree)
        os.environ["PYTHONPATH"] = os.fspath(tree)
        sys.path.insert(0, os.fspath(tree))
        # A fault must not be hidden by what was compiled from a source of the same second.
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        printed = os.open(log or os.devnull, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        for stream in (0, 1, 2):
            os.dup2(printed, stream)
        if processor is not None:
            seconds = int(processor + _processor_seconds()) + 1
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        import pytest

        recorder = Recorder()
        code = int(pytest.main(arguments, plugins=[recorder]))
        if out is not None:
            found = {"seconds": recorder.seconds, "failed": recorder.failed}
            out.write_text(json.dumps(found))
        os._exit(code)
    end = time.monotonic() + wall
    done = 0
    try:
        while not done and time.monotonic() < end:
            time.sleep(0.1)
            done, status = os.waitpid(pid, os.WNOHANG)
    finally:
        # Also where this process is interrupted.
        _kill_group(pid)
        if not done:
            os.waitpid(pid, 0)
    if not done or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (9, 24)):
        return "late"
    return "passed" if status == 0 else "failed"


def _kill_group(pid: int) -> None:
    """End what a test left running."""
    try:
        os.killpg(pid, 9)
    except ProcessLookupError:
        return
