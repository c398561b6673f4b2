"""Native code that several test files need, compiled once for all of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_EXPORT = Path(__file__).parents[1] / "export"
SANITIZE = ["-g", "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


def sanitized_core(config: pytest.Config, base: Path) -> Path:
    """Return a CMake build folder whose `fuzz/libkc_fuzzed.a` is the core under the sanitizers.

    `base` is the session's temporary folder. The workers of pytest-xdist share one build: the
    first makes it, the others wait for it.
    """
    compiler, cmake = shutil.which("g++"), shutil.which("cmake")
    if compiler is None or cmake is None or fcntl is None:
        pytest.skip("needs g++, cmake and POSIX's locks")
    folder = (base.parent if hasattr(config, "workerinput") else base) / "sanitized"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        build, done = folder / "build", folder / "done"
        if done.exists():
            return build
        probe = folder / "probe.cc"
        probe.write_text("int main() { return 0; }\n")
        tried = subprocess.run(
            [compiler, *SANITIZE, str(probe), "-o", str(folder / "probe")], capture_output=True
        )
        if tried.returncode != 0 or subprocess.run([folder / "probe"]).returncode != 0:
            pytest.skip("this g++ has no sanitizers")
        options = ["-DKC_FUZZ=ON", "-DKC_FUZZ_OPTIMIZE=-O0", f"-DCMAKE_CXX_COMPILER={compiler}"]
        for command in (
            [cmake, "-S", str(_EXPORT), "-B", str(build), *options],
            [cmake, "--build", str(build), "-j2", "--target", "kc_fuzzed"],
        ):
            subprocess.run(command, check=True, capture_output=True)
        done.touch()
        return build
