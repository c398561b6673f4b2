"""The examples in docstrings run, and give the values that stand in comments behind them.

An example leaves models and data to the reader; here they are small ones, by the names that the
examples use. One namespace a docstring, and a folder of its own.
"""

from __future__ import annotations

import ast
import importlib
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_compress
from keras_compress import (
    binary,
    channel_pruning,
    clustering,
    distillation,
    exporter,
    packing,
    pruning,
    rate,
    recipes,
    search,
)

ROOT = Path(keras_compress.__file__).parent
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Not run here, and where they are instead.
ELSEWHERE = {
    "recipes/demo.py:run_demo": "tests/recipes/test_demo.py",
    "recipes/deep_compression.py:deep_compression": "tests/recipes/test_deep_compression.py",
    "pruning/sensitivity.py:scan_sensitivity": "tests/pruning/test_sensitivity.py",
    "recipes/smaller_net.py:prune_channels": "tests/recipes/test_prune_channels.py",
    "channel_pruning/front.py:search_rates": "tests/channel_pruning/test_front.py",
    "channel_pruning/registry.py:register_rule": "tests/channel_pruning/test_groups.py",
    "exporter/sparse_padding.py:pad_for_sparse_kernels": "tests/exporter/test_sparse_runtime.py",
    "exporter/sparse_runtime.py:check_sparse_runtime": "tests/exporter/test_sparse_runtime.py",
}


def _examples() -> dict[str, str]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                blocks = _BLOCK.findall(ast.get_docstring(node) or "")
                if blocks:
                    name = getattr(node, "name", "the module")
                    found[f"{path.relative_to(ROOT).as_posix()}:{name}"] = "\n".join(blocks)
    return found


EXAMPLES = _examples()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with the files that examples open."""
    folder = tmp_path_factory.mktemp("files")
    keras.utils.set_random_seed(0)
    exported = exporter.convert(_classifier(), samples=_images(4)).tflite
    packed = packing.pack(exported)
    for name in ("model.tflite", "baseline.tflite", "old.tflite", "new.tflite"):
        (folder / name).write_bytes(exported)
    (folder / "model.kcz").write_bytes(packed)
    results = Path(__file__).parents[2] / "benchmarks/results"
    shutil.copy(results / "demo_digits.json", folder / "report.json")
    _classifier().save(folder / "model.keras")
    return folder


def _images(count: int) -> np.ndarray:
    return np.random.default_rng(1).random((count, 16, 16, 1)).astype("float32")


def _classifier() -> keras.Model:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.Conv2D(4, 3, strides=4, activation="relu", name="conv2d"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax", name="dense"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _wide() -> keras.Model:
    """A net of which channels can go."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.Conv2D(32, 3, strides=4, activation="relu", name="conv1"),
            layers.Conv2D(32, 3, activation="relu", name="conv2"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="softmax", name="dense"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _logits(name: str) -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.Conv2D(4, 3, strides=4, name="stage3"),
            layers.Flatten(),
            layers.Dense(10),
        ],
        name=name,
    )


def _namespace(name: str, module: str) -> dict[str, object]:
    x, y = _images(32), np.arange(32) % 10
    model = _wide() if name.startswith("channel_pruning/") else _classifier()
    return {
        **{k: v for k, v in vars(importlib.import_module(module)).items() if k[0] != "_"},
        **{package: getattr(keras_compress, package) for package in ("bench", "report")},
        "keras": keras, "np": np, "keras_compress": keras_compress, "binary": binary,
        "channel_pruning": channel_pruning, "x_held_out": x, "y_held_out": y,
        "clustering": clustering, "exporter": exporter, "pruning": pruning, "rate": rate,
        "recipes": recipes, "search": search,
        **{name: getattr(distillation, name) for name in distillation.__all__},
        **{name: getattr(pruning, name) for name in pruning.__all__},
        **{name: getattr(clustering, name) for name in clustering.__all__},
        **{name: getattr(recipes, name) for name in ("Accuracy",) if hasattr(recipes, name)},
        "x": x, "y": y, "photos": x, "x_train": x, "y_train": y, "x_test": x, "y_test": y,
        "model": model, "trained": model, "teacher": _logits("teacher"),
        "student": _logits("student"), "rates": {"dense": 0.5},
        "batches": [(x, y)], "gradients": [np.zeros(v.shape, "float32") for v in model.weights],
        "loss": keras.losses.SparseCategoricalCrossentropy(), "small": model, "Path": Path,
        "config": {
            "clusterer.py": clustering.ClusteringConfig(4), "pruner.py": pruning.PruningConfig()
        }.get(Path(name.split(":", maxsplit=1)[0]).name),
    }  # fmt: skip


def test_there_are_examples_and_those_that_run_elsewhere_exist():
    assert len(EXAMPLES) >= 40
    for name, place in ELSEWHERE.items():
        assert name in EXAMPLES
        assert (Path(__file__).parents[2] / place).exists()


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in ELSEWHERE])
def test_example_runs(name, files, tmp_path, monkeypatch):
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    source = EXAMPLES[name]
    module = "keras_compress." + name.split(":")[0].removesuffix(".py").replace("/", ".")
    names = _namespace(name, module.removesuffix(".__init__"))
    lines = source.splitlines()
    for statement in ast.parse(source).body:
        code = ast.get_source_segment(source, statement)
        if not isinstance(statement, ast.Expr):
            exec(compile(ast.Module([statement], []), name, "exec"), names)
            continue
        value = eval(compile(ast.Expression(statement.value), name, "eval"), names)
        _, _, comment = lines[statement.end_lineno - 1].partition("  # ")
        try:
            expected = ast.literal_eval(comment)
        except (SyntaxError, ValueError):
            continue  # a remark, not a value
        assert value == expected, code
