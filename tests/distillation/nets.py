"""Teachers and students that the distillation tests share."""

from __future__ import annotations

import keras
import numpy as np

from tests.training import CLASSES, data


def net(width: int, name: str, *, classes: int = CLASSES, activation=None, side: int = 6):
    return keras.Sequential(
        [
            keras.Input((side, side, 1)),
            keras.layers.Conv2D(width, 3, activation="relu", name="conv"),
            keras.layers.Flatten(name="flat"),
            keras.layers.Dense(classes, activation=activation, name="logits"),
        ],
        name=name,
    )


def teacher(seed: int = 1, width: int = 12, epochs: int = 4, **kwargs) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = net(width, f"teacher_{seed}", **kwargs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=kwargs.get("activation") is None)
    model.compile(keras.optimizers.Adam(0.01), loss)
    x, y = data()
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    return model


def student(seed: int = 0, width: int = 4, **kwargs) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return net(width, "student", **kwargs)


def compiled(distiller, optimizer="adam", **kwargs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(optimizer, loss, metrics=["accuracy"], **kwargs)
    return distiller


def fit(distiller, epochs=1, inputs=None, **kwargs):
    x, y = data()
    x = x if inputs is None else inputs
    return distiller.fit(x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0, **kwargs)


def values(model) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]
