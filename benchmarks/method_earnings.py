"""What each method of the packer earns: sizes without it.

    python benchmarks/method_earnings.py FILES_OR_FOLDERS... --work WORK [--only NAME...]

A copy of the sources is built once as it is, and once for each method with the line turned off by
which the packer chooses it; the rest of the choice is left to find what is next best. Every file is
packed by each build in `fast`, `small` and `auto`, and unpacked again by it. Told is, for a method,
by how much all files together grow without it, and the one that grows most. What was measured
stands in `benchmarks/results/method_earnings.json` and is measured again only by `--only`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "method_earnings.json"
CODECS = ("fast", "small", "auto")
# What is left out -> file, a text that stands there once, and what stands there instead.
LEFT_OUT = {
    "fill": (
        "choose.cc",
        "if (all_equal(data, size)) {",
        "if (all_equal(data, size) && size == 0) {",
    ),
    "copy": ("pack.cc", "tensor.size >= 64 && k-- > 0;", "tensor.size == 0 && k-- > 0;"),
    "integers": (
        "choose.cc",
        "return choose_integers(data, size / 4, e);",
        "return choose_integers(data, size / 4, e) && size == 0;",
    ),
    "zeros of floats apart": (
        "choose.cc",
        "e->sparse = sparse && zeros_found != 0",
        "e->sparse = sparse && count == 0 && zeros_found != 0",
    ),
    "grids": (
        "choose.cc",
        "const bool grids = is_float",
        "const bool grids = size == 0 && is_float",
    ),
    "channel codebooks": (
        "choose.cc",
        "if (tensor.rank < 2 || e->row == 0) return;",
        "if (tensor.rank < 2 || e->row == 0 || bytes > 0) return;",
    ),
    "blocks with a scale each": (
        "choose.cc",
        "if (!find_blocks(tensor, data, count, format, &found)) return false;",
        "if (count > 0 || !find_blocks(tensor, data, count, format, &found)) return false;",
    ),
    "gaps": (
        "choose.cc",
        "bool pairs = e->centre_flag && e->highest > e->lowest;",
        "bool pairs = e->size == 0 && e->centre_flag;",
    ),
    "planes": (
        "choose.cc",
        "case kMethodFloats: e->method = kMethodPlanes; return;",
        "case kMethodFloats: return take_bytes(e);",
    ),
    "lz": (
        "byte_choice.cc",
        "if (codec == KC_CODEC_FAST || !try_out(kMethodLz, 0)) try_out(kMethodRepeats, 0);",
        "try_out(kMethodRepeats, 0);",
    ),
    "repeats": (
        "byte_choice.cc",
        "if (codec == KC_CODEC_FAST || !try_out(kMethodLz, 0)) try_out(kMethodRepeats, 0);",
        "if (codec != KC_CODEC_FAST) try_out(kMethodLz, 0);",
    ),
    "byte model where bytes repeat": (
        "byte_choice.cc",
        "if (codec == KC_CODEC_SMALLEST || (codec == KC_CODEC_AUTO && slow <= allowed))",
        "if (codec == KC_CODEC_SMALLEST || (codec == KC_CODEC_AUTO && e->size == 0))",
    ),
    "distances of rows that no shape tells": (
        "repeats.cc",
        "if (!flat || count > kMaxTried",
        "if (!flat || count > 0",
    ),
    "rules for scales of biases": (
        "pack.cc",
        "if (check_rule(rule, size, &free_from) && !plan->rules.push(rule)) return false;",
        "(void)rule;",
    ),
    "fast models: contexts of rows": (
        "fast_choice.cc",
        "if (e->count() > e->row && try_out(kFastUp, true)) try_out(kFastUpLeft, true);\n"
        "  if (e->last != 0 && e->last < e->row && try_out(kFastLag, true))"
        " try_out(kFastLagLeft, true);",
        "",
    ),
    "fast models: means": ("fast_choice.cc", "try_out(kFastMeans, false);", ""),
    "fast models: noise": (
        "fast_choice.cc",
        "e->method == kMethodFastSymbols ? find_noise(plan, sample, file) : 0;",
        "e->method == kMethodFastSymbols && e->size == 0 ? find_noise(plan, sample, file) : 0;",
    ),
}
PACK = """
import json, sys
import keras_compress
for path in sys.stdin.read().split("\\n"):
    data = open(path, "rb").read()
    sizes = {}
    for codec in sys.argv[1:]:
        packed = keras_compress.pack(data, codec=codec)
        assert keras_compress.unpack(packed) == data, path
        sizes[codec] = len(packed)
    print(json.dumps([path, sizes]), flush=True)
