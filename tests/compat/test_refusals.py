"""What tfmot refuses is refused, with the same exception type and a message that helps."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest

from keras_compress.compat import tfmot
from tests.compat.refused_calls import refused_calls

pytestmark = pytest.mark.backend_independent

THEIRS = json.loads((Path(__file__).parent / "tfmot_refusals.json").read_text())
CALLS = refused_calls(keras, tfmot.sparsity.keras, tfmot.clustering.keras)
# tfmot lets these pass, or returns `None`: mistakes that show late, or not at all.
ONLY_HERE = {
    "blocks of no size",
    "blocks of three sides",
    "m above n",
    "cluster a text",
}
# These do no harm, and pass here as well as there.
PASSES = {
    # As there, until they are built and turn out to have weights.
    "cluster an unknown layer",
    "cluster a model with an unknown layer",
    "prune an unbuilt Sequential",
    "prune a pruned model",
    "cluster an input layer",
    "cluster an unbuilt Sequential",
    "cluster twice",
    "cluster a clustered model",
}


def test_the_calls_are_those_that_tfmot_was_asked():
    assert list(CALLS) == list(THEIRS)
    allowed = {name for name, bases in THEIRS.items() if bases is None}
    assert allowed == ONLY_HERE | PASSES


@pytest.mark.parametrize("name", [name for name in CALLS if name not in PASSES])
def test_refused_with_tfmots_type(name):
    theirs = (THEIRS[name] or ["ValueError"])[0]
    if theirs == "InvalidArgumentError" and keras.backend.backend() != "tensorflow":
        theirs = "ValueError"
    with pytest.raises(Exception) as caught:
        CALLS[name]()
    assert theirs in [kind.__name__ for kind in type(caught.value).__mro__]
    assert "Received" in str(caught.value) or "You passed" in str(caught.value)


@pytest.mark.parametrize("name", sorted(PASSES))
def test_allowed(name):
    CALLS[name]()
