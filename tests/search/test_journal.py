"""The journal: what it keeps, and what it refuses to take up."""

from __future__ import annotations

import json
import os

import keras
import numpy as np
import pytest

from keras_compress.errors import KerasCompressError
from keras_compress.search import Journal, fingerprint


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "search.jsonl"
    journal = Journal(path, "of this")
    journal.record({"rate": 0.5, "layer": "a"}, 0.25)
    journal.record([1, 2], {"loss": float("nan")})
    return path


def test_it_is_read_again_as_it_was(path):
    journal = Journal(path, "of this")
    # The order of a setting's keys doesn't matter.
    assert journal.get({"layer": "a", "rate": 0.5}) == 0.25 and {"rate": 0.5} not in journal
    assert len(journal) == 2 and np.isnan(journal.get([1, 2])["loss"])
    assert [setting for setting, _ in journal] == [{"layer": "a", "rate": 0.5}, [1, 2]]
    before = path.read_text()
    journal.record("more", 1)
    assert path.read_text() == before + '{"setting": "more", "result": 1}\n'
    assert os.listdir(path.parent) == [path.name]


def test_a_journal_in_memory():
    journal = Journal(None, "x")
    assert journal.record(1, (2, 3)) == [2, 3] == journal.get(1) and journal.get(4, 5) == 5


def test_the_journal_of_another_search_is_refused(path):
    with pytest.raises(KerasCompressError, match="journal of others"):
        Journal(path, "of that")


def test_damaged_ones_are_refused(path):
    good = path.read_text()
    head, first, second = good.splitlines()
    many = json.dumps({"setting": 1, "result": 2, "more": 3})
    bad = [
        "", "\n", "[]", "{}", json.dumps({"format": "another"}), head, good[:-1], good[:-20],
        f"{head}\n{first}\n{first}\n", f"{head}\n[]\n", f"{head}\n7\n", f"{head}\n{many}\n",
        f"{head}\n" + "[" * 100_000 + "\n", f"{head}\n\n{second}\n", f"{head}\n{{}}\n",
    ]  # fmt: skip
    for text in bad:
        path.write_text(text)
        with pytest.raises(KerasCompressError, match="damaged"):
            Journal(path, "of this")
    path.write_bytes(b"\xff" + good.encode())
    with pytest.raises(KerasCompressError, match="damaged"):
        Journal(path, "of this")
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(KerasCompressError, match="at most"):
        Journal(path, "of this")


def test_what_the_search_itself_can_tell_is_asked(path):
    with pytest.raises(KerasCompressError, match="damaged"):
        Journal(path, "of this", check=lambda setting, result: float(result))


def test_what_json_does_not_hold_is_refused():
    journal = Journal(None, "x")
    with pytest.raises(KerasCompressError, match="A setting is what JSON can hold"):
        journal.record(np.zeros(2), 1)
    with pytest.raises(KerasCompressError, match="A journal keeps"):
        journal.record(1, np.zeros(2))


def net(activation="relu", seed=0, name=None):
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((4,)), keras.layers.Dense(3, activation=activation, name=name)]
    return keras.Sequential(layers)


def test_a_fingerprint_tells_models_data_and_settings_apart():
    data, settings = np.arange(4.0), {"epochs": 3}
    one = fingerprint(net(), data, settings)
    # Keras numbers the layers of the second net anew.
    assert one == fingerprint(net(), data.copy(), dict(settings)) and len(one) == 32
    others = [
        fingerprint(net(seed=1), data, settings),
        fingerprint(net("tanh"), data, settings),
        fingerprint(net(), data + 1, settings),
        fingerprint(net(), data.astype("float32"), settings),
        fingerprint(net(), data.reshape(2, 2), settings),
        fingerprint(net(), data, {"epochs": 4}),
        fingerprint(net(), data),
    ]
    assert len({one, *others}) == 1 + len(others)
    assert fingerprint(np.array(3.0)) and fingerprint(np.zeros(0))


class Subclassed(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.dense = keras.layers.Dense(units)

    def call(self, x):
        return self.dense(x)


def test_a_fingerprint_of_a_model_without_a_configuration():
    models = [Subclassed(2), Subclassed(3)]
    for model in models:
        model(np.zeros((1, 4)))
    assert fingerprint(models[0]) != fingerprint(models[1])
