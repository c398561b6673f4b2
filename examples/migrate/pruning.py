"""tfmot's pruning guides with one changed import: whole models, chosen layers, 2:4, own loops.

python examples/migrate/pruning.py
"""

from __future__ import annotations

import os
import tempfile

import keras
import numpy as np

# Was: import tensorflow_model_optimization as tfmot
from keras_compress.compat import tfmot

sparsity = tfmot.sparsity.keras


def data(samples=512):
    """Noisy images (samples, 8, 8, 1) whose class is the quadrant that is lit."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, 4, samples)
    x = generator.normal(0, 0.3, (samples, 8, 8, 1)).astype("float32")
    for image, label in zip(x, y, strict=True):
        row, column = divmod(int(label), 2)
        image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1.0
    return x, y


def trained(x, y):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu", name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu", name="hidden"),
            keras.layers.Dense(4, name="logits"),
        ]
    )
    fit(compiled(model), x, y)
    return model


def compiled(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def fit(model, x, y, callbacks=()):
    model.fit(x, y, batch_size=32, epochs=3, verbose=0, callbacks=list(callbacks))


def show(title, model, x, y):
    kernel = keras.ops.convert_to_numpy(model.get_layer("hidden").kernel)
    accuracy = compiled(model).evaluate(x, y, verbose=0)[1]
    print(f"{title}: {(kernel == 0).mean():.1%} zeros in hidden, accuracy {accuracy:.1%}")


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


def two_of_four(base, x, y):
    model = compiled(sparsity.prune_low_magnitude(base, sparsity_m_by_n=(2, 4)))
    fit(model, x, y, [sparsity.UpdatePruningStep()])
    show("2:4", sparsity.strip_pruning(model), x, y)


def own_loop(base, x, y):
    import tensorflow as tf

    schedule = sparsity.ConstantSparsity(0.5, begin_step=1, frequency=10)
    model = sparsity.prune_low_magnitude(base, schedule)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.optimizer = optimizer = keras.optimizers.Adam()
    callback = sparsity.UpdatePruningStep()
    callback.set_model(model)
    callback.on_train_begin()
    for begin in range(0, len(x), 32):
        callback.on_train_batch_begin(batch=-1)
        with tf.GradientTape() as tape:
            value = loss(y[begin : begin + 32], model(x[begin : begin + 32], training=True))
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
    callback.on_epoch_end(batch=-1)
    show("own loop", sparsity.strip_pruning(model), x, y)


def main():
    x, y = data()
    base = trained(x, y)
    whole_model(base, x, y)
    chosen_layers(base, x, y)
    two_of_four(base, x, y)
    if keras.backend.backend() == "tensorflow":
        own_loop(base, x, y)


if __name__ == "__main__":
    main()
