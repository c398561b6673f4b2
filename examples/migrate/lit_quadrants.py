"""Images, a small net and what to print of it, for the guides of this folder."""

from __future__ import annotations

import keras
import numpy as np


def data(samples=512):
    """Noisy images (samples, 8, 8, 1) whose class is the quadrant that is lit."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, 4, samples)
    x = generator.normal(0, 0.3, (samples, 8, 8, 1)).astype("float32")
    for image, label in zip(x, y, strict=True):
        row, column = divmod(int(label), 2)
        image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1.0
    return x, y


def compiled(model, rate=1e-3):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def fit(model, x, y, callbacks=(), epochs=3):
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


def trained(x, y):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu", name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu", name="hidden"),
            keras.layers.Dense(4, name="logits"),
        ]
    )
    return fit(compiled(model), x, y)


def show(title, model, x, y):
    kernel = keras.ops.convert_to_numpy(model.get_layer("hidden").kernel)
    accuracy = compiled(model).evaluate(x, y, verbose=0)[1]
    values = np.unique(kernel).size
    print(f"{title}: {(kernel == 0).mean():.1%} zeros, {values} values, accuracy {accuracy:.1%}")
