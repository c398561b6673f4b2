"""The pictures of the guides, drawn from `benchmarks/results` and from the package's own functions.

    python benchmarks/guide_pictures.py

writes `docs/pictures/*.svg`; the same results give the same bytes, which a test checks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from svg_charts import bars, curves, flow, grids

from keras_compress import storage

ROOT = Path(__file__).resolve().parents[1]


def result(name: str) -> Any:
    """Return a file of `benchmarks/results`."""
    return json.loads((ROOT / "benchmarks/results" / f"{name}.json").read_text())


def index() -> str:
    """The way of a model."""
    steps = [
        ("keras.Model", "prepare, fit, finalize"),
        ("small Keras model", "export"),
        ("model.tflite", "pack"),
        ("model.kcz", "unpack on the device"),
        ("results.json", "bench, report"),
    ]
    return flow(steps, "The way of a model; every step takes the file of the one before")


def pruning() -> str:
    """What the four patterns leave of a kernel."""
    rng = np.random.default_rng(3)
    w = rng.random((8, 8))
    blocks = np.kron(rng.permutation(16).reshape(4, 4) < 8, np.ones((2, 2)))
    pairs = np.argsort(np.argsort(w.reshape(8, 2, 4)), axis=-1).reshape(8, 8) > 1
    filters = np.tile(rng.permutation(8) < 4, (8, 1))
    patterns = {
        "unstructured": w > np.median(w),
        "blocks": blocks,
        "2 of 4": pairs,
        "filters": filters,
    }
    drawn = {name: grid.astype(int).tolist() for name, grid in patterns.items()}
    return grids(drawn, "Half of the weights, pruned in each pattern; columns are filters")


def schedules() -> str:
    """Sparsity over the steps of training."""
    steps = [10 * i for i in range(41)]
    share = lambda s: min(max((s - 50) / 250, 0.0), 1.0)  # noqa: E731
    lines = {
        "PolynomialDecay": [(s, 0.9 - 0.9 * (1 - share(s)) ** 3) for s in steps],
        "ConstantSparsity": [(s, 0.9 if s >= 50 else 0.0) for s in steps],
    }
    return curves(lines, "Sparsity from step 50 to 300, final 0.9", "steps", "share of zeros")


def channel_pruning() -> str:
    """What goes when a channel does."""
    filters = [[2 if j == 2 else 1 for j in range(6)] for _ in range(4)]
    norm = [[2 if j == 2 else 1 for j in range(6)]]
    reader = [[2 if i == 2 else 1 for _ in range(5)] for i in range(6)]
    drawn = {"its filter": filters, "gamma and beta": norm, "rows of the reader": reader}
    return grids(drawn, "Channel 3 of a convolution, and all that goes with it")


def clustering() -> str:
    """Weights before and after, as a curve of sorted values."""
    values = np.sort(np.random.default_rng(0).normal(size=81))
    centroids = np.array([-1.6, -0.75, 0.0, 0.75, 1.6])
    near = centroids[np.abs(values[:, None] - centroids).argmin(1)]
    lines = {
        "trained weights": [(i, float(v) + 2.5) for i, v in enumerate(values)],
        "5 centroids": [(i, float(v) + 2.5) for i, v in enumerate(near)],
    }
    return curves(
        lines,
        "Weights in ascending order, and the value each of them shares",
        "weights",
        "value + 2.5",
    )


def rate_aware() -> str:
    """Sizes at three prices of the same net."""
    found = result("deep_compression")
    sizes = {name: float(row["bytes"]) for name, row in found.items()}
    return bars(sizes, "Packed bytes of nets trained for few bits (benchmarks/deep_compression.md)")


def quantization() -> str:
    """Errors of ResNet8 on CIFAR-10, means of the seeds."""
    runs = result("quantization_aware")

    def error(net: str, bits: int, key: str) -> float:
        found = [row[key] for row in runs if (row["net"], row["bits"]) == (net, bits)]
        return round(100 - sum(found) / len(found), 2)

    errors = {
        "float": error("resnet8", 8, "float_test"),
        "int8, after training": error("resnet8", 8, "after_training_test"),
        "int8, trained": error("resnet8", 8, "trained_test"),
        "4 bits, trained": error("resnet8", 4, "trained_test"),
        "float, trained as long": error("resnet8, trained on in float", 32, "float_test"),
    }
    return bars(errors, "ResNet8 on CIFAR-10: errors on the test set", unit=" %", marked="float")


def distillation() -> str:
    """Errors on MNIST."""
    rows = {
        name: float(row["errors"]) for name, row in result("distillation")["seeds"]["0"].items()
    }
    return bars(rows, "Errors of 10,000 on MNIST's test set, seed 0", marked="teacher")


def binary() -> str:
    """Accuracy of a ResNet-8 whose convolutions are binary."""
    runs = result("binary_training_resnet8")["runs"]
    rows = {k.split(" | ")[1]: 100 * v["accuracy"] for k, v in runs.items() if k.endswith("| 0")}
    return bars(rows, "ResNet-8 on CIFAR-10: accuracy, seed 0", unit=" %", marked="float")


def binary_export() -> str:
    """Latency of a binary net beside its float and int8 forms."""
    rows = {name: row["milliseconds"] for name, row in result("binary_net_1").items()}
    return bars(rows, "One thread: milliseconds a run of the same net", unit=" ms", marked="binary")


def sparse_inference() -> str:
    """Latency of sparse nets."""
    rows = {name: row["median_ms"] for name, row in result("sparse_inference")["results"].items()}
    return bars(rows, "MobileNet on XNNPACK: median milliseconds a run", unit=" ms", marked="dense")


def packing() -> str:
    """Sizes beside the best other compressor."""
    means = result("pack_models")["geometric_means_over_best_other"]
    rows = {
        f"{kind}, {codec}": 100 * means[kind][codec]
        for kind in means
        for codec in ("fast", "smallest")
    }
    about = "Packed size, in % of the best of gzip, zstd, xz and brotli (17 real models)"
    return bars(rows, about, unit=" %", marked="all")


def migrating() -> str:
    """Zipped bytes of both sides."""
    rows = {}
    for row in result("tfmot_compare")["rows"]:
        if row["seed"] == 0 and row["case"] in ("prune", "cluster"):
            rows[f"{row['side']}, {row['case']} {row['value']:g}"] = 100 * row["accuracy"]
    about = "The same script with tfmot and with keras_compress: accuracy, seed 0"
    return bars(
        dict(sorted(rows.items(), key=lambda r: r[0].split(", ")[1])),
        about,
        unit=" %",
        marked="tfmot",
    )


def search() -> str:
    """A bisection over a price."""
    low, high, seen = 0.0, 1.0, []
    for trial in range(8):
        middle = (low + high) / 2
        seen.append((trial + 1.0, middle))
        low, high = (middle, high) if middle < 0.37 else (low, middle)
    lines = {"tried": seen, "sought": [(1.0, 0.37), (8.0, 0.37)]}
    return curves(lines, "bisect: each trial halves what is left", "trials", "setting")


def export() -> str:
    """The stages of an export."""
    steps = [
        ("check", "refuse what fails"),
        ("permute channels", "for small files"),
        ("convert", "batch 1, built-in ops"),
        ("edit", "kernels, metadata"),
        ("verify", "on your samples"),
        ("pack", "bit for bit"),
    ]
    return flow(steps, "The stages of exporter.export")


def recipes() -> str:
    """What a recipe does in turn."""
    steps = [
        ("prune channels", "fewer MACs"),
        ("prune weights", "zeros"),
        ("cluster", "shared values"),
        ("export", "verified .tflite"),
        ("pack", ".kcz"),
    ]
    return flow(steps, "The way of the recipes")


def architectures() -> str:
    """Latency of MobileNet v1 over its multiplications, at four widths and four sizes."""
    nets = result("mobilenet_grid").values()
    points = sorted((round(n["macs"] / 1e6, 1), n["float32"]["best_us"] / 1000) for n in nets)
    lines = {f"{len(points)} nets": points}
    return curves(lines, "MobileNet v1 in LiteRT, float32", "million MACs", "milliseconds")


def loading() -> str:
    """How an older file is opened."""
    steps = [
        (".h5, SavedModel", "or .keras of Keras 2"),
        ("read", "configuration, weights"),
        ("translate", "layers, functions"),
        ("build", "stock Keras 3"),
        ("compare", "beside the original"),
    ]
    return flow(steps, "How load_model opens a file")


def bench() -> str:
    """Latency of the demo's model, stage by stage."""
    stages = result("demo_digits")["stages"]
    values = {stage["title"]: 1000 * stage["latency_ms"] for stage in stages}
    return bars(values, "digits_cnn in LiteRT, stage by stage", unit=" us")


def report() -> str:
    """Packed bytes of the demo's model, stage by stage."""
    stages = result("demo_digits")["stages"]
    values = {stage["title"]: stage["packed_bytes"] for stage in stages}
    return bars(values, "digits_cnn packed, stage by stage", unit=" bytes")


def command() -> str:
    """What the commands hand to each other."""
    steps = [
        ("compress", "or prune-channels"),
        ("export", ".keras to .tflite"),
        ("pack", ".tflite to .kcz"),
        ("inspect, unpack", "look, restore"),
        ("bench", "time it"),
        ("report", "one page"),
    ]
    return flow(steps, "The commands of keras-compress, in the order of the way")


PICTURES: dict[str, Callable[[], str]] = {
    each.__name__: each
    for each in (
        index, pruning, schedules, channel_pruning, clustering, rate_aware, quantization,
        distillation, binary, binary_export, sparse_inference, packing, migrating, search, export,
        recipes, architectures, loading, bench, report, command,
    )
}  # fmt: skip


def main() -> None:
    """Write all pictures."""
    for name, draw in PICTURES.items():
        storage.write_atomic(ROOT / "docs/pictures" / f"{name}.svg", draw())


if __name__ == "__main__":
    main()
