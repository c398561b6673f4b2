"""What a wrapped layer is to its user: weights, losses, configurations, files and copies."""

from __future__ import annotations

import os
import tempfile

import numpy as np

from tests.compat.surface_pruning import weight

ROWS, IMAGES = (5, 4), (6, 6, 2)


def layers_of(keras):
    """Return name -> a call that makes a layer, and the shape of what it reads."""
    layers = keras.layers
    return {
        "Dense": (lambda: layers.Dense(3), (4,)),
        "Dense that costs": (lambda: layers.Dense(3, kernel_regularizer="l2"), (4,)),
        "Dense without a bias": (lambda: layers.Dense(3, use_bias=False), (4,)),
        "Conv1D": (lambda: layers.Conv1D(3, 2), ROWS),
        "Conv2D": (lambda: layers.Conv2D(3, 2, activation="relu"), IMAGES),
        "Conv2DTranspose": (lambda: layers.Conv2DTranspose(3, 2), IMAGES),
        "Conv3D": (lambda: layers.Conv3D(3, 2), (4, 4, 4, 2)),
        "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(2), IMAGES),
        "SeparableConv2D": (lambda: layers.SeparableConv2D(3, 2), IMAGES),
        "Embedding": (lambda: layers.Embedding(9, 3), (4,)),
        "LSTM": (lambda: layers.LSTM(3), ROWS),
        "GRU": (lambda: layers.GRU(3, return_sequences=True), ROWS),
        "RNN of cells": (lambda: layers.RNN([layers.LSTMCell(3), layers.LSTMCell(2)]), ROWS),
        "Bidirectional": (lambda: layers.Bidirectional(layers.LSTM(3)), ROWS),
        "BatchNormalization": (lambda: layers.BatchNormalization(), IMAGES),
        "LayerNormalization": (lambda: layers.LayerNormalization(), (4,)),
        "ReLU": (lambda: layers.ReLU(), (4,)),
        "Flatten": (lambda: layers.Flatten(), IMAGES),
        "MaxPooling2D": (lambda: layers.MaxPooling2D(), IMAGES),
    }


def reads(name, shape, count=8):
    """Return what a layer of that name is called on."""
    if name == "Embedding":
        return np.arange(count * shape[0]).reshape(count, *shape) % 9
    return weight(count, *shape)


def filled(layer):
    """Give a built layer weights that both sides know."""
    shapes = [np.shape(each) for each in layer.get_weights()]
    values = [weight(*shape, seed=i) / 3 for i, shape in enumerate(shapes)]
    # Variances, among other vectors, must be positive.
    layer.set_weights([np.abs(each) + 0.1 if each.ndim == 1 else each for each in values])
    return layer


def model_of(keras, name):
    """Return a Sequential model of one layer with known weights."""
    make, shape = layers_of(keras)[name]
    model = keras.Sequential([keras.Input(shape), make()])
    filled(model.layers[0])
    return model


def wrapping(keras, sparsity, clustering):
    """Return technique -> a call that wraps, one that strips, and the scope of its classes."""
    linear = clustering.CentroidInitialization.LINEAR
    schedule = sparsity.ConstantSparsity(0.5, 0, frequency=1)
    return {
        "prune": (
            lambda target, **more: sparsity.prune_low_magnitude(target, schedule, **more),
            sparsity.strip_pruning,
            sparsity.prune_scope,
        ),
        "cluster": (
            lambda target, **more: clustering.cluster_weights(target, 3, linear, **more),
            clustering.strip_clustering,
            clustering.cluster_scope,
        ),
    }


def _base(name):
    return name.rstrip("_0123456789")


def _config(wrapper):
    """Return what a wrapper's configuration tells beyond that of any layer."""
    config = wrapper.get_config()
    names = ("block_size", "block_pooling_type", "number_of_clusters", "preserve_sparsity")
    names += ("cluster_per_channel",)
    found = {name: config[name] for name in names if name in config}
    for name in ("cluster_centroids_init", "cluster_gradient_aggregation"):
        if name in config:
            found[name] = str(getattr(config[name], "value", config[name])).split(".")[-1]
    if "pruning_schedule" in config:
        found["pruning_schedule"] = config["pruning_schedule"]["config"]
    return found


