"""Packed files that the tree keeps, the app's models among them, are of the format of today."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from keras_compress import inspect, unpack

ROOT = Path(__file__).resolve().parents[2]


def test_every_packed_file_of_the_tree_opens():
    command = ["git", "ls-files", "-z", "*.kcz"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a checkout with git")
    files = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    # Patches of the golden files need their bases; tests of their own open those.
    whole = [path for path in files if path.parent.name != "golden"]
    assert len(whole) >= 7
    for path in whole:
        assert len(unpack(path.read_bytes())) == inspect(path).original_size
