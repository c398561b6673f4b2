"""Small models of every kind, with weights that tell a wrong conversion from a right one."""

from __future__ import annotations

import keras
import numpy as np

SHAPE = (12, 12, 3)


def samples(count: int = 16, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *shape), dtype=np.float32)


def randomized(model: keras.Model, seed: int = 1) -> keras.Model:
    """Give every weight values of its own, so that one in the wrong place shows."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.name in ("moving_variance", "gamma"):
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
        elif "float" in str(weight.dtype):
            weight.assign(generator.normal(0, 0.3, weight.shape))
    return model


def plain() -> keras.Model:
    return randomized(
        keras.Sequential(
            [
                keras.Input(SHAPE, name="image"),
                keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="first"),
                keras.layers.MaxPooling2D(),
                keras.layers.Conv2D(8, 3, name="second"),
                keras.layers.Flatten(),
                keras.layers.Dense(5, activation="softmax", name="scores"),
            ],
            name="net",
        )
    )


def normalized() -> keras.Model:
    """Convolutions of each kind with a BatchNormalization behind them."""
    inputs = keras.Input(SHAPE, name="image")
    x = keras.layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm1")(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = keras.layers.BatchNormalization(name="norm2")(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Conv2D(16, 1, use_bias=False, name="pointwise")(x)
    x = keras.layers.BatchNormalization(name="norm3")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(5, name="scores")(x)
    return randomized(keras.Model(inputs, x))


def nested() -> keras.Model:
    inner_input = keras.Input((6, 6, 4))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inner_input)
    inner = keras.Model(inner_input, keras.layers.Add()([x, inner_input]), name="block")
    return randomized(
        keras.Sequential(
            [
                keras.Input(SHAPE),
                keras.layers.Conv2D(4, 3, strides=2, padding="same"),
                inner,
                keras.layers.Flatten(),
                keras.layers.Dense(3),
            ]
        )
    )


def branched() -> keras.Model:
    """Two inputs, two results, listed in an order that is not the alphabet's."""
    image, extra = keras.Input(SHAPE, name="image"), keras.Input((4,), name="extra")
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(image))
    x = keras.layers.Concatenate()([x, extra])
    return randomized(
        keras.Model(
            [image, extra],
            [keras.layers.Dense(7, name="zeta")(x), keras.layers.Dense(3, name="alpha")(x)],
        )
    )


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.conv = keras.layers.Conv2D(4, 3, name="conv")
        self.norm = keras.layers.BatchNormalization(name="norm")
        self.flatten = keras.layers.Flatten()
        self.dense = keras.layers.Dense(3, name="dense")

    def call(self, inputs, training=False):
        x = self.norm(self.conv(inputs), training=training)
        return {"scores": self.dense(self.flatten(x)), "doubled": inputs * 2}


def subclassed() -> keras.Model:
    model = Subclassed()
    model(np.zeros((1, *SHAPE), np.float32))
    return randomized(model)


def share_values(model: keras.Model, values: int = 8, sparsity: float = 0.5) -> keras.Model:
    """Let every kernel hold `values` distinct numbers, zero among them."""
    generator = np.random.default_rng(2)
    for weight in model.trainable_weights:
        if len(weight.shape) > 1:
            book = generator.normal(0, 0.3, values - 1).astype(np.float32)
            chosen = generator.choice(book, size=weight.shape)
            chosen[generator.random(weight.shape) < sparsity] = 0
            weight.assign(chosen)
    return model
