"""What is in the APK: its parts, their places, its signature, and what our libraries ask for."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.android.conftest import ASSETS, DEMO, require

ABIS = ("arm64-v8a", "x86_64")
OURS = "libkeras_compress_jni.so"
ENGINE = "libtensorflowlite_jni.so"
# All of it is in Android's libc since API 21.
LIBC = {"memcpy", "memmove", "memset", "memcmp", "strlen", "malloc", "calloc", "free", "abort"}
LIBC |= {"strcmp", "strncmp", "__cxa_atexit", "__cxa_finalize", "pthread_create", "pthread_join"}
LIBC |= {"posix_memalign"}  # for the buffers of binary kernels
LIBC |= {"mmap", "munmap"}  # for graphs, at their places
LIBC |= {f"pthread_mutex_{name}" for name in ("init", "destroy", "lock", "unlock")}
LIBC |= {f"pthread_cond_{name}" for name in ("init", "destroy", "wait", "signal", "broadcast")}
# Asked for weakly: there if the delegate is built in.
WEAK = {"tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate"}


def run(*command: object) -> str:
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture(scope="session")
def libraries(apk, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("apk")
    with zipfile.ZipFile(apk) as file:
        file.extractall(folder)
    return {abi: folder / "lib" / abi / OURS for abi in ABIS}


def test_the_parts_and_their_sizes(apk):
    with zipfile.ZipFile(apk) as file:
        sizes = {info.filename: info.compress_size for info in file.infolist()}
        methods = {info.filename: info.compress_type for info in file.infolist()}
        for name in ("digits_int8.kcz", "digits_float32.tflite", "digits.bin"):
            assert file.read(f"assets/{name}") == (ASSETS / name).read_bytes()
    libraries = {f"lib/{abi}/{name}" for abi in ABIS for name in (OURS, ENGINE)}
    assert {name for name in sizes if name.startswith("lib/")} == libraries
    assert {"classes.dex", "resources.arsc", "AndroidManifest.xml"} <= set(sizes)
    assert apk.stat().st_size <= 9_000_000
    for abi in ABIS:
        assert sizes[f"lib/{abi}/{OURS}"] <= 150_000
    # What is mapped is stored.
    for name, method in methods.items():
        if name.endswith((".so", ".arsc", ".tflite", ".kcz")):
            assert method == zipfile.ZIP_STORED, name


def test_libraries_lie_at_16_kib_after_signing(apk):
    with zipfile.ZipFile(apk) as file, apk.open("rb") as raw:
        for info in file.infolist():
            raw.seek(info.header_offset + 26)
            name_size, extra_size = struct.unpack("<HH", raw.read(4))
            start = info.header_offset + 30 + name_size + extra_size
            if info.filename.endswith(".so"):
                assert start % 16384 == 0, info.filename
            elif info.compress_type == zipfile.ZIP_STORED and info.file_size:
                assert start % 4 == 0 or info.filename.startswith("res/"), info.filename


def test_the_signature(apk):
    require("apksigner")
    said = run("apksigner", "verify", "--verbose", "--min-sdk-version", "24", apk)
    assert "Verified using v2 scheme (APK Signature Scheme v2): true" in said
    assert "Verified using v3 scheme (APK Signature Scheme v3): true" in said


def test_the_manifest_as_built(apk):
    require("aapt2")
    said = run("aapt2", "dump", "badging", apk)
    assert "package: name='org.kerascompress.bench' versionCode='1' versionName='0.1.0'" in said
    assert "sdkVersion:'24'" in said and "targetSdkVersion:'34'" in said
    assert "uses-permission" not in said and "application-debuggable" not in said
    assert "native-code: 'arm64-v8a' 'x86_64'" in said


@pytest.mark.parametrize("abi", ABIS)
def test_our_library_needs_nothing_but_libc(libraries, abi):
    require("readelf")
    library = libraries[abi]
    dynamic = run("readelf", "-dW", library)
    needed = [line for line in dynamic.splitlines() if "NEEDED" in line]
    assert len(needed) == 1 and "[libc.so]" in needed[0]
    assert "TEXTREL" not in dynamic
    symbols = run("readelf", "-W", "--dyn-syms", library).splitlines()
    asked = {line.split()[-1].split("@")[0] for line in symbols if " UND " in line}
    assert asked - {"UND"} <= LIBC | WEAK
    offered = {line.split()[-1] for line in symbols if " GLOBAL " in line and " UND " not in line}
    assert offered and all(name.startswith("Java_") for name in offered)
    headers = run("readelf", "-lW", library)
    loads = [line.split() for line in headers.splitlines() if line.split()[:1] == ["LOAD"]]
    assert loads and all(int(line[-1], 16) == 16384 for line in loads)
    # Thread-local storage would need more of the loader than our oldest Android has.
    assert not any(line.split()[:1] == ["TLS"] for line in headers.splitlines())
    assert not any("RWE" in line for line in headers.splitlines())


def test_the_headless_build_has_a_stub_for_each_name_and_no_more():
    stub = (DEMO / "headless/bionic_stub.c").read_text()
    names = {line.split("(")[0].split()[-1] for line in stub.splitlines() if "(void) {}" in line}
    assert names <= LIBC and "malloc" in names


def test_two_packings_of_the_same_parts_are_the_same_bytes(apk, tmp_path):
    parts = DEMO / "target"
    if not (parts / "res.apk").exists():
        pytest.skip("the build's intermediate files are gone")
    for name in ("a", "b"):
        copy = tmp_path / f"{name}.dex"
        shutil.copyfile(parts / "apk/classes.dex", copy)
        run(
            "python3",
            DEMO / "headless/pack_apk.py",
            tmp_path / f"{name}.apk",
            parts / "res.apk",
            f"classes.dex={copy}",
        )
    assert (tmp_path / "a.apk").read_bytes() == (tmp_path / "b.apk").read_bytes()
