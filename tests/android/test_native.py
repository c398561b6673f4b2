"""The JNI of the core: changed bytes under AddressSanitizer, and the arm64 code under qemu."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.android.conftest import ASSETS, DEMO, TARGET, require
from tests.native_builds import SANITIZE

EXPORT = DEMO.parent / "export"
GOLDEN = sorted((DEMO.parent / "tests/packing/golden").glob("*.kcz"))
SOUND = "sound\n"
JNI = [EXPORT / "jni/fuzz_jni.cc", EXPORT / "jni/keras_compress_jni.cc"]


def jni_headers() -> list[str]:
    for home in sorted(Path("/usr/lib/jvm").glob("java-*-openjdk-*/include")):
        if (home / "jni.h").exists():
            return [f"-I{home}", f"-I{home / 'linux'}"]
    raise pytest.skip.Exception(
        "no JDK with jni.h is installed; android_demo/build.sh says what is needed"
    )


def core_sources() -> list[Path]:
    """Those that CMakeLists.txt lists, so that this build has what the library has."""
    text = (EXPORT / "CMakeLists.txt").read_text()
    words = text.split("set(KC_SOURCES", 1)[1].split(")", 1)[0].split()
    return [EXPORT / word for word in words if word.endswith(".cc")]


def build(compiler: str, target: Path, *options: str, sources: list[Path]) -> Path:
    command = [compiler, "-std=c++17", "-ffp-contract=off", *options, *jni_headers()]
    command += [f"-I{EXPORT / 'include'}", f"-I{EXPORT / 'src'}", f"-I{EXPORT}"]
    subprocess.run([*command, *map(str, sources), "-o", str(target)], check=True)
    return target


def test_changed_bytes_stay_inside_their_buffers(tmp_path, sanitized_build):
    require("g++")
    program = build(
        "g++",
        tmp_path / "fuzz_jni",
        *(*SANITIZE, "-pthread"),
        sources=[*JNI, sanitized_build / "fuzz/libkc_fuzzed.a"],
    )
    done = subprocess.run([program, "60", *GOLDEN], capture_output=True, text=True, timeout=300)
    assert done.stdout == SOUND, done.stderr[-2000:]


def test_the_arm64_code_under_qemu(tmp_path):
    """The same calls, compiled for the phone's processor: golden files and wrong callers."""
    require("aarch64-linux-gnu-g++", "qemu-aarch64-static", "cmake")
    # CMake writes the samples' bytes as a source that the others include.
    subprocess.run(["cmake", "-S", EXPORT, "-B", tmp_path], check=True, capture_output=True)
    program = build(
        "aarch64-linux-gnu-g++",
        tmp_path / "jni_arm64",
        *("-O2", "-static", "-pthread", f"-I{tmp_path / 'generated'}"),
        sources=[*JNI, *core_sources()],
    )
    assets = sorted(ASSETS.glob("*.kcz"))
    done = subprocess.run(
        ["qemu-aarch64-static", program, "3", *GOLDEN, *assets],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout == SOUND, done.stderr[-2000:]


@pytest.mark.parametrize("name", ["digits_float32.tflite"])
def test_the_engine_of_the_aar_on_arm64_answers_as_ai_edge_litert(tmp_path, name):
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    program = arm64_engine(tmp_path)
    interpreter = Interpreter(str(ASSETS / name))
    interpreter.allocate_tensors()
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()
    values = np.random.default_rng(0).uniform(0, 1, given["shape"]).astype(given["dtype"])
    interpreter.set_tensor(given["index"], values)
    interpreter.invoke()
    values.tofile(tmp_path / "in")
    command = [*program, ASSETS / name, tmp_path / "in", tmp_path / "out"]
    subprocess.run(list(map(str, command)), check=True, timeout=120, capture_output=True)
    found = np.fromfile(tmp_path / "out", wanted["dtype"]).reshape(wanted["shape"])
    np.testing.assert_allclose(found, interpreter.get_tensor(wanted["index"]), atol=1e-4)


def arm64_engine(folder: Path) -> list[object]:
    """The command that runs a model with the AAR's own arm64 library under qemu."""
    require("aarch64-linux-gnu-g++", "qemu-aarch64-static", "patchelf")
    engine = TARGET / "aar/tflite/jni/arm64-v8a/libtensorflowlite_jni.so"
    if not engine.exists():
        pytest.skip("the AAR is not there: bash android_demo/build.sh")
    headless = DEMO / "headless"
    library = folder / "libtensorflowlite_jni.so"
    subprocess.run(["python3", headless / "unbionic.py", engine, library], check=True)
    gcc = shutil.which("aarch64-linux-gnu-gcc") or "aarch64-linux-gnu-gcc"
    bionic = folder / "libbionic_on_glibc.so"
    soname = "-Wl,-soname,libbionic_on_glibc.so"
    source = headless / "bionic_on_glibc.c"
    subprocess.run([gcc, "-O1", "-shared", "-fPIC", soname, source, "-o", bionic], check=True)
    program = folder / "run_tflite"
    gxx = ["aarch64-linux-gnu-g++", "-std=c++17", "-O2", "-fno-stack-protector"]
    subprocess.run([*gxx, headless / "run_tflite.cc", "-ldl", "-o", program], check=True)
    return ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu", program, library]
