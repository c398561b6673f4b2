"""tfmot's clustering guides with one changed import: whole models, chosen layers, files.

python examples/migrate/clustering.py
"""

from __future__ import annotations

import os
import tempfile

import keras
from lit_quadrants import compiled, data, fit, show, trained

# Was: import tensorflow_model_optimization as tfmot
from keras_compress.compat import tfmot

clustering = tfmot.clustering.keras


def whole_model(base, x, y):
    starts = clustering.CentroidInitialization
    for init in (starts.LINEAR, starts.KMEANS_PLUS_PLUS):
        model = clustering.cluster_weights(base, number_of_clusters=8, cluster_centroids_init=init)
        fit(compiled(model, 1e-4), x, y, epochs=1)
        show(init.name, clustering.strip_clustering(model), x, y)


def chosen_layers(base, x, y):
    def choose(layer):
        if isinstance(layer, keras.layers.Dense):
            return clustering.cluster_weights(layer, 8)
        return layer

    # Unlike Keras 2, `clone_model` hands the function the layers of `base` themselves.
    model = keras.models.clone_model(base, clone_function=choose)
    fit(compiled(model, 1e-4), x, y, epochs=1)
    show("dense layers", clustering.strip_clustering(model), x, y)


def through_a_file(base, x, y):
    model = fit(compiled(clustering.cluster_weights(base, 16), 1e-4), x, y, epochs=1)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "clustered.keras")
        model.save(path)
        with clustering.cluster_scope():
            model = keras.models.load_model(path)
    show("from a file", clustering.strip_clustering(model), x, y)


def main():
    x, y = data()
    base = trained(x, y)
    whole_model(base, x, y)
    through_a_file(base, x, y)
    chosen_layers(base, x, y)


if __name__ == "__main__":
    main()
