"""The fuzz targets, for a few seconds each, under the sanitizers of whatever compiler there is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_GOLDEN = sorted(map(str, Path(__file__).with_name("golden").glob("*.kcz")))
_TARGETS = ("fuzz_unpack", "fuzz_modelled", "fuzz_sections", "fuzz_walker", "fuzz_round_trip")
_SECONDS = "5"


@pytest.fixture(scope="module")
def targets(tmp_path_factory) -> Path:
    """The folder of the built targets; skips where they can't be built for want of a tool."""
    compiler, cmake = shutil.which("g++"), shutil.which("cmake")
    if compiler is None or cmake is None:
        pytest.skip("needs g++ and cmake")
    folder = tmp_path_factory.mktemp("fuzz")
    probe = folder / "probe.cc"
    probe.write_text("int main() { return 0; }\n")
    flags = ["-fsanitize=address,undefined", str(probe), "-o", str(folder / "probe")]
    tried = subprocess.run([compiler, *flags], capture_output=True)
    if tried.returncode != 0 or subprocess.run([folder / "probe"]).returncode != 0:
        pytest.skip("this g++ has no sanitizers")
    build = folder / "build"
    configure = [cmake, "-S", str(_ROOT / "export"), "-B", str(build), "-DKC_FUZZ=ON"]
    subprocess.run(
        [*configure, f"-DCMAKE_CXX_COMPILER={compiler}"], check=True, capture_output=True
    )
    make = [cmake, "--build", str(build), "-j2", "--target", *_TARGETS]
    subprocess.run(make, check=True, capture_output=True)
    return build / "fuzz"


@pytest.mark.slow
@pytest.mark.parametrize("target", _TARGETS)
def test_nothing_is_found(targets, target):
    command = [str(targets / target), _SECONDS, "1", *_GOLDEN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) > 100
