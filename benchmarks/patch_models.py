"""Patches beside bsdiff and `zstd --patch-from`, in one run.

    python benchmarks/patch_models.py [--data FOLDER] [--json OUT]

The cases are made here, from models in the data folder and from drawn weights of LeNet-5's shapes:
trained on a little and clustered anew, quantized anew, and one tensor changed. Training is imitated
by noise. Every patch is applied, and what it restores is compared. Sizes are bytes written.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from keras_compress import packing, storage

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.packing.tflite_models import build_model

DATA = Path(os.environ.get("KERAS_COMPRESS_DATA", "../shared/data"))


def cluster(weights: np.ndarray, values: int, kept: np.ndarray) -> np.ndarray:
    """Shared values by Lloyd's algorithm from even quantiles; what isn't kept is zero."""
    flat = np.sort(weights[kept])
    centres = np.quantile(flat, (np.arange(values) + 0.5) / values)
    for _ in range(30):
        index = np.abs(weights[kept][:, None] - centres[None]).argmin(1)
        for k in range(values):
            if np.any(index == k):
                centres[k] = weights[kept][index == k].mean()
    out = np.zeros_like(weights)
    out[kept] = centres[index].astype(np.float32)
    return out


def lenet5(rng: np.random.Generator, drift: float, latent: dict[str, np.ndarray]) -> bytes:
    """LeNet-5's tensors, pruned to its published shares and clustered, after some `drift`."""
    shares = {"conv1": (0.66, 256), "conv2": (0.12, 256), "fc1": (0.08, 32), "fc2": (0.19, 32)}
    arrays = {}
    for name, base in latent.items():
        share, values = shares[name]
        weights = (base + rng.normal(size=base.shape) * base.std() * drift).astype(np.float32)
        kept = np.abs(base) >= np.quantile(np.abs(base), 1 - share)
        arrays[f"{name}/kernel"] = cluster(weights, min(values, kept.sum() // 4), kept)
        arrays[f"{name}/bias"] = rng.normal(size=base.shape[0]).astype(np.float32)
    return build_model(arrays)


def changed_tensors(
    model: bytes, change: Callable[[np.ndarray], np.ndarray], only: int | None
) -> bytes:
    """The model with the int8 or uint8 tensors changed, all or the largest `only`."""
    out = bytearray(model)
    with packing.open_packed(packing.pack(model, codec="fast")) as file:
        tensors = [t for t in file.tensors if t.dtype in ("int8", "uint8", "float32")]
        tensors.sort(key=lambda t: -t.size)
        for tensor in tensors[:only]:
            values = change(file.tensor(file.tensors.index(tensor)))
            out[tensor.offset : tensor.offset + tensor.size] = values.tobytes()
    return bytes(out)


def cases(data: Path) -> dict[str, tuple[bytes, bytes]]:
    """Name -> (old, new)."""
    rng = np.random.default_rng(0)
    shapes = {"conv1": (20, 5, 5, 1), "conv2": (50, 5, 5, 20), "fc1": (500, 800), "fc2": (10, 500)}
    latent = {name: rng.standard_t(4, size=shape) * 0.05 for name, shape in shapes.items()}
    old = lenet5(rng, 0.0, latent)
    found = {
        "LeNet-5 shapes, trained on by 2 %, clustered anew": (old, lenet5(rng, 0.02, latent)),
        "LeNet-5 shapes, trained on by 10 %, clustered anew": (old, lenet5(rng, 0.1, latent)),
    }

    def requantized(values: np.ndarray) -> np.ndarray:
        if values.dtype == np.float32:
            return values
        info = np.iinfo(values.dtype)
        moved = values * 1.0 + rng.normal(size=values.shape) * 0.4
        return np.clip(np.rint(moved), info.min, info.max).astype(values.dtype)

    def trained(values: np.ndarray) -> np.ndarray:
        if values.dtype != np.float32:
            return requantized(values)
        return (values * (1 + rng.normal(size=values.shape) * 1e-2)).astype(np.float32)

    for name in ("mlperf_tiny/vww_96_int8", "mlperf_tiny/pretrainedResnet_quant",
                 "coral/mobilenet_v1_0.25_128_quant"):  # fmt: skip
        path = data / "models" / f"{name}.tflite"
        if not path.exists():
            continue
        model = path.read_bytes()
        found[f"{path.stem}, quantized anew"] = (model, changed_tensors(model, requantized, None))
        found[f"{path.stem}, largest tensor"] = (model, changed_tensors(model, requantized, 1))
    path = data / "models/mlperf_tiny/pretrainedResnet.tflite"
    if path.exists():
        model = path.read_bytes()
        found[f"{path.stem} (float32), trained on"] = (model, changed_tensors(model, trained, None))
        found[f"{path.stem} (float32), largest tensor"] = (
            model,
            changed_tensors(model, trained, 1),
        )
    return found


def run_tool(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def others(old: bytes, new: bytes) -> dict[str, int]:
    """Sizes of the patches of the tools that are installed; each is applied and compared."""
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        a, b, patch, again = (str(Path(folder) / n) for n in ("old", "new", "patch", "again"))
        Path(a).write_bytes(old)
        Path(b).write_bytes(new)
        tools = {
            "bsdiff": (["bsdiff", a, b, patch], ["bspatch", a, again, patch]),
            "zstd --patch-from": (
                ["zstd", "-19", "--ultra", "--long=27", f"--patch-from={a}", "-f", b, "-o", patch],
                ["zstd", "-d", "--long=27", f"--patch-from={a}", "-f", patch, "-o", again],
            ),
        }
        for name, (make, apply) in tools.items():
            if shutil.which(make[0]) is None:
                continue
            run_tool(make)
            run_tool(apply)
            if Path(again).read_bytes() != new:
                raise SystemExit(f"{name} did not restore the file")
            sizes[name] = Path(patch).stat().st_size
    return sizes


def measure(old: bytes, new: bytes) -> dict[str, Any]:
    """Measure one case."""
    start = time.perf_counter()
    patch = packing.pack(new, base=old)
    packed = time.perf_counter() - start
    start = time.perf_counter()
    restored = packing.unpack(patch, base=old)
    unpacked = time.perf_counter() - start
    if restored != new:
        raise SystemExit("a patch did not restore the file")
    sizes = {"patch": len(patch), **others(old, new), "packed alone": len(packing.pack(new))}
    row: dict[str, Any] = {"raw": len(new), "sizes": sizes}
    row["pack_seconds"], row["unpack_seconds"] = round(packed, 3), round(unpacked, 3)
    rivals = [size for name, size in sizes.items() if name not in ("patch", "packed alone")]
    if rivals:
        row["of_best_other"] = round(len(patch) / min(rivals), 3)
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--json", type=Path, default=None, metavar="OUT")
    args = parser.parse_args()
    rows = {name: measure(old, new) for name, (old, new) in cases(args.data).items()}
    columns = list(next(iter(rows.values()))["sizes"])
    table = Table("case", "raw", *columns, "of the best other")
    for name, row in rows.items():
        sizes = [str(row["sizes"][column]) for column in columns]
        table.add_row(name, str(row["raw"]), *sizes, str(row.get("of_best_other", "-")))
    Console(width=160).print(table)
    if args.json:
        storage.write_atomic(
            args.json, json.dumps({"schema_version": 1, "cases": rows}, indent=1) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
