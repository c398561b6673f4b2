"""Nets of each kind of layer trained while they are pruned or clustered, and stripped."""

from __future__ import annotations

import numpy as np

from tests.compat.surface_pruning import weight
from tests.compat.surface_wrappers import IMAGES, ROWS, filled


def nets_of(keras):
    """Return name -> a call that makes a net of 3 results, the shape it reads."""
    layers = keras.layers

    def chain(*body):
        return [*body, layers.Dense(3)]

    flat = layers.Flatten
    return {
        "dense": (lambda: chain(layers.Dense(5, activation="relu")), (6,)),
        "normalized": (lambda: chain(layers.Dense(5), layers.BatchNormalization()), (6,)),
        "conv1d": (lambda: chain(layers.Conv1D(4, 2), flat()), ROWS),
        "conv2d": (lambda: chain(layers.Conv2D(4, 3), layers.ReLU(), flat()), IMAGES),
        "conv2d without biases": (
            lambda: chain(layers.Conv2D(4, 3, use_bias=False), layers.ReLU(), flat()),
            IMAGES,
        ),
        "depthwise": (lambda: chain(layers.DepthwiseConv2D(2), flat()), IMAGES),
        "separable": (lambda: chain(layers.SeparableConv2D(4, 2), flat()), IMAGES),
        "transposed": (lambda: chain(layers.Conv2DTranspose(4, 2), flat()), IMAGES),
        "pooled": (
            lambda: chain(layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()),
            IMAGES,
        ),
        "lstm": (lambda: chain(layers.LSTM(4)), ROWS),
        "gru": (lambda: chain(layers.GRU(4)), ROWS),
        "simple rnn": (lambda: chain(layers.SimpleRNN(4)), ROWS),
        "cells": (lambda: chain(layers.RNN([layers.LSTMCell(3), layers.LSTMCell(2)])), ROWS),
        "both ways": (lambda: chain(layers.Bidirectional(layers.LSTM(3))), ROWS),
        "embedded": (lambda: chain(layers.Embedding(9, 4), flat()), (4,)),
    }


def trainings(keras, sparsity, clustering):
    found = {}
    nets = nets_of(keras)
    init = clustering.CentroidInitialization
    average = "GradientAggregation.AVG"

    def net(name):
        make, shape = nets[name]
        model = filled(keras.Sequential([keras.Input(shape), *make()]))
        x = weight(12, *shape) if name != "embedded" else np.arange(48).reshape(12, 4) % 9
        return model, x, weight(12, 3)

    def fit(model, x, y, **arguments):
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0, **arguments)
        return model

    def pruned(name, optimizer="sgd", epochs=1, **arguments):
        model, x, y = net(name)
        schedule = sparsity.PolynomialDecay(0.2, 0.6, 0, 3, frequency=1)
        model = sparsity.prune_low_magnitude(model, schedule, **arguments)
        model.compile(keras.optimizers.get(optimizer), "mse")
        fit(model, x, y, epochs=epochs, callbacks=[sparsity.UpdatePruningStep()])
        small = sparsity.strip_pruning(model)
        values = [np.asarray(each) for each in small.get_weights()]
        return values, [int((each == 0).sum()) for each in values], np.asarray(small(x))

    def clustered(name, optimizer="sgd", start=init.LINEAR, how=None, **arguments):
        model, x, y = net(name)
        if how is not None:
            kind = type(
                clustering.cluster_weights(keras.layers.Dense(2), 2).cluster_gradient_aggregation
            )
            arguments["cluster_gradient_aggregation"] = kind(how)
        model = clustering.cluster_weights(model, 4, start, **arguments)
        model.compile(keras.optimizers.get(optimizer), "mse")
        fit(model, x, y)
        small = clustering.strip_clustering(model)
        values = [np.asarray(each) for each in small.get_weights()]
        return values, [int(np.unique(each).size) for each in values], np.asarray(small(x))

    for name in nets:
        found |= {
            f"prune {name}": lambda n=name: pruned(n),
            # Where a batch reads a row twice, Adam does otherwise in Keras 3.
            f"prune {name}, two epochs": lambda n=name: pruned(
                n, "sgd" if n == "embedded" else "adam", 2
            ),
            f"cluster {name}": lambda n=name: clustered(n),
            f"cluster {name}, density": lambda n=name: clustered(n, start=init.DENSITY_BASED),
            f"cluster {name}, adam": lambda n=name: clustered(
                n, "sgd" if n == "embedded" else "adam"
            ),
            f"cluster {name}, k-means": lambda n=name: clustered(n, start=init.KMEANS_PLUS_PLUS),
            f"cluster {name}, zeros": lambda n=name: clustered(n, preserve_sparsity=True),
            f"cluster {name}, mean gradient": lambda n=name: clustered(n, how=average),
        }
    for name in ("dense", "conv2d", "conv2d without biases"):
        found |= {
            f"cluster {name}, by channel": lambda n=name: clustered(n, cluster_per_channel=True),
            f"cluster {name}, by channel, zeros": lambda n=name: clustered(
                n, cluster_per_channel=True, preserve_sparsity=True
            ),
            f"prune {name}, m by n": lambda n=name: pruned(n, sparsity_m_by_n=(2, 4)),
        }
    return found


