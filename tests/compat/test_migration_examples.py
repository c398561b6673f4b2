"""The guides under `examples/migrate` run."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from tests.training import tensorflow_only

FOLDER = Path(__file__).parents[2] / "examples" / "migrate"
GUIDES = {
    "pruning": 3,
    "clustering": 4,
    "sparse_clustering": 3,
    "two_of_four": 1,
    "custom_loop": 1,
    "quantization": 3,
    "collaborative": 4,
}


def test_every_script_is_a_guide_or_what_they_share():
    assert {path.stem for path in FOLDER.glob("*.py")} == {*GUIDES, "lit_quadrants"}


# tfmot's users come from TensorFlow; what the guides call is tested on each back end by itself.
@tensorflow_only
@pytest.mark.parametrize("name", GUIDES)
def test_guide_runs_and_keeps_the_accuracy(name, capsys, monkeypatch):
    # Where Python itself would look for what lies beside the script.
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    lines = [line for line in capsys.readouterr().out.splitlines() if "accuracy" in line]
    assert len(lines) >= GUIDES[name]
    accuracies = [float(line.rsplit(" ", 1)[1].rstrip("%")) for line in lines]
    assert min(accuracies) > 80, lines
