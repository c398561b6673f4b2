"""The Python examples of the README and of the guides run as they stand.

The blocks of a page run in order in one process and one empty folder. A block marked
`python notest` is shown but not run; the page says why.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What the README's example leaves to the reader: data, and a model of their own.
_PRELUDE = """
def load_data():
    from sklearn.datasets import load_digits
    digits = load_digits()
    x = (digits.images[..., None] / 16).astype("float32")
    return (x[:1500], digits.target[:1500]), (x[1500:], digits.target[1500:])

def build_and_train(x, y):
    import keras
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([
        keras.Input(x.shape[1:]), layers.Conv2D(16, 3, activation="relu"), layers.Flatten(),
        layers.Dense(32, activation="relu"), layers.Dense(10, activation="softmax"),
    ])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=3, verbose=0)
    return model
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page, tmp_path):
    blocks = _BLOCK.findall(page.read_text())
    if not blocks:
        pytest.skip("a page without examples")
    script = tmp_path / "example.py"
    script.write_text("\n".join([_PRELUDE, *blocks]))
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
