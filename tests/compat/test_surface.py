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
# A row or a column of blocks, which tfmot fails to lay.
ONE_ROW = [((6, 4), (3, 5)), ((6, 4), (6, 4)), ((7, 5), (3, 5))]
ONE_ROW += [((1, 8), block) for block in ((2, 2), (1, 3), (4, 1), (3, 5), (6, 4))]
#: Calls that come out otherwise on purpose: tfmot fails, or leaves undone what it is asked for.
DIFFERENT = {
    # An unbuilt model has nothing to strip but its wrappers.
    "models": {"strip cluster unbuilt"},
    # Unknown layers that turn out to have weights are a `KeyError` there, a `ValueError` here.
    "custom layers": {f"cluster {kind}" for kind in ("plain", "duck", "derived", "derived own")},
    "masks": {f"blocks {shape} {block} {p}" for shape, block in ONE_ROW for p in ("AVG", "MAX")},
    # A convolution without a bias, of which tfmot thinks that it has a weight a channel.
    "look-up": {
        f"per channel {preserve} GradientAggregation.{how}"
        for preserve in (False, True)
        for how in ("SUM", "AVG")
    },
}


#: Of kinds of many calls each fifth is made here; `benchmarks/tfmot_surface.py` makes them all.
MANY, EACH = 30, 5


# Tapes, and tfmot's own drawing of k-means++, are TensorFlow's.
@tensorflow_only
@pytest.mark.parametrize("kind", sorted(THEIRS))
@pytest.mark.filterwarnings("ignore")
def test_calls_come_out_as_on_tfmot(kind):
    made, theirs = calls(keras, tfmot.sparsity.keras, tfmot.clustering.keras)[kind], THEIRS[kind]
    assert list(made) == list(theirs)
    names = list(made)[:: EACH if len(made) > MANY else 1]
    found = {name: outcome(made[name]) for name in names}
    differ = {name for name in names if not alike(found[name], theirs[name])}
    expected = DIFFERENT.get(kind, set()) & set(names)
    assert differ == expected, {
        name: (found[name], theirs[name]) for name in sorted(differ ^ expected)
    }
