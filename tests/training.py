"""Small models and data that the training tests share."""

from __future__ import annotations

import keras
import numpy as np
import pytest

#: PyTorch takes one step an execution.
not_torch = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="PyTorch refuses steps_per_execution above 1"
)

#: For what is TensorFlow's alone: tapes, strategies, TFLite, event files.
tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's alone"
)

#: Both types with both ways of training, each at least once.
mixed_precision = pytest.mark.parametrize(
    ("policy", "api"),
    [
        ("mixed_float16", "callback"),
        ("mixed_float16", "wrapper"),
        ("mixed_bfloat16", "wrapper"),
    ],
)

CLASSES = 4


def data(samples: int = 96, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images (samples, 6, 6, 1) whose class is the quadrant that is lit."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, CLASSES, samples)
    x = generator.normal(0, 0.3, (samples, 6, 6, 1)).astype("float32")
    for image, label in zip(x, y, strict=True):
        row, column = divmod(int(label), 2)
        image[3 * row : 3 * row + 3, 3 * column : 3 * column + 3] += 1.0
    return x, y


def sequential() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(4, 3, activation="relu", name="conv"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu", name="hidden"),
            keras.layers.Dense(CLASSES, name="logits"),
        ],
        name="plain",
    )


def functional() -> keras.Model:
    inputs = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(inputs)
    side = keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = keras.layers.Add()([x, side])
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.SeparableConv2D(8, 3, name="sep")(x))
    return keras.Model(inputs, keras.layers.Dense(CLASSES, name="logits")(x), name="graph")


def nested() -> keras.Model:
    body = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(4, 3, activation="relu", name="conv"),
            keras.layers.Flatten(),
        ],
        name="body",
    )
    inputs = keras.Input((6, 6, 1))
    x = keras.layers.Dense(16, activation="relu", name="hidden")(body(inputs))
    return keras.Model(inputs, keras.layers.Dense(CLASSES, name="logits")(x), name="outer")


@keras.saving.register_keras_serializable(package="keras_compress_tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(4, 3, activation="relu", name="conv")
        self.flatten = keras.layers.Flatten()
        self.heads = [
            keras.layers.Dense(16, activation="relu", name="hidden"),
            keras.layers.Dense(CLASSES, name="logits"),
        ]

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.heads[0].build((None, 64))
        self.heads[1].build((None, 16))
        self.built = True

    def call(self, x):
        x = self.flatten(self.conv(x))
        for head in self.heads:
            x = head(x)
        return x


def subclassed() -> keras.Model:
    model = Subclassed(name="own")
    model.build((None, 6, 6, 1))
    return model


BUILDERS = {
    "sequential": sequential,
    "functional": functional,
    "nested": nested,
    "subclassed": subclassed,
}


def compiled(
    builder=sequential, *, seed: int = 0, optimizer="adam", built: bool = True, **kwargs
) -> keras.Model:
    """A compiled net for `data()`.

    With `built` its optimizer and metrics have their variables, so that TensorFlow traces a
    training step once. Without, they are made in the first of two traces, as for most users.
    """
    keras.utils.set_random_seed(seed)
    model = builder()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy") if built else "accuracy"
    model.compile(optimizer, loss, metrics=[accuracy], **kwargs)
    if built:
        model.optimizer.build(model.trainable_variables)
    return model


def fit(model, epochs=2, callbacks=(), **kwargs):
    x, y = data()
    return model.fit(
        x,
        y,
        batch_size=16,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
        **kwargs,
    )


def outputs(model, x) -> np.ndarray:
    """What `model` makes of `x`, as a NumPy array on every back end."""
    return np.array(keras.ops.convert_to_numpy(model(x)))


def arrays(model) -> dict[str, np.ndarray]:
    return {f"{i}:{v.path}": keras.ops.convert_to_numpy(v) for i, v in enumerate(model.weights)}


def vectors() -> tuple[np.ndarray, np.ndarray]:
    """Vectors (64, 8) whose class is the sign of their sum."""
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    return x, (x.sum(1) > 0).astype("int32")


def dense(optimizer="adam", kind=keras.Model, **kwargs) -> keras.Model:
    """A compiled net of two dense layers for `vectors()`, of the class `kind`."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(16, activation="relu", name="hidden")(inputs)
    model = kind(inputs, keras.layers.Dense(2, name="logits")(hidden))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, **kwargs)
    if model.optimizer is not None:
        model.optimizer.build(model.trainable_variables)
    return model


def fit_dense(model, epochs=3, callbacks=(), **kwargs):
    """Train four steps an epoch on `vectors()`."""
    x, y = vectors()
    arguments = {"batch_size": 16, "shuffle": False, "verbose": 0, **kwargs}
    return model.fit(x, y, epochs=epochs, callbacks=list(callbacks), **arguments)


def kernels_of(model) -> list[np.ndarray]:
    return [
        np.array(keras.ops.convert_to_numpy(v)) for v in model.weights if v.name.endswith("kernel")
    ]


def zeros_of(model) -> float:
    """Share of zeros among all kernels."""
    return float(np.mean(np.concatenate([k.ravel() for k in kernels_of(model)]) == 0))
