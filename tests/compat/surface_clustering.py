"""Look-ups and their gradients, starting centroids, clustered layers and their training."""

from __future__ import annotations

import itertools
import tempfile

import numpy as np

from tests.compat.surface_pruning import layer_of, weight


def values(wrapper):
    """Return what is behind a clustered layer, by the name of each weight."""
    return {
        name: [
            np.asarray(wrapper.cluster_centroids[name]),
            np.asarray(wrapper.pulling_indices[name]),
            np.asarray(wrapper.original_clusterable_weights[name]),
        ]
        for name in wrapper.cluster_centroids
    }


def algorithms(keras, clustering):
    import tensorflow as tf

    found = {}
    shapes = [(7,), (3, 4), (2, 3, 4), (2, 2, 3, 2), (2, 1, 2, 2, 3)]
    algorithm = clustering.ClusteringAlgorithm
    sum_, avg = "GradientAggregation.SUM", "GradientAggregation.AVG"

    def aggregated(how, centroids):
        layer = keras.layers.Dense(2)
        wrapper = clustering.cluster_weights(layer, 2)
        kind = type(wrapper.cluster_gradient_aggregation)
        return algorithm(tf.Variable(centroids), kind(how))

    centroids = np.array([-1.0, 0.5, 0.0, 2.0, 9.0], "float32")
    for shape, how in itertools.product(shapes, (sum_, avg)):

        def looked_up(shape=shape, how=how, kind=tf.Variable):
            own = aggregated(how, centroids)
            original = kind(weight(*shape))
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(original)
                indices = own.get_pulling_indices(original)
                clustered = own.get_clustered_weight(indices, original)
                loss = tf.reduce_sum(clustered * weight(*shape, seed=1))
            gradients = [tape.gradient(loss, each) for each in (own.cluster_centroids, original)]
            return [
                np.asarray(indices),
                np.asarray(clustered),
                *(np.asarray(tf.convert_to_tensor(each)) for each in gradients),
            ]

        found[f"variable {shape} {how}"] = looked_up
        found[f"tensor {shape} {how}"] = lambda f=looked_up: f(kind=tf.constant)
        found[f"other centroids {shape} {how}"] = lambda s=shape, how=how: np.asarray(
            aggregated(how, centroids).get_pulling_indices(weight(*s), centroids[::-1].copy())
        )
    for name, given in {"a list": [1.0, 2.0], "an array": centroids, "nothing": None}.items():
        found[f"centroids in {name}"] = lambda given=given: type(algorithm(given)).__name__
    found["ties"] = lambda: np.asarray(
        algorithm(tf.Variable([4.0, 2.0, 0.0])).get_pulling_indices(np.arange(5, dtype="float32"))
    )

    def by_channel(preserve, how, biased=False, shape=(3, 3, 2, 4)):
        layer, inputs = layer_of(keras, shape)
        layer.use_bias = biased
        values = [weight(*shape), np.zeros(shape[-1])][: 1 + biased]
        keras.Sequential([keras.Input(inputs), layer]).set_weights(values)
        init = clustering.CentroidInitialization.LINEAR
        wrapper = clustering.cluster_weights(
            layer, 4, init, cluster_per_channel=True, preserve_sparsity=preserve
        )
        wrapper.build((None, *inputs))
        own = wrapper.clustering_algorithms["kernel"]
        own.cluster_gradient_aggregation = type(wrapper.cluster_gradient_aggregation)(how)
        original = tf.constant(weight(*shape))
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(original)
            indices = own.get_pulling_indices(original)
            clustered = own.get_clustered_weight(indices, original)
            loss = tf.reduce_sum(clustered * weight(*shape, seed=1))
        held = own.cluster_centroids
        held = getattr(held, "value", held) if not isinstance(held, tf.Variable) else held
        gradients = [tape.gradient(loss, each) for each in (held, original)]
        gradients = [np.asarray(tf.convert_to_tensor(each)) for each in gradients]
        return [np.asarray(held), np.asarray(indices), np.asarray(clustered), *gradients]

    for preserve, how in itertools.product((False, True), (sum_, avg)):
        found[f"per channel {preserve} {how}"] = lambda p=preserve, h=how: by_channel(p, h)
        found[f"per channel {preserve} {how} bias"] = lambda p=preserve, h=how: by_channel(
            p, h, True
        )
    return found


