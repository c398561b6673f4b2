"""The converter in a process of its own, for graphs on which it can crash.

TensorFlow measures activation ranges with kernels that read what a loop has moved away: a null
pointer, which would take the user's process and its trained net along. A process costs the import
of TensorFlow, seconds, so it is started only for what is known to be at risk.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from keras_compress.exporter.tf_converter import (
    INTEGER_ACTIVATIONS,
    ConverterSettings,
    run_converter,
)

__all__ = ["ConverterCrashError", "ConverterError", "can_crash", "main", "run_converter_apart"]

_PACKAGE_FOLDER = Path(__file__).resolve().parents[2]

# The process imports the same package as its parent, however the parent found it, and never
# (`-P`) one that happens to lie in the current folder.
_START = """
import sys
if {folder!r} not in sys.path:
    sys.path.insert(0, {folder!r})
from keras_compress.exporter.converter_process import main
main()
"""

_CONTROL_FLOW = ("While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase")

_CALIBRATION, _RESULT, _FAILURE = "calibration.npz", "model.tflite", "failure.txt"


class ConverterError(Exception):
    """The converter raised an error; its text is this one's."""


class ConverterCrashError(Exception):
    """The converter's process ended without an answer; the text says how."""


def can_crash(concrete: Any, precision: str) -> bool:
    """Whether the converter is known to crash on functions like `concrete`.

    Args:
        concrete: A traced `tf.function`.
        precision: What it is converted to.
    """
    if precision not in INTEGER_ACTIVATIONS:
        return False
    graph = concrete.graph.as_graph_def()
    nodes = [graph.node, *(function.node_def for function in graph.library.function)]
    return any(node.op in _CONTROL_FLOW for part in nodes for node in part)


def run_converter_apart(
    folder: str,
    settings: ConverterSettings,
    calibration: dict[str, np.ndarray] | None,
    *,
    scratch: str,
) -> bytes:
    """Do what `run_converter` does, in another process.

    Args:
        folder: The SavedModel's.
        settings: How to convert.
        calibration: As for `run_converter`.
        scratch: An empty folder for what the two processes tell each other.

    Raises:
        ConverterError: If the converter raised an error.
        ConverterCrashError: If it took its process down.
    """
    place = Path(scratch)
    if calibration is not None:
        # By number: a name may be one that `savez` takes for an argument of its own.
        arrays = {f"array_{i}": array for i, array in enumerate(calibration.values())}
        np.savez(place / _CALIBRATION, **arrays)  # type: ignore[arg-type]
    task = {
        "folder": folder,
        "scratch": scratch,
        "settings": asdict(settings),
        "names": None if calibration is None else list(calibration),
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", _START.format(folder=str(_PACKAGE_FOLDER))],
        input=json.dumps(task).encode(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # Converting needs no accelerator, and the parent may have taken all of its memory.
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"},
        check=False,
    )
    if (place / _FAILURE).exists():
        raise ConverterError((place / _FAILURE).read_text(encoding="utf-8"))
    if done.returncode:
        raise ConverterCrashError(_obituary(done.returncode, done.stderr))
    return (place / _RESULT).read_bytes()


def main() -> None:
    """Convert what standard input asks for; the process's own end."""
    task = json.load(sys.stdin)
    place = Path(task["scratch"])
    calibration = None
    if task["names"] is not None:
        with np.load(place / _CALIBRATION, allow_pickle=False) as archive:
            calibration = {name: archive[f"array_{i}"] for i, name in enumerate(task["names"])}
    try:
        data = run_converter(task["folder"], ConverterSettings(**task["settings"]), calibration)
    except Exception as error:
        (place / _FAILURE).write_text(f"{error}", encoding="utf-8", errors="replace")
        return
    (place / _RESULT).write_bytes(data)


def _obituary(code: int, stderr: bytes) -> str:
    cause = f"its process ended with code {code}"
    if code < 0:
        with contextlib.suppress(ValueError):
            cause = f"its process was ended by {signal.Signals(-code).name}"
            return cause
    lines = stderr.decode(errors="replace").strip().splitlines()
    return f"{cause}: {lines[-1].strip()[:200]}" if lines else cause
