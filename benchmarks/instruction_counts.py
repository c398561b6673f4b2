"""Instructions that restoring takes on aarch64, beside x86-64, and that both restore the same.

    python benchmarks/instruction_counts.py [PACKED...] [--json OUT]

Builds the library with `aarch64-linux-gnu-g++` and `g++` at -O3, statically, and unpacks each file
(the golden files by default) under `qemu-aarch64-static` and natively. aarch64 instructions are
counted by QEMU's log: each block's length from its disassembly, times how often it ran. x86-64
instructions are those Valgrind's `lackey` or, failing that, `perf stat` counts. A run over an
empty packed file is taken off, so that the start of the process doesn't count.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from keras_compress import packing, storage

_ROOT = Path(__file__).resolve().parents[1]
_GOLDEN = _ROOT / "tests" / "packing" / "golden"
_QEMU = "qemu-aarch64-static"


def build(compiler: str, out: Path) -> Path:
    """Compile library and `kcz_decode` into one static program."""
    export = _ROOT / "export"
    sources = [*sorted((export / "src").glob("*.cc")), export / "tools" / "kcz_decode.cc"]
    # CMake writes the samples' bytes as a source that the others include.
    made = Path(f"{out}_cmake")
    subprocess.run(["cmake", "-S", export, "-B", made], check=True, capture_output=True)
    flags = ["-std=c++17", "-O3", "-static", "-fno-exceptions", "-fno-rtti", "-ffp-contract=off"]
    subprocess.run(
        [compiler, *flags, f"-I{export / 'include'}", f"-I{export / 'src'}",
         f"-I{made / 'generated'}", *map(str, sources), "-o", str(out)],
        check=True,
    )  # fmt: skip
    return out


def count_under_qemu(program: Path, packed: Path) -> int:
    """Sum over executed blocks of their lengths, from QEMU's log as it streams by."""
    process = subprocess.Popen(
        [_QEMU, "-d", "in_asm,exec,nochain", str(program), str(packed)],
        stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    lengths: dict[str, int] = {}
    runs: dict[str, int] = {}
    block = ""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("0x"):  # an instruction of the block being translated
            address = line.split(":", 1)[0]
            if not block:
                block, lengths[address] = address, 0
            lengths[block] += 1
        elif line.startswith("IN:"):
            block = ""
        elif line.startswith("Trace "):
            # Trace CPU: host [flags/ADDRESS/flags/flags]
            address = "0x" + line.split("/", 2)[1]
            runs[address] = runs.get(address, 0) + 1
            block = ""
        else:
            block = ""
    if process.wait() != 0:
        raise SystemExit(f"{packed}: {_QEMU} failed")
    by_number = {int(address, 16): length for address, length in lengths.items()}
    return sum(by_number[int(address, 16)] * times for address, times in runs.items())


def count_natively(program: Path, packed: Path) -> int:
    if shutil.which("valgrind"):
        command = ["valgrind", "--tool=lackey", "--basic-counts=yes", str(program), str(packed)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        match = re.search(r"guest instrs:\s+([\d,]+)", done.stderr)
    else:
        command = ["perf", "stat", "-x", ";", "-e", "instructions:u", str(program), str(packed)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        match = re.search(r"^(\d+);", done.stderr, re.MULTILINE)
    if match is None:
        raise SystemExit(f"No count in: {done.stderr[-300:]}")
    return int(match[1].replace(",", ""))


def restored(command: list[str], packed: Path, out: Path) -> str:
    subprocess.run([*command, str(packed), str(out)], check=True)
    return hashlib.sha256(out.read_bytes()).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path, metavar="PACKED")
    parser.add_argument("--json", type=Path, metavar="OUT")
    args = parser.parse_args()
    files = args.paths or sorted(_GOLDEN.glob("*.kcz"))
    table = Table(title="Instructions to restore, less those of an empty file")
    table.add_column("file")
    for column in ("restored bytes", "aarch64", "x86-64", "ratio", "aarch64 a byte"):
        table.add_column(column, justify="right")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        arm = build("aarch64-linux-gnu-g++", Path(folder, "arm"))
        x86 = build("g++", Path(folder, "x86"))
        empty = Path(folder, "empty.kcz")
        empty.write_bytes(packing.pack(b""))
        start_arm, start_x86 = count_under_qemu(arm, empty), count_natively(x86, empty)
        for path in files:
            out = Path(folder, "out")
            wanted = hashlib.sha256(packing.unpack(path.read_bytes())).hexdigest()
            if (
                not restored([_QEMU, str(arm)], path, out)
                == restored([str(x86)], path, out)
                == wanted
            ):
                raise SystemExit(f"{path}: aarch64, x86-64 and this process don't agree")
            size = out.stat().st_size
            a, x = count_under_qemu(arm, path) - start_arm, count_natively(x86, path) - start_x86
            rows.append({"file": path.name, "restored": size, "aarch64": a, "x86_64": x})
            each = f"{a / size:.1f}" if size else ""
            table.add_row(path.name, f"{size:,}", f"{a:,}", f"{x:,}",
                          f"{a / x:.2f}" if x else "", each)  # fmt: skip
    Console().print(table)
    if args.json:
        storage.write_atomic(args.json, json.dumps({"files": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