def centroids(keras, clustering):
    found = {}
    inits = clustering.CentroidInitialization
    sparse = weight(9, 8)
    sparse[np.abs(sparse) < 0.5] = 0
    kernels = {
        "normal": weight(9, 8),
        "sparse": sparse,
        "positive": np.abs(weight(9, 8)),
        "negative": -np.abs(sparse),
        "small": weight(9, 8) * 1e-3,
        "integers": np.arange(72, dtype="float32").reshape(9, 8),
        "conv": weight(3, 3, 4, 6),
    }
    for (name, kernel), init, number, preserve in itertools.product(
        kernels.items(), inits, (3, 5, 8), (False, True)
    ):

        def start(kernel=kernel, init=init, number=number, preserve=preserve):
            layer, inputs = layer_of(keras, kernel.shape)
            model = keras.Sequential([keras.Input(inputs), layer])
            model.set_weights([kernel])
            model = clustering.cluster_weights(model, number, init, preserve_sparsity=preserve)
            wrapper = model.layers[0]
            if init == inits.RANDOM:
                found = np.sort(np.asarray(wrapper.cluster_centroids["kernel"]))
                inside = kernel.min() <= found.min() and found.max() <= kernel.max()
                return len(found), bool(inside), bool((found == 0).any())
            marks = [np.asarray(wrapper.zero_idx["kernel"])] if preserve else []
            return values(wrapper), marks

        found[f"{name} {init.name} {number} {preserve}"] = start
    return found


def registry(keras, clustering):
    layers = keras.layers
    rows, images, volumes = (5, 3), (6, 6, 2), (5, 5, 5, 2)
    cases = {
        "Dense": (lambda: layers.Dense(3), (4,)),
        "Conv1D": (lambda: layers.Conv1D(3, 2), rows),
        "Conv2D": (lambda: layers.Conv2D(3, 2), images),
        "Conv3D": (lambda: layers.Conv3D(3, 2), volumes),
        "Conv1DTranspose": (lambda: layers.Conv1DTranspose(3, 2), rows),
        "Conv2DTranspose": (lambda: layers.Conv2DTranspose(3, 2), images),
        "Conv3DTranspose": (lambda: layers.Conv3DTranspose(3, 2), volumes),
        "DepthwiseConv1D": (lambda: layers.DepthwiseConv1D(2), rows),
        "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(2), images),
        "SeparableConv1D": (lambda: layers.SeparableConv1D(3, 2), rows),
        "SeparableConv2D": (lambda: layers.SeparableConv2D(3, 2), images),
        "Embedding": (lambda: layers.Embedding(9, 3), (4,)),
        "LSTM": (lambda: layers.LSTM(3), rows),
        "GRU": (lambda: layers.GRU(3), rows),
        "SimpleRNN": (lambda: layers.SimpleRNN(3), rows),
        "RNN of cells": (lambda: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)]), rows),
        "ConvLSTM2D": (lambda: layers.ConvLSTM2D(2, 2), (3, 6, 6, 2)),
        "Bidirectional": (lambda: layers.Bidirectional(layers.LSTM(3)), rows),
        "TimeDistributed": (lambda: layers.TimeDistributed(layers.Dense(3)), rows),
        "BatchNormalization": (lambda: layers.BatchNormalization(), (4,)),
        "LayerNormalization": (lambda: layers.LayerNormalization(), (4,)),
        "EinsumDense": (lambda: layers.EinsumDense("ab,bc->ac", 3), (4,)),
        "PReLU": (lambda: layers.PReLU(), (4,)),
        "Activation": (lambda: layers.Activation("relu"), (4,)),
        "Dropout": (lambda: layers.Dropout(0.5), (4,)),
        "Flatten": (lambda: layers.Flatten(), images),
        "MaxPooling2D": (lambda: layers.MaxPooling2D(), images),
    }
    found = {}
    for name, (make, shape) in cases.items():

        def taken(make=make, shape=shape):
            layer = make()
            keras.Sequential([keras.Input(shape), layer])
            wrapper = clustering.cluster_weights(layer, 3)
            wrapper.build((None, *shape))
            told = [[n, [int(k) for k in v.shape]] for n, v in layer.get_clusterable_weights()]
            places = {str(k): v for k, v in wrapper.position_original_weights.items()}
            name = wrapper.name.rstrip("_0123456789")
            return told, places, wrapper.layer is layer, name, type(wrapper).__name__

        found[name] = taken
        found[f"{name} unbuilt"] = lambda make=make: (
            type(clustering.cluster_weights(make(), 3)).__name__
        )
    refused = {
        "one cluster": lambda: clustering.cluster_weights(layers.Dense(3), 1),
        "no cluster": lambda: clustering.cluster_weights(layers.Dense(3), 0),
        "negative": lambda: clustering.cluster_weights(layers.Dense(3), -4),
        "half a cluster": lambda: clustering.cluster_weights(layers.Dense(3), 2.5),
        "text": lambda: clustering.cluster_weights(layers.Dense(3), "4"),
        "two and zeros": lambda: clustering.cluster_weights(
            layers.Dense(3), 2, preserve_sparsity=True
        ),
        "unknown start": lambda: clustering.cluster_weights(layers.Dense(3), 4, "DEADBEEF"),
        "list of objects": lambda: clustering.cluster_weights([object()], 4),
        "summaries to nowhere": lambda: clustering.ClusteringSummaries(log_dir=""),
        "summaries to an object": lambda: clustering.ClusteringSummaries(log_dir=object()),
    }
    return found | {name: lambda c=call: type(c()).__name__ for name, call in refused.items()}


