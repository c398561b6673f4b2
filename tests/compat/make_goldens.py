"""Writes `tfmot_{api,numbers,quantizers,refusals}.json` from the real tfmot.

Run where `tensorflow-model-optimization==0.8.1`, `tf-keras` and `tensorflow` are installed:

    python tests/compat/make_goldens.py
"""

from __future__ import annotations

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import inspect
import json
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from refused_calls import refused_calls

HERE = Path(__file__).parent


def parameters(thing):
    try:
        return [
            [p.name, p.kind.name, None if p.default is p.empty else repr_of(p.default)]
            for p in inspect.signature(thing).parameters.values()
        ]
    except (TypeError, ValueError):
        return None


def repr_of(default):
    plain = isinstance(default, int | float | str | tuple | type(None))
    return json.loads(json.dumps(default)) if plain else type(default).__name__


def api(namespace):
    table = {}
    for name in sorted(n for n in dir(namespace) if not n.startswith("_")):
        thing = getattr(namespace, name)
        methods = {}
        if inspect.isclass(thing):
            methods = {
                method: parameters(value)
                for method, value in sorted(vars(thing).items())
                if inspect.isfunction(value)
                and (not method.startswith("_") or method == "__call__")
            }
        enum = inspect.isclass(thing) and hasattr(thing, "__members__")
        members = sorted(thing.__members__) if enum else []
        kind = "class" if inspect.isclass(thing) else type(thing).__name__
        table[name] = {
            "kind": kind,
            "parameters": None if kind == "module" or members else parameters(thing),
            "methods": {} if members else methods,
            "members": members,
        }
    return table


