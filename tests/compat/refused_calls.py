"""Wrong calls, in words that both versions of Keras understand.

`make_goldens.py` makes them on the real tfmot and writes down what each raises.
"""

from __future__ import annotations

import numpy as np


def refused_calls(keras, sparsity, clustering):
    """Return what is wrong -> a call without arguments."""
    layers = keras.layers

    class Unknown(layers.Layer):
        pass

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    def net(*between):
        conv = layers.Conv2D(4, 3)
        last = [layers.Flatten(), layers.Dense(3)]
        return keras.Sequential([keras.Input((6, 6, 1)), conv, *between, *last])

    def unbuilt():
        return keras.Sequential([layers.Dense(3)])

    def subclassed(built=True):
        model = Subclassed()
        if built:
            model(np.ones((1, 2), "float32"))
        return model

    def untold_training():
        model = sparsity.prune_low_magnitude(keras.Sequential([keras.Input((4,)), layers.Dense(3)]))
        model.compile("sgd", "mse")
        model.fit(np.ones((4, 4), "float32"), np.ones((4, 3), "float32"), verbose=0)

    prune, cluster = sparsity.prune_low_magnitude, clustering.cluster_weights
    constant, decay = sparsity.ConstantSparsity, sparsity.PolynomialDecay
    return {
        "prune a text": lambda: prune("text"),
        "prune an unknown layer": lambda: prune(Unknown()),
        "prune a model with an unknown layer": lambda: prune(net(Unknown())),
        "prune an input layer": lambda: prune(layers.InputLayer((3,))),
        "prune TimeDistributed": lambda: prune(layers.TimeDistributed(layers.Dense(3))),
        "prune a subclassed model": lambda: prune(subclassed()),
        "prune an unbuilt subclassed model": lambda: prune(subclassed(built=False)),
        "prune an unbuilt Sequential": lambda: prune(unbuilt()),
        "prune twice": lambda: prune(prune(layers.Dense(3))),
        "prune a pruned model": lambda: prune(prune(net())),
        "blocks of a convolution": lambda: prune(net(), block_size=(2, 2)),
        "blocks of no size": lambda: prune(layers.Dense(3), block_size=(0, 2)),
        "blocks of three sides": lambda: prune(layers.Dense(3), block_size=(1, 2, 2)),
        "unknown pooling": lambda: prune(net(), block_pooling_type="MIN"),
        "m without n": lambda: prune(net(), sparsity_m_by_n=(2,)),
        "m above n": lambda: prune(net(), sparsity_m_by_n=(4, 2)),
        "m by n that aren't ints": lambda: prune(net(), sparsity_m_by_n=(2.5, 4)),
        "no UpdatePruningStep": untold_training,
        "strip pruning off a layer": lambda: sparsity.strip_pruning(prune(layers.Dense(3))),
        "strip pruning off a text": lambda: sparsity.strip_pruning("text"),
        "sparsity of one": lambda: constant(1.0, 0),
        "sparsity above one": lambda: constant(1.5, 0),
        "sparsity below zero": lambda: constant(-0.1, 0),
        "begin below zero": lambda: constant(0.5, -1),
        "end below minus one": lambda: constant(0.5, 0, -2),
        "begin after end": lambda: constant(0.5, 9, 5),
        "frequency of zero": lambda: constant(0.5, 0, 5, 0),
        "decay without end": lambda: decay(0.0, 0.5, 0, -1),
        "decay to one": lambda: decay(0.0, 1.0, 0, 4),
        "decay from below zero": lambda: decay(-0.5, 0.5, 0, 4),
        "decay at frequency zero": lambda: decay(0.0, 0.5, 0, 4, frequency=0),
        "one cluster": lambda: cluster(net(), 1),
        "no cluster": lambda: cluster(layers.Dense(3), 0),
        "clusters that start by a text": lambda: cluster(net(), 4, "LINEAR"),
        "cluster a text": lambda: cluster("text", 4),
        "cluster an unknown layer": lambda: cluster(Unknown(), 4),
        "cluster a model with an unknown layer": lambda: cluster(net(Unknown()), 4),
        "cluster an input layer": lambda: cluster(layers.InputLayer((3,)), 4),
        "cluster a subclassed model": lambda: cluster(subclassed(), 4),
        "cluster an unbuilt subclassed model": lambda: cluster(subclassed(built=False), 4),
        "cluster an unbuilt Sequential": lambda: cluster(unbuilt(), 4),
        "cluster twice": lambda: cluster(cluster(layers.Dense(3), 4), 4),
        "cluster a clustered model": lambda: cluster(cluster(net(), 4), 4),
        "strip clustering off a layer": lambda: clustering.strip_clustering(layers.Dense(3)),
        "strip clustering off a text": lambda: clustering.strip_clustering("text"),
    }