def attention(keras, sparsity, clustering):
    """`MultiHeadAttention` in a functional net."""
    found = {}

    def net():
        layers = keras.layers
        given = keras.Input((5, 4))
        seen = layers.MultiHeadAttention(2, 3)(given, given)
        model = keras.Model(given, layers.Dense(3)(layers.Flatten()(seen)))
        return filled(model), weight(12, 5, 4), weight(12, 3)

    def trained(wrap, strip, callbacks):
        model, x, y = net()
        model = wrap(model)
        model.compile("sgd", "mse")
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=callbacks)
        names = [each.name.rstrip("_0123456789") for each in model.layers[1:]]
        small = strip(model)
        values = [np.asarray(each) for each in small.get_weights()]
        return names, sorted(int(np.unique(each).size) for each in values), np.asarray(small(x))

    linear = clustering.CentroidInitialization.LINEAR
    found["pruned attention"] = lambda: trained(
        lambda model: sparsity.prune_low_magnitude(
            model, sparsity.ConstantSparsity(0.5, 0, frequency=1)
        ),
        sparsity.strip_pruning,
        [sparsity.UpdatePruningStep()],
    )
    found["clustered attention"] = lambda: trained(
        lambda model: clustering.cluster_weights(model, 4, linear),
        clustering.strip_clustering,
        [],
    )
    return found


