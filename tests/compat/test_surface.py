"""Every call of `surface.py` comes out as on tfmot 0.8.1, but for what is listed here."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest

from keras_compress.compat import tfmot
from tests.compat.surface import alike, calls, outcome
from tests.training import tensorflow_only

THEIRS = json.loads((Path(__file__).parent / "tfmot_surface.json").read_text())
#: Calls that come out otherwise on purpose, or because Keras 3 is otherwise; each with why.
DIFFERENT: dict[str, dict[str, str]] = {}


# Tapes, and tfmot's own drawing of k-means++, are TensorFlow's.
@tensorflow_only
@pytest.mark.parametrize("kind", sorted(THEIRS))
@pytest.mark.filterwarnings("ignore")
def test_calls_come_out_as_on_tfmot(kind):
    made = calls(keras, tfmot.sparsity.keras, tfmot.clustering.keras)[kind]
    assert list(made) == list(THEIRS[kind])
    found = {name: outcome(call) for name, call in made.items()}
    differ = {name for name in found if not alike(found[name], THEIRS[kind][name])}
    assert differ == set(DIFFERENT.get(kind, {})), {
        name: (found[name], THEIRS[kind][name]) for name in differ ^ set(DIFFERENT.get(kind, {}))
    }