def wrappers(keras, sparsity, clustering):
    """What each kind of wrapped layer holds, says and computes."""
    techniques = wrapping(keras, sparsity, clustering)
    found = {}

    def counts(wrapper):
        return [len(wrapper.trainable_weights), len(wrapper.non_trainable_weights)]

    def holds(technique, name):
        wrap, _, _ = techniques[technique]
        wrapper = wrap(model_of(keras, name)).layers[0]
        before = counts(wrapper)
        wrapper.trainable = False
        frozen = wrapper.trainable, wrapper.layer.trainable
        wrapper.trainable = True
        return before, frozen, counts(wrapper), wrapper.layer.trainable

    def frozen(technique, name):
        wrap, _, _ = techniques[technique]
        wrapper = wrap(model_of(keras, name)).layers[0]
        wrapper.trainable = False
        return counts(wrapper)

    def given(technique, name):
        wrap, _, _ = techniques[technique]
        return [np.asarray(each) for each in wrap(model_of(keras, name)).layers[0].get_weights()]

    def computes(technique, name):
        wrap, strip, _ = techniques[technique]
        model = model_of(keras, name)
        x = reads(name, layers_of(keras)[name][1])
        plain = np.asarray(model(x))
        wrapped = wrap(model)
        results = np.asarray(wrapped(x, training=False))
        stripped = strip(wrapped)
        again = np.asarray(stripped(x))
        losses = [np.asarray(each) for each in wrapped.losses]
        return plain, results, again, losses, [_base(each.name) for each in stripped.layers]

    def told(technique, name):
        wrap, _, _ = techniques[technique]
        make, _ = layers_of(keras)[name]
        wrapper = wrap(make())
        return _base(wrapper.name), wrapper.built, wrapper.trainable, _config(wrapper)

    def made_again(technique, name):
        wrap, _, scope = techniques[technique]
        make, _ = layers_of(keras)[name]
        wrapper = wrap(make())
        with scope():
            other = type(wrapper).from_config(wrapper.get_config())
        same = type(other) is type(wrapper), other.name == wrapper.name
        return *same, type(other.layer).__name__, _config(other) == _config(wrapper)

    def set_again(technique, name):
        wrap, _, _ = techniques[technique]
        wrapper = wrap(model_of(keras, name)).layers[0]
        values = [each + 1 for each in wrapper.get_weights()]
        wrapper.set_weights(values)
        return [np.asarray(each) for each in wrapper.layer.get_weights()]

    each = {"holds": holds, "computes": computes, "tells": told, "is made again": made_again}
    some = {"frozen": frozen, "gives": given, "is set": set_again}
    for technique in techniques:
        for name in layers_of(keras):
            for what, call in each.items():
                found[f"{technique} {name} {what}"] = lambda c=call, t=technique, n=name: c(t, n)
        for name in ("Dense", "LSTM", "BatchNormalization"):
            for what, call in some.items():
                found[f"{technique} {name} {what}"] = lambda c=call, t=technique, n=name: c(t, n)
    return found