def weight(shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype("float32")


def masks():
    sparsity = tfmot.sparsity.keras
    dense, conv = (37, 22), (3, 3, 10, 6)
    cases = []
    for shape in (dense, conv):
        for share in (0.1, 0.5, 0.8, 0.9, 0.95, 0.999):
            cases.append((shape, share, {}))
        cases.append((shape, 0.5, {"sparsity_m_by_n": (2, 4)}))
        cases.append((shape, 0.5, {"sparsity_m_by_n": (3, 8)}))
    for block in ((2, 2), (4, 1), (3, 5)):
        for pooling in ("AVG", "MAX"):
            arguments = {"block_size": block, "block_pooling_type": pooling}
            cases.append((dense, 0.6, arguments))
    found = []
    for shape, share, arguments in cases:
        if len(shape) == 2:
            layer = keras.layers.Dense(shape[-1], use_bias=False)
            inputs = keras.Input((shape[0],))
        else:
            layer = keras.layers.Conv2D(shape[-1], 3, use_bias=False)
            inputs = keras.Input((8, 8, shape[-2]))
        model = keras.Sequential([inputs, layer])
        model.set_weights([weight(shape)])
        schedule = sparsity.ConstantSparsity(share, 1)
        pruned = sparsity.prune_low_magnitude(model, schedule, **arguments)
        pruned.compile(keras.optimizers.SGD(0.0), "mse")
        x = np.zeros((1, *inputs.shape[1:]), "float32")
        y = np.zeros((1, *pruned.output_shape[1:]), "float32")
        pruned.fit(x, y, verbose=0, callbacks=[sparsity.UpdatePruningStep()])
        kept = sparsity.strip_pruning(pruned).get_weights()[0] != 0
        arguments = {k: list(v) if isinstance(v, tuple) else v for k, v in arguments.items()}
        packed = np.packbits(kept).tobytes().hex()
        found.append({"shape": shape, "sparsity": share, **arguments, "kept": packed})
    return found


def schedules():
    sparsity = tfmot.sparsity.keras
    found = []
    for name, arguments in (
        ("ConstantSparsity", [0.4, 3]),
        ("ConstantSparsity", [0.4, 3, 20, 5]),
        ("PolynomialDecay", [0.1, 0.9, 2, 31, 3, 7]),
        ("PolynomialDecay", [0.9, 0.1, 0, 30, 1, 1]),
        ("PolynomialDecay", [0.0, 0.77, 5, 25, 2, 4]),
    ):
        schedule = getattr(sparsity, name)(*arguments)
        values = [[bool(a), float(b)] for a, b in map(schedule, range(40))]
        found.append({"name": name, "arguments": arguments, "values": values})
    return found


def clusters():
    clustering = tfmot.clustering.keras
    values = weight((37, 22))
    init = clustering.CentroidInitialization
    found = {}
    for each in init:
        model = keras.Sequential([keras.Input((37,)), keras.layers.Dense(22, use_bias=False)])
        model.set_weights([values])
        clustered = clustering.cluster_weights(model, 8, each)
        centroids = clustered.layers[0].cluster_centroids["kernel"].numpy()
        shared = centroids[clustered.layers[0].pulling_indices["kernel"].numpy()]
        centroids = np.sort(centroids)
        found[each.name] = {
            "centroids": centroids.tolist(),
            "squared_error": float(np.square(shared - values).mean()),
        }
    return found


def quantizers():
    """What quantizers make of two batches in training and one after: the sum by place."""
    found = []
    weights = np.arange(185, dtype="float32").reshape(37, 5)
    common = [
        ("LastValueQuantizer", 8, True, True, True),
        ("LastValueQuantizer", 4, False, True, False),
        ("LastValueQuantizer", 8, False, False, False),
        ("MovingAverageQuantizer", 8, False, False, False),
        ("MovingAverageQuantizer", 6, False, True, True),
        ("AllValuesQuantizer", 8, False, False, False),
        ("AllValuesQuantizer", 8, False, True, True),
    ]
    keys = ("num_bits", "per_axis", "symmetric", "narrow_range")
    cases = [(kind, dict(zip(keys, values, strict=True))) for kind, *values in common]
    fixed = {"num_bits": 8, "init_min": -1.0, "init_max": 2.0, "narrow_range": False}
    for number, (kind, arguments) in enumerate([*cases, ("FixedQuantizer", fixed)]):
        quantizer = getattr(tfmot.quantization.keras.quantizers, kind)(**arguments)
        layer = keras.layers.Layer()
        state = quantizer.build(tf.TensorShape((37, 5)), "kernel", layer)
        generator = np.random.default_rng(0)
        sums = []
        for step in range(3):
            values = generator.normal(0.3, 1 + step, (37, 5)).astype("float32")
            got = quantizer(tf.constant(values), step < 2, weights=state).numpy()
            sums.append(float((got * weights).sum()))
        name = f"{kind}{number}"
        found.append({"name": name, "kind": kind, "arguments": arguments, "sums": sums})
    return found


def refusals():
    """What each wrong call raises, as the names of the exception's bases, or `None`."""
    found = {}
    calls = refused_calls(keras, tfmot.sparsity.keras, tfmot.clustering.keras)
    for name, call in calls.items():
        try:
            call()
        except Exception as error:  # whatever it is, it is written down
            found[name] = [kind.__name__ for kind in type(error).__mro__]
        else:
            found[name] = None
    return found


if __name__ == "__main__":
    spaces = {
        "sparsity": tfmot.sparsity.keras,
        "clustering": tfmot.clustering.keras,
        "quantization": tfmot.quantization.keras,
        "quantizers": tfmot.quantization.keras.quantizers,
    }
    table = {name: api(space) for name, space in spaces.items()}
    (HERE / "tfmot_api.json").write_text(json.dumps(table, indent=1) + "\n")
    numbers = {"masks": masks(), "schedules": schedules(), "clusters": clusters()}
    (HERE / "tfmot_numbers.json").write_text(json.dumps(numbers) + "\n")
    (HERE / "tfmot_quantizers.json").write_text(json.dumps(quantizers()) + "\n")
    (HERE / "tfmot_refusals.json").write_text(json.dumps(refusals(), indent=1) + "\n")
