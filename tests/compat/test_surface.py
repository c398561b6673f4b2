"""Calls of `surface.py` come out as on tfmot 0.8.1, but for what is listed here."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest

from keras_compress.compat import tfmot
from tests.compat.surface import alike, calls, outcome
from tests.training import tensorflow_only

pytestmark = pytest.mark.backend_independent

THEIRS = json.loads((Path(__file__).parent / "tfmot_surface.json").read_text())
#: Calls that come out otherwise on purpose: there they fail, or do harm.
DIFFERENT = {
    # A convolution without a bias, of which tfmot thinks that it has a weight a channel.
    "look-up": {
        f"per channel {preserve} GradientAggregation.{how}"
        for preserve in (False, True)
        for how in ("SUM", "AVG")
    },
    "nets trained": {
        *(f"cluster conv2d without biases, by channel{zeros}" for zeros in ("", ", zeros")),
        # A clustered normalization follows the batch; there it keeps its averages.
        *(
            f"cluster normalized{more}"
            for more in ("", ", adam", ", density", ", k-means", ", zeros", ", mean gradient")
        ),
    },
    # Wrapped models that aren't built yet train.
    "layers wrapped one by one": {
        "prune layer by layer, without an input",
        "prune layer by layer, subclassed",
        "prune layer by layer, subclassed, stripped",
    },
    # Weights that are clustered are weights of the layer still, and frozen with it.
    "wrapped layers": {
        f"cluster {layer} {what}"
        for layer in ("Dense", "LSTM")
        for what in ("frozen", "gives", "is set")
    },
    # No scope is needed.
    "files and copies": {
        f"{technique} {suffix} outside its scope"
        for technique in ("prune", "cluster")
        for suffix in (".h5", ".keras")
    },
}

#: Of kinds of many calls some are made here; `benchmarks/tfmot_surface.py` makes them all.
MANY = 15
EACH = {"nets trained": 70, "wrapped layers": 40, "files and copies": 31}
EACH |= {"layers wrapped one by one": 18}


# Tapes, and tfmot's own drawing of k-means++, are TensorFlow's.
@tensorflow_only
@pytest.mark.parametrize("kind", sorted(THEIRS))
@pytest.mark.filterwarnings("ignore")
def test_calls_come_out_as_on_tfmot(kind):
    made, theirs = calls(keras, tfmot.sparsity.keras, tfmot.clustering.keras)[kind], THEIRS[kind]
    assert list(made) == list(theirs)
    names = list(made)[:: EACH.get(kind, 5) if len(made) > MANY else 1]
    found = {name: outcome(made[name]) for name in names}
    differ = {name for name in names if not alike(found[name], theirs[name])}
    expected = DIFFERENT.get(kind, set()) & set(names)
    assert differ == expected, {
        name: (found[name], theirs[name]) for name in sorted(differ ^ expected)
    }