def files(keras, sparsity, clustering):
    """Wrapped models copied, described, saved and loaded, half trained."""
    techniques = wrapping(keras, sparsity, clustering)
    x, y = weight(20, 6), weight(20, 3)
    found = {}

    def net():
        layers = keras.layers
        model = keras.Sequential([keras.Input((6,)), layers.Dense(5), layers.Dense(3)])
        return filled(model)

    def callbacks(technique):
        return [sparsity.UpdatePruningStep()] if technique == "prune" else []

    def fit(technique, model):
        model.fit(x, y, batch_size=5, shuffle=False, verbose=0, callbacks=callbacks(technique))
        return model

    def trained(technique):
        model = techniques[technique][0](net())
        model.compile(keras.optimizers.SGD(0.01), keras.losses.MeanSquaredError())
        return fit(technique, model)

    def state(model):
        rows = []
        for each in model.layers:
            if hasattr(each, "pruning_step"):
                rows.append([np.asarray(each.pruning_step)])
                rows.append([np.asarray(m, "float32") for _, m, _ in each.pruning_vars])
            if hasattr(each, "cluster_centroids"):
                # What stands behind the centroids is no weight of the layer there.
                rows.append([np.asarray(c) for c in each.cluster_centroids.values()])
                behind = each.original_clusterable_weights.values()
                rows.append([np.asarray(w) for w in behind])
                rows.append(np.asarray(each.layer.bias))
            else:
                rows.append([np.asarray(w) for w in each.get_weights()])
        return rows

    def saved(technique, suffix, scoped=True, goes_on=False):
        model = trained(technique)
        expected = np.asarray(model(x))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, f"model{suffix}")
            model.save(path)
            if scoped:
                with techniques[technique][2]():
                    other = keras.models.load_model(path)
            else:
                other = keras.models.load_model(path)
        differs = float(np.abs(np.asarray(other(x)) - expected).max())
        names = [_base(each.name) for each in other.layers]
        if goes_on:
            if suffix == ".h5":
                # Keras 3 loads the optimizer of any `.h5` unfit for training.
                other.compile(keras.optimizers.SGD(0.01), keras.losses.MeanSquaredError())
            return state(fit(technique, other))
        return names, differs < 1e-6, state(other)

    def from_json(technique):
        model = trained(technique)
        with techniques[technique][2]():
            other = keras.models.model_from_json(model.to_json())
        other.set_weights(model.get_weights())
        return [_base(each.name) for each in other.layers], np.asarray(other(x))

    def from_config(technique):
        model = trained(technique)
        with techniques[technique][2]():
            other = keras.Sequential.from_config(model.get_config())
        return [_base(each.name) for each in other.layers], other.built

    def cloned(technique):
        model = trained(technique)
        with techniques[technique][2]():
            other = keras.models.clone_model(model)
        same = any(a is b for a, b in zip(model.layers, other.layers, strict=True))
        return [_base(each.name) for each in other.layers], same

    def stripped(technique):
        small = techniques[technique][1](trained(technique))
        plain = net()
        plain.set_weights(small.get_weights())
        compiled = getattr(small, "optimizer", None) is None
        return [_base(e.name) for e in small.layers], compiled, np.asarray(plain(x)), state(small)

    def stripped_file(technique, suffix):
        small = techniques[technique][1](trained(technique))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, f"small{suffix}")
            small.save(path)
            other = keras.models.load_model(path)
        return [type(each).__name__ for each in other.layers], np.asarray(other(x))

    def saved_weights(technique, into_plain=False):
        model = trained(technique)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.weights.h5")
            model.save_weights(path)
            other = net() if into_plain else techniques[technique][0](net())
            other.load_weights(path)
        return state(other)

    def fits_twice(technique, compiled_anew):
        model = trained(technique)
        if compiled_anew:
            model.compile(keras.optimizers.SGD(0.01), keras.losses.MeanSquaredError())
        return state(fit(technique, model))

    def one_batch(technique):
        model = techniques[technique][0](net())
        model.compile("sgd", "mse")
        return float(np.asarray(model.evaluate(x, y, verbose=0))), np.asarray(
            model.predict(x, verbose=0)
        )

    for technique in techniques:
        made = {
            "a model's configuration": lambda t=technique: from_config(t),
            "JSON": lambda t=technique: from_json(t),
            "a clone": lambda t=technique: cloned(t),
            "stripped into a plain net": lambda t=technique: stripped(t),
            "weights in a file": lambda t=technique: saved_weights(t),
            "evaluated untrained": lambda t=technique: one_batch(t),
            "two trainings": lambda t=technique: fits_twice(t, False),
            "two trainings, compiled anew": lambda t=technique: fits_twice(t, True),
        }
        for suffix in (".h5", ".keras"):
            made |= {
                f"{suffix} in its scope": lambda t=technique, s=suffix: saved(t, s),
                f"{suffix} outside its scope": lambda t=technique, s=suffix: saved(t, s, False),
                f"{suffix} trained on": lambda t=technique, s=suffix: saved(t, s, goes_on=True),
                f"{suffix} stripped": lambda t=technique, s=suffix: stripped_file(t, s),
            }
        found |= {f"{technique} {name}": call for name, call in made.items()}
    return found


def calls(keras, sparsity, clustering):
    return {
        "wrapped layers": wrappers(keras, sparsity, clustering),
        "files and copies": files(keras, sparsity, clustering),
    }
