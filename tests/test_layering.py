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
    # They tell the exporter what their layers are in a file.
    "binary": {"engine", "exporter"},
    "loading": {"binary", "engine", "quantization"},
    "pruning": {"engine", "search"},
    # Searches end in distillation from the whole net.
    "channel_pruning": {"copying", "distillation", "engine", "search"},
    "clustering": {"engine"},
    "compat": {"clustering", "copying", "engine", "exporter", "pruning", "quantization"},
    "quantization": {"engine", "exporter", "rate"},
    "rate": {"engine"},
    "distillation": {"engine"},
    "packing": {"tflite"},
    "report": set(),
    "tflite": set(),
    "bench": {"packing", "tflite"},
    "android": {"bench", "packing", "report", "tflite"},
    "exporter": {"copying", "packing", "bench", "report", "tflite"},
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
        "quantization",
        "rate",
        "report",
        "search",
        "tflite",
    },
    "cli": {"android", "bench", "exporter", "loading", "packing", "recipes", "report", "search"},
}


# What each module of the root may import: nothing but other root modules, if not said here.
ROOT_ALLOWED = {
    # The names of the package, each loaded when first used.
    "__init__": set(ALLOWED),
    "__main__": {"cli"},
}


def imports_of(path: Path, *, at_import: bool = False) -> set[str]:
    """Modules that a file imports; with `at_import`, those imported before any call."""
    found = set()
    nodes = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if at_import and (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        ):
            continue
        nodes.extend(ast.iter_child_nodes(node))
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


@pytest.mark.parametrize("module", sorted(p.stem for p in ROOT.glob("*.py")))
def test_root_modules_keep_to_the_layers(module):
    for name in imports_of(ROOT / f"{module}.py"):
        parts = name.split(".")
        if parts[0] == "keras_compress" and len(parts) > 1 and parts[1] in ALLOWED:
            assert parts[1] in ROOT_ALLOWED.get(module, set()), f"{module} imports {name}"


def test_no_module_imports_itself_by_way_of_others():
    modules = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {}
    for module, path in modules.items():
        # A package's __init__ gathers names of its modules, which import each other and not it.
        names = set() if path.name == "__init__.py" else imports_of(path, at_import=True)
        graph[module] = {name for name in names if name in modules}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module not in done:
            for name in sorted(graph[module]):
                visit(name, (*trail, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


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
