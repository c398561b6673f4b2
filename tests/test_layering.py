"""Imports run one way, and TensorFlow is imported only where it is meant."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import keras_compress

ROOT = Path(keras_compress.__file__).parent
TRAINING = {
    "binary",
    "pruning",
    "channel_pruning",
    "clustering",
    "compat",
    "quantization",
    "distillation",
    "architectures",
    "loading",
    "rate",
    "recipes",
    "engine",
    "search",
}
# What each subpackage may import of the others.
ALLOWED = {
    "copying": set(),
    "search": set(),
    "engine": {"copying"},
    "architectures": {"binary"},
    "binary": {"engine"},
    "loading": {"binary", "engine", "quantization"},
    "pruning": {"engine", "search"},
    # Searches end in distillation from the whole net.
    "channel_pruning": {"copying", "distillation", "engine", "search"},
    "clustering": {"engine"},
    "compat": {"clustering", "copying", "engine", "pruning"},
    # It tells the exporter what its layers are in a file.
    "quantization": {"engine", "exporter", "rate"},
    "rate": {"engine"},
    "distillation": {"engine"},
    "packing": set(),
    "report": set(),
    "bench": {"packing"},
    "android": {"bench", "report"},
    "exporter": {"copying", "packing", "bench", "report"},
    "recipes": {
        "architectures",
        "bench",
        "channel_pruning",
        "binary",
        "clustering",
        "distillation",
        "engine",
        "exporter",
        "loading",
        "packing",
        "pruning",
        "rate",
        "report",
        "search",
    },
    "cli": {"android", "bench", "exporter", "loading", "packing", "recipes", "report", "search"},
}


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "keras_compress":
                found.update(f"keras_compress.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_imports_run_one_way(package):
    for path in sorted((ROOT / package).rglob("*.py")):
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] != "keras_compress" or len(parts) < 2 or parts[1] not in ALLOWED:
                continue
            assert parts[1] in ALLOWED[package] | {package}, f"{path} imports {name}"


def test_every_subpackage_has_a_place():
    packages = {p.parent.name for p in ROOT.glob("*/__init__.py")}
    assert packages == set(ALLOWED)


def test_no_private_keras_name_is_used():
    private = re.compile(
        r"keras\.src|\._(flatten_layers|functional|inputs_struct|layers|metrics)\b"
    )
    for path in sorted(ROOT.rglob("*.py")):
        assert not private.search(path.read_text()), path


@pytest.mark.parametrize(
    "statement",
    [
        "import keras_compress",
        "from keras_compress import pack, unpack, inspect",
        "from keras_compress import bench, exporter, report",
        "import keras_compress.cli.main as m; m.build_parser()",
    ],
)
def test_tensorflow_and_keras_are_not_imported(statement):
    probe = "import sys; print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    code = f"{statement}\n{probe}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
