"""tfmot's pruning guides with one changed import: whole models, chosen layers, files, summaries.

python examples/migrate/pruning.py
"""

from __future__ import annotations

import os
import tempfile

import keras
from lit_quadrants import compiled, data, fit, show, trained

# Was: import tensorflow_model_optimization as tfmot
from keras_compress.compat import tfmot

sparsity = tfmot.sparsity.keras


def whole_model(base, x, y):
    schedule = sparsity.PolynomialDecay(0.5, 0.8, begin_step=0, end_step=40, frequency=10)
    model = compiled(sparsity.prune_low_magnitude(base, pruning_schedule=schedule))
    fit(model, x, y, [sparsity.UpdatePruningStep()])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "pruned.keras")
        model.save(path)
        with sparsity.prune_scope():
            model = keras.models.load_model(path)
    show("whole model", sparsity.strip_pruning(model), x, y)


def chosen_layers(base, x, y):
    schedule = sparsity.ConstantSparsity(0.5, begin_step=1, frequency=10)

    def choose(layer):
        if isinstance(layer, keras.layers.Dense):
            return sparsity.prune_low_magnitude(layer, pruning_schedule=schedule)
        return layer

    model = compiled(keras.models.clone_model(base, clone_function=choose))
    fit(model, x, y, [sparsity.UpdatePruningStep()])
    show("dense layers", sparsity.strip_pruning(model), x, y)


class DenseWithBias(keras.layers.Dense, sparsity.PrunableLayer):
    """A dense layer whose bias is pruned as well."""

    def get_prunable_weights(self):
        return [self.kernel, self.bias]


def own_choice_of_weights(x, y):
    schedule = sparsity.ConstantSparsity(0.5, begin_step=0, frequency=10)
    layers = [
        keras.layers.Flatten(),
        sparsity.prune_low_magnitude(
            DenseWithBias(32, activation="relu", name="hidden"), pruning_schedule=schedule
        ),
        keras.layers.Dense(4),
    ]
    model = compiled(keras.Sequential([keras.Input((8, 8, 1)), *layers]))
    fit(model, x, y, [sparsity.UpdatePruningStep()])
    show("bias as well", sparsity.strip_pruning(model), x, y)


def with_summaries(base, x, y):
    schedule = sparsity.ConstantSparsity(0.5, begin_step=0, frequency=10)
    model = compiled(sparsity.prune_low_magnitude(base, schedule))
    with tempfile.TemporaryDirectory() as folder:
        summaries = sparsity.PruningSummaries(log_dir=folder)
        fit(model, x, y, [sparsity.UpdatePruningStep(), summaries], epochs=1)
        print("summaries in", *sorted(os.listdir(folder)))
    show("with summaries", sparsity.strip_pruning(model), x, y)


def main():
    x, y = data()
    base = trained(x, y)
    whole_model(base, x, y)
    chosen_layers(base, x, y)
    own_choice_of_weights(x, y)
    if keras.backend.backend() == "tensorflow":  # Which alone writes summaries.
        with_summaries(base, x, y)


if __name__ == "__main__":
    main()
