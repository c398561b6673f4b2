"""Lists, Sequential, functional, nested, subclassed and unbuilt models, and custom layers."""

from __future__ import annotations

import numpy as np

from tests.compat.surface_pruning import weight


def _custom(keras, sparsity, clustering):
    layers = keras.layers

    class Plain(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 3))

        def call(self, x):
            return keras.ops.matmul(x, self.kernel) if hasattr(keras, "ops") else x @ self.kernel

    class Own(Plain, sparsity.PrunableLayer, clustering.ClusterableLayer):
        def get_prunable_weights(self):
            return [self.kernel]

        def get_clusterable_weights(self):
            return [("kernel", self.kernel)]

    class Duck(Plain):
        def get_prunable_weights(self):
            return [self.kernel]

    class Derived(layers.Dense):
        pass

    class DerivedOwn(layers.Dense, sparsity.PrunableLayer):
        def get_prunable_weights(self):
            return [self.kernel, self.bias]

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    return {
        "plain": Plain,
        "own": Own,
        "duck": Duck,
        "derived": Derived,
        "derived own": DerivedOwn,
        "subclassed": Subclassed,
    }


def calls(keras, sparsity, clustering):
    layers = keras.layers
    custom = _custom(keras, sparsity, clustering)

    def sequential():
        return keras.Sequential([keras.Input((4,)), layers.Dense(6), layers.Dense(3)], name="net")

    def unbuilt():
        return keras.Sequential([layers.Dense(6), layers.Dense(3)])

    def functional():
        x = keras.Input((4,), name="given")
        left, right = layers.Dense(5, name="left")(x), layers.Dense(5, name="right")(x)
        return keras.Model(x, layers.Dense(3, name="top")(layers.Add()([left, right])), name="net")

    def shared():
        first, second = keras.Input((4,)), keras.Input((4,))
        dense = layers.Dense(5, name="twice")
        return keras.Model([first, second], layers.Add()([dense(first), dense(second)]))

    def nested():
        x = keras.Input((4,))
        return keras.Model(x, layers.Dense(2)(functional()(x)))

    def in_sequential():
        return keras.Sequential([keras.Input((4,)), sequential(), layers.Dense(2)])

    def subclassed(built=True):
        model = custom["subclassed"]()
        if built:
            model(np.ones((1, 4), "float32"))
        return model

    def holds_subclassed():
        return keras.Sequential([keras.Input((4,)), subclassed(), layers.Dense(2)])

    def half_wrapped():
        body = [layers.Dense(6), wrap["prune"](layers.Dense(3))]
        return keras.Sequential([keras.Input((4,)), *body])

    builders = {
        "sequential": sequential,
        "unbuilt": unbuilt,
        "functional": functional,
        "shared": shared,
        "nested": nested,
        "in sequential": in_sequential,
        "subclassed": subclassed,
        "unbuilt subclassed": lambda: subclassed(built=False),
        "holds subclassed": holds_subclassed,
    }
    wrap = {
        "prune": sparsity.prune_low_magnitude,
        "cluster": lambda target: clustering.cluster_weights(target, 3),
    }
    strip = {"prune": sparsity.strip_pruning, "cluster": clustering.strip_clustering}

    def leaves(model):
        found = []
        for each in model.layers:
            found += leaves(each) if isinstance(each, keras.Model) else [each]
        return [e for e in found if not isinstance(e, layers.InputLayer)]

    def named(model):
        return [each.name.rstrip("_0123456789") for each in leaves(model)]

    def wrapped(technique, build):
        plain = build()
        model = wrap[technique](plain)
        held = [each.layer for each in leaves(model)]
        same = [a is b for a, b in zip(held, leaves(plain), strict=True)]
        return model.built, model.name == plain.name, named(model), same

    def stripped(technique, build):
        plain = build()
        model = strip[technique](wrap[technique](plain))
        names = [each.name for each in leaves(model)] == [each.name for each in leaves(plain)]
        if not plain.built:
            return model.built, names
        x = [weight(3, 4)] * len(plain.inputs)
        x = x[0] if len(x) == 1 else x
        differs = np.abs(np.asarray(model(x)) - np.asarray(plain(x))).max()
        return model.built, names, bool(differs < 1e-6) if technique == "prune" else True

    found = {"models": {}, "custom layers": {}}
    for technique in wrap:
        for name, build in builders.items():
            found["models"][f"{technique} {name}"] = lambda t=technique, b=build: wrapped(t, b)
            found["models"][f"strip {technique} {name}"] = lambda t=technique, b=build: stripped(
                t, b
            )
        again = {
            "twice": lambda t=technique: named(wrap[t](wrap[t](sequential()))),
            "list": lambda t=technique: [type(e).__name__ for e in wrap[t](sequential().layers)],
            "input layer in a list": lambda t=technique: [
                type(e).__name__ for e in wrap[t]([layers.InputLayer((3,)), layers.Dense(2)])
            ],
            "wrapped in a list": lambda t=technique: [
                type(e.layer).__name__ for e in wrap[t]([wrap[t](layers.Dense(2))])
            ],
            "empty list": lambda t=technique: wrap[t]([]),
            "strip a layer": lambda t=technique: strip[t](wrap[t](layers.Dense(2))),
            "strip a text": lambda t=technique: strip[t]("text"),
            "strip a plain model": lambda t=technique: named(strip[t](sequential())),
            "compiled stays so": lambda t=technique: _compiled_stays(keras, wrap[t], sequential()),
        }
        found["models"] |= {f"{technique} {name}": call for name, call in again.items()}
    found["models"] |= {
        "prune half wrapped": lambda: named(wrap["prune"](half_wrapped())),
        "prune half wrapped keeps": lambda: _keeps(wrap["prune"], half_wrapped()),
        "prune a layer twice": lambda: wrap["prune"](wrap["prune"](layers.Dense(3))),
        "prune one layer in two wrappers": lambda: _in_two(keras, wrap["prune"]),
        "prune a text": lambda: wrap["prune"]("text"),
        "prune an input layer": lambda: wrap["prune"](layers.InputLayer((3,))),
        "blocks of a convolution": lambda: sparsity.prune_low_magnitude(
            keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(2, 3)]), block_size=(2, 2)
        ),
        "unknown pooling": lambda: sparsity.prune_low_magnitude(
            layers.Dense(2), block_pooling_type="MIN"
        ),
        "m without n": lambda: sparsity.prune_low_magnitude(layers.Dense(2), sparsity_m_by_n=(2,)),
        "m by n no ints": lambda: sparsity.prune_low_magnitude(
            layers.Dense(2), sparsity_m_by_n=(2.5, 4)
        ),
        "m by n a number": lambda: sparsity.prune_low_magnitude(layers.Dense(2), sparsity_m_by_n=4),
        "input_shape to the wrapper": lambda: (
            keras.Sequential(
                [sparsity.prune_low_magnitude(layers.Dense(2), input_shape=(5,))]
            ).built
        ),
        "input_shape to the layer": lambda: (
            keras.Sequential(
                [sparsity.prune_low_magnitude(layers.Dense(2, input_shape=(5,)))]
            ).built
        ),
        "attributes": lambda: _attributes(sparsity, layers),
        "a few weights in a convolution": lambda: [
            e.name.rstrip("_0123456789")
            for e in clustering.cluster_weights(
                keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(2, 1)]), 4
            ).layers
        ],
        "too few for each channel": lambda: [
            e.name.rstrip("_0123456789")
            for e in clustering.cluster_weights(
                keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(8, 2)]),
                4,
                cluster_per_channel=True,
            ).layers
        ],
    }

    def one(technique, kind):
        layer = custom[kind](3) if kind.startswith("derived") else custom[kind]()
        wrapper = wrap[technique](layer)
        model = keras.Sequential([keras.Input((4,)), wrapper])
        count = len(getattr(wrapper, "pruning_vars", None) or wrapper.cluster_centroids)
        return count, wrapper.layer is layer, len(model.layers)

    def within(technique, kind):
        layer = custom[kind](3) if kind.startswith("derived") else custom[kind]()
        return len(wrap[technique](keras.Sequential([keras.Input((4,)), layer])).layers)

    for technique in wrap:
        for kind in custom:
            if kind != "subclassed":
                found["custom layers"] |= {
                    f"{technique} {kind}": lambda t=technique, k=kind: one(t, k),
                    f"{technique} a model of {kind}": lambda t=technique, k=kind: within(t, k),
                }

    class Cell(layers.Layer):
        units = state_size = output_size = 3

        def build(self, shape):
            self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 3))

        def call(self, x, states):
            ops = getattr(keras, "ops", None)
            y = states[0] + (ops.matmul(x, self.kernel) if ops else x @ self.kernel)
            return y, [y]

    class PrunableCell(Cell, sparsity.PrunableLayer):
        def get_prunable_weights(self):
            return [self.kernel]

    def of_cells(technique, *cells):
        wrapper = wrap[technique](layers.RNN(list(cells)))
        keras.Sequential([keras.Input((5, 3)), wrapper])
        return len(getattr(wrapper, "pruning_vars", None) or wrapper.cluster_centroids)

    for technique in wrap:
        found["custom layers"] |= {
            f"{technique} cells": lambda t=technique: of_cells(t, layers.GRUCell(3)),
            f"{technique} a cell that says nothing": lambda t=technique: of_cells(
                t, layers.GRUCell(3), Cell()
            ),
            f"{technique} a cell that says": lambda t=technique: of_cells(
                t, layers.LSTMCell(3), PrunableCell()
            ),
        }
    return found


def _attributes(sparsity, layers):
    schedule = sparsity.ConstantSparsity(0.25, 3)
    layer = layers.Dense(2, name="inner")
    wrapper = sparsity.prune_low_magnitude(layer, schedule, (2, 3), "MAX")
    config = wrapper.get_config()
    return [
        wrapper.name,
        wrapper.pruning_schedule is schedule,
        wrapper.block_size,
        wrapper.block_pooling_type,
        wrapper.sparsity_m_by_n,
        wrapper.pruning_vars,
        config["pruning_schedule"],
        config["block_size"],
        config["block_pooling_type"],
        type(wrapper).from_config(config).get_config()["pruning_schedule"],
    ]


def _keeps(prune, model):
    return prune(model).layers[1] is model.layers[1]


def _in_two(keras, prune):
    layer = keras.layers.Dense(4)
    model = keras.Sequential([keras.Input((4,)), prune(layer)])
    other = keras.Sequential([keras.Input((4,)), prune(layer)])
    return model.layers[0].layer is other.layers[0].layer


def _compiled_stays(keras, wrap, model):
    model.compile("sgd", "mse")
    new = wrap(model)
    return model.optimizer is not None, getattr(new, "optimizer", None) is None
