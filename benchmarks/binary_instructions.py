"""Instructions a multiply-add on 64-bit ARM: our binary layers beside XNNPACK's float32 and int8.

    python benchmarks/binary_instructions.py --engine libtensorflowlite_jni.so

`--engine` is the arm64-v8a library of the AAR org.tensorflow:tensorflow-lite, whose XNNPACK is
counted. Everything runs under `qemu-aarch64` with the plugin of `count_instructions.c`; what two
further runs add to a first one is two runs' instructions, without the start. QEMU's processor has
integer dot products, which XNNPACK's int8 then uses (`-cpu max`). Needs `aarch64-linux-gnu-g++`,
`qemu-aarch64` and `patchelf`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
from binary_kernels import LAYERS, files_of
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
HEADLESS = HERE.parent / "android_demo" / "headless"
PARTS = ("borders", "convolution", "depthwise", "filters", "geometry", "image", "kernel_neon",
         "kernel_portable", "kernels", "threads")  # fmt: skip


def run(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    return done.stderr


def build(folder: Path, engine: Path) -> None:
    run("cc", "-O2", "-shared", "-fPIC", HERE / "count_instructions.c", "-o", folder / "count.so")
    gxx = ["aarch64-linux-gnu-g++", "-std=c++17"]
    binary = HERE.parent / "export" / "binary"
    sources = [binary / f"{part}.cc" for part in PARTS]
    flags = ["-O3", "-static", "-ffp-contract=off", "-fno-exceptions", f"-I{binary}"]
    run(*gxx, *flags, HERE / "binary_layer.cc", *sources, "-o", folder / "layer")
    run("python3", HEADLESS / "unbionic.py", engine, folder / "libtensorflowlite_jni.so")
    bionic = "libbionic_on_glibc.so"
    run("aarch64-linux-gnu-gcc", "-O1", "-shared", "-fPIC", f"-Wl,-soname,{bionic}",
        HEADLESS / "bionic_on_glibc.c", "-o", folder / bionic)  # fmt: skip
    run(*gxx, "-O2", "-fno-stack-protector", HEADLESS / "run_tflite.cc", "-ldl",
        "-o", folder / "engine")  # fmt: skip


def counted(folder: Path, *program: object) -> float:
    """Instructions of one run; the last argument of the program is the number of runs."""
    qemu = ["qemu-aarch64", "-cpu", "max", "-L", "/usr/aarch64-linux-gnu",
            "-plugin", folder / "count.so"]  # fmt: skip
    few, more = (
        int(re.findall(r"instructions (\d+)", run(*qemu, *program, runs))[-1]) for runs in (1, 3)
    )
    return (more - few) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", type=Path, required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    table = Table(title="aarch64 instructions a multiply-add")
    for heading in ("layer", "float32", "int8", "binary", "float32 over binary"):
        table.add_column(heading, justify="right")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, options.engine)
        for kernel in (3, 1):
            for size, channels in LAYERS:
                macs = size * size * channels * channels * kernel * kernel
                models = files_of(size, channels, kernel)
                each = {}
                for kind, numbers in (("float32", np.float32), ("int8", np.int8)):
                    (folder / "model").write_bytes(models[kind])
                    np.ones(size * size * channels, numbers).tofile(folder / "in")
                    each[kind] = counted(
                        folder, folder / "engine", folder / "libtensorflowlite_jni.so",
                        folder / "model", folder / "in", folder / "out", "xnnpack",
                    ) / macs  # fmt: skip
                each["binary"] = counted(folder, folder / "layer", size, channels, kernel) / macs
                layer = f"{size}x{size}x{channels}, {kernel}x{kernel}"
                rows.append({"layer": layer, **each})
                table.add_row(layer, *(f"{each[n]:.4f}" for n in ("float32", "int8", "binary")),
                              f"{each['float32'] / each['binary']:.1f}")  # fmt: skip
    Console(width=100).print(table)
    path = HERE / "results" / "binary_instructions.json"
    path.write_text(json.dumps({"engine": options.engine.name, "layers": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
