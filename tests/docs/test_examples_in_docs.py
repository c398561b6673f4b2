"""The Python examples of the README and of the guides run as they stand.

The blocks of a page run in order in one empty folder and with names of their own, as a notebook's
cells do; all pages in one process, since each would take seconds to import TensorFlow. A block
marked `python notest` is shown but not run; the page says why.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


# What the examples leave to the reader: data, and a model of their own.
def load_data():
    digits = load_digits()
    x = (digits.images[..., None] / 16).astype("float32")
    return (x[:1500], digits.target[:1500]), (x[1500:], digits.target[1500:])


def build_and_train(x, y):
    model = _build(x.shape[1:])
    model.set_weights(_trained(x.shape, x.tobytes(), np.asarray(y).tobytes()))
    return model


def _build(shape):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([
        keras.Input(shape), layers.Conv2D(16, 3, activation="relu"), layers.Flatten(),
        layers.Dense(32, activation="relu"), layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@functools.cache
def _trained(shape, images, labels):
    """Return the weights after three epochs: the pages ask for the same net again and again."""
    model = _build(shape[1:])
    model.fit(
        np.frombuffer(images, "float32").reshape(shape),
        np.frombuffer(labels, load_digits().target.dtype),
        epochs=3,
        verbose=0,
    )
    return model.get_weights()


@pytest.fixture
def as_at_the_start():
    """What a new process would begin with, and the next test of this one."""
    policy = keras.config.dtype_policy()
    keras.utils.clear_session()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page, tmp_path, monkeypatch, as_at_the_start):
    blocks = _BLOCK.findall(page.read_text())
    if not blocks:
        pytest.skip("a page without examples")
    # A file, for what reads the source of a function.
    script = tmp_path / "example.py"
    script.write_text("\n".join(blocks))
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "example", "load_data": load_data, "build_and_train": build_and_train}
    exec(compile(script.read_text(), script, "exec"), names)