def layer_by_layer(keras, sparsity, clustering):
    """Models put together of layers that were wrapped one by one."""
    layers = keras.layers
    linear = clustering.CentroidInitialization.LINEAR
    wrap = {
        "prune": lambda layer: sparsity.prune_low_magnitude(
            layer, sparsity.ConstantSparsity(0.5, 0, frequency=1)
        ),
        "cluster": lambda layer: clustering.cluster_weights(layer, 3, linear),
    }
    strip = {"prune": sparsity.strip_pruning, "cluster": clustering.strip_clustering}

    def with_input(put):
        return keras.Sequential([keras.Input((6,)), put(layers.Dense(5)), layers.Dense(3)])

    def without_input(put):
        return keras.Sequential([put(layers.Dense(5)), put(layers.Dense(3))])

    def added(put):
        model = keras.Sequential()
        model.add(keras.Input((6,)))
        model.add(put(layers.Dense(5)))
        model.add(layers.ReLU())
        model.add(put(layers.Dense(3)))
        return model

    def functional(put):
        given = keras.Input((6,))
        left, right = put(layers.Dense(5))(given), put(layers.Dense(5))(given)
        return keras.Model(given, put(layers.Dense(3))(layers.Concatenate()([left, right])))

    def used_twice(put):
        given = keras.Input((6,))
        twice = put(layers.Dense(6))
        return keras.Model(given, layers.Dense(3)(twice(twice(given))))

    def of_images(put):
        body = [put(layers.Reshape((2, 3, 1))), put(layers.Conv2D(2, 2)), layers.Flatten()]
        return keras.Sequential([keras.Input((6,)), *body, put(layers.Dense(3))])

    class Subclassed(keras.Model):
        def __init__(self, put):
            super().__init__()
            self.first, self.last = put(layers.Dense(5)), put(layers.Dense(3))

        def call(self, x, training=None):
            return self.last(self.first(x, training=training), training=training)

    x, y = weight(12, 6), weight(12, 3)

    def trained(technique, build, stripped):
        model = build(wrap[technique])
        known = model.built
        model.compile("sgd", keras.losses.MeanSquaredError())
        callbacks = [sparsity.UpdatePruningStep()] if technique == "prune" else []
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=callbacks)
        if stripped:
            model = strip[technique](model)
        weights = [np.asarray(each.kernel) for each in model.layers if hasattr(each, "kernel")]
        if technique == "prune":
            sizes = [int((each == 0).sum()) for each in weights]
        else:
            sizes = [bool(np.unique(each).size <= 3) for each in weights]
        names = [each.name.rstrip("_0123456789") for each in model.layers]
        # Weights are drawn by chance, so that their values can't be compared.
        return [name for name in names if not name.startswith("input")], known, sizes

    builders = {
        "with an input": with_input,
        "without an input": without_input,
        "added": added,
        "functional": functional,
        "used twice": used_twice,
        "of images": of_images,
    }
    found = {
        f"{technique} layer by layer, {name}": lambda t=technique, b=build: trained(t, b, True)
        for technique in wrap
        for name, build in builders.items()
    }
    for technique in wrap:
        found[f"{technique} layer by layer, subclassed"] = lambda t=technique: trained(
            t, Subclassed, False
        )
        found[f"{technique} layer by layer, subclassed, stripped"] = lambda t=technique: trained(
            t, Subclassed, True
        )
    return found


def own_layers(keras, _, clustering):
    """Layers of the user's with a look-up of their own."""

    class Halves(clustering.ClusteringAlgorithm):
        """All weights belong to the first or the last centroid, by their sign."""

        def get_pulling_indices(self, weight, *more):
            last = int(self.cluster_centroids.shape[0]) - 1
            if hasattr(keras, "ops"):
                return keras.ops.cast(keras.ops.where(weight > 0, last, 0), "int64")
            import tensorflow as tf

            return tf.cast(tf.where(weight > 0, last, 0), tf.int64)

    class Own(keras.layers.Dense, clustering.ClusterableLayer):
        algorithm = None

        def get_clusterable_weights(self):
            return [("kernel", self.kernel)]

        def get_clusterable_algorithm(self, weight_name):
            return self.algorithm

    class Other(Own):
        algorithm = Halves

    class Both(Own):
        def get_clusterable_weights(self):
            return [("kernel", self.kernel), ("bias", self.bias)]

    linear = clustering.CentroidInitialization.LINEAR

    def trained(kind):
        body = [kind(4), keras.layers.Dense(3)]
        model = filled(keras.Sequential([keras.Input((6,)), *body]))
        model = clustering.cluster_weights(model, 3, linear)
        model.compile("sgd", "mse")
        model.fit(weight(12, 6), weight(12, 3), batch_size=4, shuffle=False, verbose=0)
        wrapper = model.layers[0]
        indices = [np.asarray(each) for each in wrapper.pulling_indices.values()]
        algorithms = [type(each).__name__ for each in wrapper.clustering_algorithms.values()]
        small = clustering.strip_clustering(model)
        return indices, algorithms, [np.asarray(each) for each in small.get_weights()]

    kinds = {"own weights": Own, "an algorithm of its own": Other, "kernel and bias": Both}
    return {name: lambda k=kind: trained(k) for name, kind in kinds.items()}


def calls(keras, sparsity, clustering):
    return {
        "nets trained": trainings(keras, sparsity, clustering)
        | attention(keras, sparsity, clustering),
        "layers wrapped one by one": layer_by_layer(keras, sparsity, clustering)
        | own_layers(keras, sparsity, clustering),
    }
