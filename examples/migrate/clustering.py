"""tfmot's clustering guides with one changed import: plain, and of a pruned model.

python examples/migrate/clustering.py
"""

from __future__ import annotations

import keras
import numpy as np

# Was: import tensorflow_model_optimization as tfmot
from keras_compress.compat import tfmot

sparsity, clustering = tfmot.sparsity.keras, tfmot.clustering.keras


def data(samples=512):
    """Random vectors (samples, 24) whose class is the third that sums highest."""
    x = np.random.default_rng(0).normal(size=(samples, 24)).astype("float32")
    return x, x.reshape(samples, 3, 8).sum(axis=2).argmax(axis=1)


def compiled(model, rate=1e-3):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def trained(x, y):
    layers = [keras.layers.Dense(48, activation="relu", name="hidden"), keras.layers.Dense(3)]
    model = compiled(keras.Sequential([keras.Input((24,)), *layers]), 1e-2)
    model.fit(x, y, epochs=5, verbose=0)
    return model


def show(title, model, x, y):
    kernel = keras.ops.convert_to_numpy(model.get_layer("hidden").kernel)
    accuracy = compiled(model).evaluate(x, y, verbose=0)[1]
    values = np.unique(kernel).size
    print(f"{title}: {values} values, {(kernel == 0).mean():.0%} zeros, accuracy {accuracy:.1%}")


def main():
    x, y = data()
    base = trained(x, y)
    init = clustering.CentroidInitialization
    for each in init:
        model = clustering.cluster_weights(base, number_of_clusters=8, cluster_centroids_init=each)
        compiled(model, 1e-4).fit(x, y, epochs=1, verbose=0)
        show(each.name, clustering.strip_clustering(model), x, y)

    schedule = sparsity.PolynomialDecay(0.0, 0.5, 0, 60, frequency=10)
    model = compiled(sparsity.prune_low_magnitude(base, schedule))
    model.fit(x, y, epochs=5, verbose=0, callbacks=[sparsity.UpdatePruningStep()])
    pruned = sparsity.strip_pruning(model)
    model = clustering.cluster_weights(pruned, 8, init.KMEANS_PLUS_PLUS, preserve_sparsity=True)
    compiled(model, 1e-4).fit(x, y, epochs=1, verbose=0)
    show("pruned, then clustered", clustering.strip_clustering(model), x, y)


if __name__ == "__main__":
    main()
