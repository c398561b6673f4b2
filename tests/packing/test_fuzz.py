"""The fuzz targets, for a few seconds each, under the sanitizers of whatever compiler there is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

_GOLDEN = sorted(map(str, Path(__file__).with_name("golden").glob("*.kcz")))
_TARGETS = ("fuzz_unpack", "fuzz_modelled", "fuzz_sections", "fuzz_walker", "fuzz_round_trip")
_SECONDS = "3"


@pytest.fixture(scope="module")
def targets(sanitized_build) -> Path:
    """The folder of the built targets."""
    command = ["cmake", "--build", str(sanitized_build), "-j2", "--target", *_TARGETS]
    subprocess.run(command, check=True, capture_output=True)
    return sanitized_build / "fuzz"


@pytest.mark.slow
@pytest.mark.parametrize("target", _TARGETS)
def test_nothing_is_found(targets, target):
    command = [str(targets / target), _SECONDS, "1", *_GOLDEN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) > 50
