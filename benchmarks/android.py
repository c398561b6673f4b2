"""The app for Android in figures: its size, its engine's answers, and decoding on arm64.

    python benchmarks/android.py [--data ../shared/data] [--json OUT]

needs what `bash android_demo/build.sh --test` leaves, `qemu-user` and
`g++-aarch64-linux-gnu`. zstd's decoder is the one in the source package of `zstandard`, fetched
with pip and compiled the same way. No time is taken under emulation: instructions are counted.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from instruction_counts import build
from rich.console import Console
from rich.table import Table

from keras_compress import packing, storage
from keras_compress.packing.pack import MAGIC

_ROOT = Path(__file__).resolve().parents[1]
_DEMO = _ROOT / "android_demo"
_TARGET = _DEMO / "target"
_MODELS = (
    "mlperf_tiny/pretrainedResnet.tflite",
    "mlperf_tiny/pretrainedResnet_quant.tflite",
    "mlperf_tiny/kws_ref_model.tflite",
    "mlperf_tiny/vww_96_int8.tflite",
    "mlperf_tiny/ad01_fp32.tflite",
    "mlperf_tiny/ad01_int8.tflite",
    "coral/keras_lstm_mnist_ptq.tflite",
    "coral/mobilenet_v1_0.25_128_quant.tflite",
    "coral/mobilenet_v1_0.5_160_quant.tflite",
)
_DECODED = (
    "mlperf_tiny/kws_ref_model.tflite",
    "mlperf_tiny/pretrainedResnet_quant.tflite",
    "mlperf_tiny/pretrainedResnet.tflite",
    "mlperf_tiny/vww_96_int8.tflite",
    "mlperf_tiny/ad01_int8.tflite",
)
_ZSTD_LEVEL = 19
_ZSTD_MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include "zstd.h"
int main(int count, char** arguments) {
  FILE* file = count > 1 ? fopen(arguments[1], "rb") : NULL;
  if (!file) return 1;
  char* in = (char*)malloc(1 << 22);
  const size_t size = fread(in, 1, 1 << 22, file);
  const size_t room = (size_t)ZSTD_getFrameContentSize(in, size);
  char* out = (char*)malloc(room ? room : 1);
  return ZSTD_isError(ZSTD_decompress(out, room, in, size)) != 0;
}
"""


def apk_parts() -> dict[str, int]:
    """Bytes of the APK by part, as they lie in it."""
    apk = _TARGET / "keras-compress-bench.apk"
    parts: dict[str, int] = {}
    with zipfile.ZipFile(apk) as file:
        for info in file.infolist():
            name = info.filename
            key = name if name.endswith((".so", ".dex", ".arsc")) else name.split("/")[0]
            parts[key] = parts.get(key, 0) + info.compress_size
    parts["whole"] = apk.stat().st_size
    return parts


def host_engine(folder: Path) -> list[str]:
    """The command that runs a model with the x86-64 library of the AAR."""
    program = folder / "run_tflite"
    source = _DEMO / "headless/run_tflite.cc"
    gxx = ["g++", "-std=c++17", "-O2", "-fno-stack-protector", str(source), "-ldl"]
    subprocess.run([*gxx, "-o", str(program)], check=True)
    return [str(program), str(_TARGET / "host/libtensorflowlite_jni.so")]


def compare_engines(models: list[Path]) -> list[dict[str, object]]:
    """The first output of the AAR's engine, with XNNPACK and without, beside ai-edge-litert's."""
    from ai_edge_litert.interpreter import Interpreter

    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = host_engine(folder)
        for model in models:
            interpreter = Interpreter(str(model))
            interpreter.allocate_tensors()
            given, wanted = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
            generator = np.random.default_rng(0)
            if np.issubdtype(given["dtype"], np.floating):
                values = generator.uniform(0, 1, given["shape"]).astype(given["dtype"])
            else:
                limits = np.iinfo(given["dtype"])
                shape = given["shape"]
                values = generator.integers(limits.min, limits.max + 1, shape, given["dtype"])
            interpreter.set_tensor(given["index"], values)
            interpreter.invoke()
            expected = interpreter.get_tensor(wanted["index"])
            values.tofile(folder / "in")
            row: dict[str, object] = {
                "model": model.name,
                "type": str(expected.dtype),
                "outputs": int(expected.size),
                "largest output": float(np.abs(expected.astype(np.float64)).max()),
            }
            for kernels, words in (("XNNPACK", ["xnnpack"]), ("own kernels", [])):
                command = [*program, str(model), str(folder / "in"), str(folder / "out"), *words]
                subprocess.run(command, check=True, capture_output=True, timeout=300)
                found = np.fromfile(folder / "out", expected.dtype).reshape(expected.shape)
                difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
                row[f"differ, {kernels}"] = int((difference > 0).sum())
                row[f"by at most, {kernels}"] = float(difference.max())
            rows.append(row)
    return rows