"""


def build(work: Path, name: str) -> Path:
    """Return a tree whose library lacks what `name` says; an empty one lacks nothing."""
    tree = work / "tree"
    if tree.exists():
        shutil.rmtree(tree)
    for part in ("keras_compress", "export"):
        skipped = shutil.ignore_patterns("build*", "__pycache__", "*.so")
        shutil.copytree(ROOT / part, tree / part, ignore=skipped)
    if name:
        file, before, after = LEFT_OUT[name]
        path = tree / "export" / "src" / file
        source = path.read_text()
        if source.count(before) != 1:
            raise SystemExit(f"{file} must have this once: {before!r}")
        path.write_text(source.replace(before, after))
    folder = work / "build"
    options = ["-DKC_INPLACE=ON", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS=-w"]
    for command in (
        ["cmake", "-S", tree / "export", "-B", folder, *options],
        ["cmake", "--build", folder, "-j", "--target", "keras_compress"],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return tree


def sizes_by(tree: Path, files: list[Path]) -> dict[str, dict[str, int]]:
    lines = subprocess.run(
        [sys.executable, "-c", PACK, *CODECS],
        input="\n".join(map(str, files)),
        text=True,
        env={**os.environ, "PYTHONPATH": str(tree)},
        cwd=tree,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.splitlines()
    return {Path(path).name: sizes for path, sizes in map(json.loads, lines)}


def tell(found: dict[str, dict[str, dict[str, int]]]) -> None:
    whole = found[""]
    print(f"{len(whole)} files. Without it, they grow by, and the one that grows most:\n")
    print(f"| left out | {' | '.join(f'{c}: all | most on one' for c in CODECS)} |")
    print(f"|---{'|---' * (2 * len(CODECS))}|")
    for name, sizes in found.items():
        if not name:
            continue
        cells = []
        for codec in CODECS:
            growth = {file: sizes[file][codec] / whole[file][codec] - 1 for file in whole}
            most = max(growth, key=lambda file: growth[file])
            mean = sum(s[codec] for s in sizes.values()) / sum(s[codec] for s in whole.values()) - 1
            of_one = (
                f"{100 * growth[most]:.1f} % ({Path(most).stem})" if growth[most] > 5e-4 else "0"
            )
            cells += [f"{100 * mean:.2f} %", of_one]
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("files", nargs="+", type=Path, help="`.tflite` files, or folders of them")
    parser.add_argument("--work", type=Path, required=True, help="where the sources are built")
    parser.add_argument("--only", nargs="+", choices=LEFT_OUT, help="measure these again")
    args = parser.parse_args()
    files: list[Path] = []
    for path in args.files:
        files += sorted(path.rglob("*.tflite")) if path.is_dir() else [path]
    files = [path.resolve() for path in files]
    if len({path.name for path in files}) < len(files):
        raise SystemExit("names of files must differ")
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in ["", *LEFT_OUT]:
        if name in found and name not in (args.only or []):
            continue
        found[name] = sizes_by(build(args.work.resolve(), name), files)
        RESULTS.write_text(json.dumps(found) + "\n")
        print(f"measured: {name or 'as it is'}", flush=True)
    tell(found)


if __name__ == "__main__":
    main()
