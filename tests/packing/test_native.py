"""The native library: how it is found, what it must not pull in, its own tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keras_compress.errors import NativeLibraryError
from keras_compress.native_library import library_path
from keras_compress.packing import native, native_structures

_ROOT = Path(__file__).parents[2]


def test_no_training_library_is_imported():
    code = (
        "import sys, keras_compress as kc\n"
        "data = bytes(range(256)) * 20\n"
        "assert kc.unpack(kc.pack(data)) == data\n"
        "kc.inspect\n"
        "heavy = {'tensorflow', 'keras', 'flatbuffers', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(native.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_a_missing_library_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(native, "library_path", lambda: Path("nowhere.so"))
    native.library.cache_clear()
    try:
        with pytest.raises(NativeLibraryError, match=r"nowhere\.so is missing.*cmake -S export"):
            native.library()
    finally:
        native.library.cache_clear()


def test_another_interface_version_is_refused(monkeypatch):
    monkeypatch.setattr(native, "ABI_VERSION", 99)
    native.library.cache_clear()
    try:
        with pytest.raises(NativeLibraryError, match=r"version 99. Received: version 1"):
            native.library()
    finally:
        monkeypatch.undo()
        native.library.cache_clear()


def test_structures_match_the_header():
    def name_of(line: str) -> str:
        if "(*" in line:  # a function
            return line.split("(*")[1].split(")", maxsplit=1)[0]
        return (
            line.split(";", maxsplit=1)[0]
            .rsplit(maxsplit=1)[-1]
            .split("[", maxsplit=1)[0]
            .lstrip("*")
        )

    header = (_ROOT / "export" / "include" / "keras_compress.h").read_text()
    for name, structure in (
        ("kc_error", native_structures.NativeError),
        ("kc_extent", native_structures.Extent),
        ("kc_summary", native_structures.Summary),
        ("kc_tensor", native_structures.Tensor),
        ("kc_unlisted", native_structures.Unlisted),
        ("kc_statistics", native_structures.Statistics),
        ("kc_source", native_structures.Source),
        ("kc_sink", native_structures.Sink),
    ):
        body = header.split(f"typedef struct {name} {{")[1].split("}")[0]
        fields = [name_of(line) for line in body.splitlines() if ";" in line]
        assert fields == [field[0] for field in structure._fields_], name


def test_only_the_interface_is_visible():
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("needs nm")
    library = library_path()
    table = subprocess.run([nm, "-D", library], check=True, capture_output=True, text=True).stdout
    lines = [line.split() for line in table.splitlines()]
    ours = {line[-1] for line in lines if line[-2] == "T"}
    # Names that TFLite looks up; the delegate's worker threads need the pthread calls.
    delegate = {"tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate"}
    assert ours and all(name.startswith("kc_") for name in ours - delegate), ours
    needed = {line[-1].split("@")[0] for line in lines if line[-2] == "U"}
    needed = {name for name in needed if not name.startswith("pthread_")}
    memory = {"malloc", "calloc", "free", "posix_memalign", "memcpy", "memmove", "memset", "memcmp"}
    memory |= {"mmap", "munmap"}
    # The last is the loader's, for the flag that a thread's calls are stopped by.
    others = {"abort", "__stack_chk_fail", "strcmp", "strncmp", "__tls_get_addr"}
    assert needed <= memory | others, needed


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("cmake") and (shutil.which("c++") or shutil.which("g++"))),
    reason="needs cmake and a C++ compiler",
)
def test_native_programs(tmp_path):
    build = [
        ["cmake", "-S", str(_ROOT / "export"), "-B", str(tmp_path), "-DKC_TESTS=ON",
         "-DCMAKE_BUILD_TYPE=Debug"],
        ["cmake", "--build", str(tmp_path), "-j2"],
    ]  # fmt: skip
    for command in build:
        subprocess.run(command, check=True, capture_output=True)
    done = subprocess.run(
        ["ctest", "--output-on-failure"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(
    not (shutil.which("cmake") and shutil.which("make")), reason="needs cmake and make"
)
def test_a_missing_compiler_is_one_clear_sentence(tmp_path):
    command = [shutil.which("cmake"), "-S", _ROOT / "export", "-B", tmp_path, "-G",
               "Unix Makefiles", f"-DCMAKE_MAKE_PROGRAM={shutil.which('make')}"]  # fmt: skip
    done = subprocess.run(
        list(map(str, command)),
        env={"PATH": "/nonexistent", "CXX": "/nonexistent/c++"},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "needs a C++17 compiler" in done.stderr
    assert done.stderr.count("CMake Error") == 1, done.stderr