def build_zstd(folder: Path) -> Path:
    """Compile zstd's own decoder for aarch64 at -O3, statically."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    command += ["--no-build-isolation", "zstandard==0.23.0", "-d", str(folder)]
    subprocess.run(command, check=True)
    (archive,) = folder.glob("zstandard-*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    (source,) = folder.glob("zstandard-*/zstd")
    main = folder / "main.c"
    main.write_text(_ZSTD_MAIN)
    program = folder / "zstd_decode"
    gcc = ["aarch64-linux-gnu-gcc", "-O3", "-static", "-DZSTD_DISABLE_ASM", f"-I{source}"]
    subprocess.run([*gcc, str(main), str(source / "zstd.c"), "-o", str(program)], check=True)
    return program


def count_under_qemu(plugin: Path, program: Path, packed: Path) -> int:
    """Instructions that `program` runs on `packed`, its start included."""
    command = ["qemu-aarch64", "-plugin", str(plugin), str(program), str(packed)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=900)
    (count,) = re.findall(rb"instructions (\d+)", done.stderr)
    return int(count)


def count_instructions(models: list[Path]) -> list[dict[str, object]]:
    """Instructions on arm64 for each restored byte: both modes of the packed file, and zstd."""
    import zstandard

    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, theirs = build("aarch64-linux-gnu-g++", folder / "kcz"), build_zstd(folder)
        plugin = folder / "count.so"
        source = _ROOT / "benchmarks/count_instructions.c"
        cc = ["cc", "-O2", "-shared", "-fPIC", str(source), "-o", str(plugin)]
        subprocess.run(cc, check=True)
        compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
        forms = {
            "fast": (ours, lambda data: packing.pack(data, codec="fast")),
            "smallest": (ours, lambda data: packing.pack(data, codec="smallest")),
            f"zstd -{_ZSTD_LEVEL}": (theirs, compressor.compress),
        }
        for model in models:
            data = model.read_bytes()
            if data.startswith(MAGIC):
                data = packing.unpack(data)
            row: dict[str, object] = {"model": model.name, "bytes": len(data)}
            for form, (program, pack) in forms.items():
                empty, packed = folder / "empty", folder / "packed"
                empty.write_bytes(pack(b""))
                packed.write_bytes(pack(data))
                spent = count_under_qemu(plugin, program, packed)
                spent -= count_under_qemu(plugin, program, empty)
                row[form] = {"packed": packed.stat().st_size, "per_byte": spent / len(data)}
            rows.append(row)
    return rows


def show(console: Console, results: dict[str, Any]) -> None:
    """Print the tables."""
    for title, rows in results.items():
        if not isinstance(rows, list):
            rows = [{"part": part, "bytes": size} for part, size in rows.items()]
        table = Table(title=title)
        for heading in rows[0] if rows else ():
            table.add_column(
                str(heading), justify="left" if heading in ("part", "model") else "right"
            )
        for row in rows:
            cells = (
                f"{value['packed']:,} bytes, {value['per_byte']:.1f}"
                if isinstance(value, dict)
                else f"{value:.4g}"
                if isinstance(value, float)
                else f"{value:,}"
                if isinstance(value, int)
                else str(value)
                for value in row.values()
            )
            table.add_row(*cells)
        console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=_ROOT.parent / "shared/data")
    parser.add_argument("--json", type=Path, default=_ROOT / "benchmarks/results/android.json")
    parser.add_argument("--without-instructions", action="store_true")
    arguments = parser.parse_args()
    assets = _DEMO / "app/src/main/assets"
    models = [assets / "digits_float32.tflite"]
    models += [path for name in _MODELS if (path := arguments.data / "models" / name).exists()]
    results: dict[str, object] = {
        "APK, bytes by part": apk_parts(),
        "The AAR's engine beside ai-edge-litert": compare_engines(models),
    }
    if not arguments.without_instructions:
        decoded = [path for name in _DECODED if (path := arguments.data / "models" / name).exists()]
        # Shared values in float32 are what the packed format is for.
        decoded.append(assets / "digits_clustered.kcz")
        title = "arm64: packed bytes, and instructions for each restored byte"
        results[title] = count_instructions(decoded)
    tests = "\n".join(p.read_text() for p in (_TARGET / "surefire-reports").glob("*.txt"))
    found = re.findall(r"Tests run: (\d+).*Time elapsed: ([\d.]+) s", tests)
    results["Tests on the JVM"] = {
        "tests": sum(int(count) for count, _ in found),
        "seconds": round(sum(float(seconds) for _, seconds in found)),
    }
    show(Console(), results)
    if arguments.without_instructions and arguments.json.exists():
        results = {**json.loads(arguments.json.read_text()), **results}
    storage.write_atomic(arguments.json, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