def training(keras, clustering):
    init = clustering.CentroidInitialization
    x, y = weight(20, 6), weight(20, 3)

    def net(zeros=False):
        layers = keras.layers
        model = keras.Sequential([keras.Input((6,)), layers.Dense(5), layers.Dense(3)])
        kernel = weight(6, 5)
        if zeros:
            kernel[np.abs(kernel) < 0.6] = 0
        model.set_weights([kernel, np.zeros(5), weight(5, 3), np.zeros(3)])
        return model

    def fitted(start=init.LINEAR, epochs=1, optimizer="sgd", zeros=False, eager=True, **more):
        model = clustering.cluster_weights(net(zeros), 4, start, **more)
        model.compile(keras.optimizers.get(optimizer), "mse", run_eagerly=eager)
        model.fit(x, y, batch_size=5, epochs=epochs, shuffle=False, verbose=0)
        return model

    def state(model):
        small = clustering.strip_clustering(model)
        kernels = [np.asarray(layer.kernel) for layer in small.layers]
        return (
            [values(each) for each in model.layers],
            kernels,
            [np.unique(k).size for k in kernels],
        )

    found = {}
    for start in (init.LINEAR, init.DENSITY_BASED, init.KMEANS_PLUS_PLUS):
        for zeros, optimizer in itertools.product((False, True), ("sgd", "adam")):
            found[f"{start.name} {zeros} {optimizer}"] = lambda s=start, z=zeros, o=optimizer: (
                state(fitted(s, 2, o, z, preserve_sparsity=z))
            )
    found["in a graph"] = lambda: state(fitted(eager=False))
    found["no optimizer"] = lambda: (
        getattr(clustering.cluster_weights(net(), 4), "optimizer", None) is None
    )
    found["trainable weights"] = lambda: [
        len(each.trainable_weights) for each in clustering.cluster_weights(net(), 4).layers
    ]

    def moved():
        model = clustering.cluster_weights(net(), 3, init.LINEAR)
        wrapper = model.layers[0]
        wrapper.cluster_centroids["kernel"].assign([-1.0, 0.25, 0.5])
        model(x)
        before = values(wrapper)
        wrapper.original_clusterable_weights["kernel"].assign(-weight(6, 5))
        wrapper.update_clustered_weights_associations()
        return before, values(wrapper)

    def many(preserve):
        keras.utils.set_random_seed(1)
        layers = keras.layers
        body = [layers.Conv2D(8, 3), layers.Flatten(), layers.Dense(10)]
        model = keras.Sequential([keras.Input((12, 12, 1)), *body])
        kernels = [weight(3, 3, 1, 8), np.zeros(8), weight(800, 10), np.zeros(10)]
        model.set_weights([np.where(np.abs(k) < 0.3, 0, k) for k in kernels])
        model = clustering.cluster_weights(model, 8, preserve_sparsity=preserve)
        model.compile("adam", "mse")
        model.fit(weight(32, 12, 12, 1), weight(32, 10), verbose=0)
        small = clustering.strip_clustering(model)
        kernels = [np.asarray(small.layers[i].kernel) for i in (0, 2)]
        return [np.unique(k).size for k in kernels], [int((k == 0).sum()) for k in kernels]

    def saved():
        model = fitted()
        with tempfile.TemporaryDirectory() as folder:
            model.save_weights(f"{folder}/m.weights.h5")
            other = clustering.cluster_weights(net(), 4, init.LINEAR)
            other.load_weights(f"{folder}/m.weights.h5")
        return np.asarray(other(x))

    found |= {
        "moved by hand": moved,
        "eight values": lambda: many(False)[0],
        "eight values, zeros kept": lambda: many(True),
        "weights saved": saved,
    }
    return found


def calls(keras, _, clustering):
    return {
        "look-up": algorithms(keras, clustering),
        "centroids": centroids(keras, clustering),
        "layers clustered": registry(keras, clustering),
        "clustered training": training(keras, clustering),
    }
