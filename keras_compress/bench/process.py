"""The parent's end of a worker process: start it, ask it, notice when it dies."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from keras_compress.errors import KerasCompressError, ModelFileError

__all__ = ["WorkerProcess"]

_PACKAGE_FOLDER = Path(__file__).resolve().parents[2]

# The worker imports the same package as its parent, however the parent found it, and never
# (`-P`) one that happens to lie in the current folder.
_START = """
import sys
if {folder!r} not in sys.path:
    sys.path.insert(0, {folder!r})
from keras_compress.bench.worker import main
main()
"""


class WorkerProcess:
    """One model in a process of its own. Use it as a context manager.

    Args:
        name: What errors call the model.
        timeout: Seconds that an answer may take beyond the time asked for.
    """

    def __init__(self, name: str, *, timeout: float) -> None:
        self.name = name
        self.timeout = timeout
        self._chatter = tempfile.TemporaryFile()  # noqa: SIM115  `close` closes it.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START.format(folder=str(_PACKAGE_FOLDER))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._chatter,
            text=True,
            encoding="utf-8",
        )
        self._replies: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def ask(self, command: str, *, seconds: float = 0.0, **arguments: Any) -> dict[str, Any]:
        """Send a command and return the result.

        Raises:
            ModelFileError: If the worker reports a bad model, dies, or doesn't answer in time.
        """
        message = json.dumps({"command": command, "arguments": arguments})
        with contextlib.suppress(BrokenPipeError, ValueError):  # It died: found out below.
            if self._process.stdin is not None:
                self._process.stdin.write(message + "\n")
                self._process.stdin.flush()
        try:
            line = self._replies.get(timeout=seconds + self.timeout)
        except queue.Empty:
            self.close()
            raise ModelFileError(
                f"{self.name} gave no answer within {seconds + self.timeout:.0f} seconds and "
                "was stopped."
            ) from None
        if not line:
            raise ModelFileError(self._obituary())
        reply = json.loads(line)
        if "error" in reply:
            raise ModelFileError(reply["error"])
        result: dict[str, Any] = reply["result"]
        return result

    def close(self) -> None:
        """End the process, by force if it does not end by itself."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._chatter.close()

    def _listen(self) -> None:
        stream = self._process.stdout
        if stream is None:
            raise KerasCompressError("The worker has no output.")
        with contextlib.suppress(ValueError):
            for line in stream:
                self._replies.put(line)
        self._replies.put("")

    def _obituary(self) -> str:
        code = self._process.wait()
        cause = f"ended with code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                cause = f"was ended by {signal.Signals(-code).name}"
        self._chatter.seek(0)
        lines = self._chatter.read().decode(errors="replace").strip().splitlines()
        last = f" Its last words: {lines[-1].strip()[:200]}" if lines else ""
        return (
            f"The runtime crashed on {self.name}: its process {cause}. The file is damaged, or "
            f"holds what this runtime can't run.{last}"
        )
