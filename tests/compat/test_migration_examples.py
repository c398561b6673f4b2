"""The guides under `examples/migrate` run."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "migrate"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_guide_runs_and_keeps_the_accuracy(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3
    accuracies = [float(line.rsplit(" ", 1)[1].rstrip("%")) for line in lines]
    assert min(accuracies) > 80, lines
