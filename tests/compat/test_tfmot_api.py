"""Every symbol and argument of tfmot 0.8.1, and its numbers, held against its own."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_compress.compat import tfmot
from keras_compress.compat.tfmot.sparsity.wrapper import PruneLowMagnitude

pytestmark = pytest.mark.backend_independent

HERE = Path(__file__).parent
API = json.loads((HERE / "tfmot_api.json").read_text())
NUMBERS = json.loads((HERE / "tfmot_numbers.json").read_text())
SPACES = {
    "sparsity": tfmot.sparsity.keras,
    "clustering": tfmot.clustering.keras,
    "quantization": tfmot.quantization.keras,
    "quantizers": tfmot.quantization.keras.quantizers,
}
# The engine lays a graph out itself: there are no transformations of it to call.
NOT_HERE = {("quantization", "graph_transformations")}
SYMBOLS = [(space, name) for space in API for name in API[space] if (space, name) not in NOT_HERE]
# Layers, whose methods Keras 3 has its own way of calling.
WRAPPERS = {"QuantizeWrapper", "QuantizeWrapperV2"}


def default_of(parameter):
    value = parameter.default
    plain = isinstance(value, int | float | str | tuple | type(None))
    return json.loads(json.dumps(value)) if plain else type(value).__name__


def check_parameters(ours, theirs, label):
    own = inspect.signature(ours).parameters
    for name, kind, default in theirs:
        assert name in own, f"{label} lacks {name}"
        assert own[name].kind.name == kind, f"{label}({name})"
        if default is not None:
            assert default_of(own[name]) == default, f"{label}({name})"
    positional = [n for n, kind, _ in theirs if kind == "POSITIONAL_OR_KEYWORD"]
    assert list(own)[: len(positional)] == positional, label


@pytest.mark.parametrize(("space", "name"), SYMBOLS, ids=[".".join(pair) for pair in SYMBOLS])
def test_every_symbol_and_argument_is_there(space, name):
    theirs = API[space][name]
    ours = getattr(SPACES[space], name)
    if theirs["members"]:
        assert sorted(ours.__members__) == theirs["members"]
        return
    if theirs["parameters"] is not None:
        check_parameters(ours, theirs["parameters"], name)
    methods = {} if name in WRAPPERS else theirs["methods"]
    for method, parameters in methods.items():
        check_parameters(getattr(ours, method), parameters, f"{name}.{method}")


@pytest.mark.parametrize("case", NUMBERS["schedules"], ids=lambda c: f"{c['name']}{c['arguments']}")
def test_schedules_have_tfmots_numbers(case):
    schedule = getattr(tfmot.sparsity.keras, case["name"])(*case["arguments"])
    for step, (due, sparsity) in enumerate(case["values"]):
        ours = schedule(step)
        assert bool(keras.ops.convert_to_numpy(ours[0])) == due
        assert float(keras.ops.convert_to_numpy(ours[1])) == pytest.approx(sparsity, abs=3e-7)


@pytest.mark.parametrize("case", NUMBERS["masks"], ids=lambda c: json.dumps(c)[:90])
def test_masks_are_tfmots_masks(case):
    case = dict(case)
    shape, kept = tuple(case.pop("shape")), bytes.fromhex(case.pop("kept"))
    schedule = tfmot.sparsity.keras.ConstantSparsity(case.pop("sparsity"), 1)
    values = np.random.default_rng(len(shape)).normal(size=shape).astype("float32")
    if len(shape) == 2:
        layer, inputs = keras.layers.Dense(shape[-1], use_bias=False), (None, shape[0])
    else:
        layer = keras.layers.Conv2D(shape[-1], 3, use_bias=False)
        inputs = (None, 8, 8, shape[-2])
    pruned = PruneLowMagnitude(layer, schedule, **case)
    pruned.build(inputs)
    layer.set_weights([values])
    pruned.pruning_step.assign(1)
    pruned.pruning_obj.conditional_mask_update()
    pruned.pruning_obj.weight_mask_op()
    expected = np.unpackbits(np.frombuffer(kept, np.uint8), count=values.size).reshape(shape)
    np.testing.assert_array_equal(layer.get_weights()[0] != 0, expected.astype(bool))


@pytest.mark.parametrize("name", sorted(NUMBERS["clusters"]))
def test_centroids_start_at_tfmots(name):
    case = NUMBERS["clusters"][name]
    values = np.random.default_rng(2).normal(size=(37, 22)).astype("float32")
    model = keras.Sequential([keras.Input((37,)), keras.layers.Dense(22, use_bias=False)])
    model.set_weights([values])
    init = tfmot.clustering.keras.CentroidInitialization[name]
    clustered = tfmot.clustering.keras.cluster_weights(model, 8, init)
    shared = tfmot.clustering.keras.strip_clustering(clustered).get_weights()[0]
    exact = ["LINEAR", "DENSITY_BASED"]
    if keras.backend.backend() == "tensorflow":
        exact.append("KMEANS_PLUS_PLUS")
    if name in exact:
        centroids = clustered.layers[0].cluster_centroids["kernel"]
        np.testing.assert_allclose(
            np.sort(keras.ops.convert_to_numpy(centroids)), case["centroids"], atol=1e-6
        )
    if name != "RANDOM":  # Drawn from other numbers.
        assert np.square(shared - values).mean() <= case["squared_error"] * 1.001
