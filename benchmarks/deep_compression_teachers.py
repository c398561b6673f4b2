"""Teachers of the Deep Compression records, and what they see in every training image.

A convolutional net for MNIST, a residual one for CIFAR-10, each trained on the images and
their distorted copies; the logits of all of these are kept in the cache folder. Nets trained
before can teach together instead: the mean of their logits is kept.

    python benchmarks/deep_compression_teachers.py mnist cifar10 --data FOLDER --cache FOLDER
    python benchmarks/deep_compression_teachers.py cifar10 --nets A.keras B.keras --copies 4
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from cache_folder import CACHE
from deep_compression_data import COPIES, data_folder, distorted, load
from keras import layers


def mnist_teacher() -> keras.Model:
    """Return the uncompiled teacher of MNIST, `(28, 28, 1)` of 0 to 255 to ten logits."""

    def block(filters):
        return [
            layers.Conv2D(filters, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
        ]

    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            *block(24),
            *block(24),
            layers.MaxPooling2D(),
            *block(48),
            *block(48),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(128, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.3),
            layers.Dense(10),
        ]
    )


def cifar10_teacher() -> keras.Model:
    """Return the uncompiled teacher of CIFAR-10, `(32, 32, 3)` of 0 to 255 to ten logits.

    Eight convolutions, two residual blocks: David Page's net for few epochs ("How to train your
    ResNet", 2018), half as wide.
    """

    def block(x, filters, pool=False):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D()(x) if pool else x
        return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))

    inputs = keras.Input((32, 32, 3))
    x = block(layers.Rescaling(1 / 64, offset=-1.85)(inputs), 32)
    x = block(x, 64, pool=True)
    x = layers.Add()([x, block(block(x, 64), 64)])
    x = block(block(x, 128, pool=True), 256, pool=True)
    x = layers.Add()([x, block(block(x, 256), 256)])
    x = layers.Dense(10, dtype="float32")(layers.GlobalMaxPooling2D()(x))
    # The largest of 16 places of 256 channels: without this, logits of tens at first.
    return keras.Model(inputs, layers.Rescaling(1 / 8, dtype="float32")(x))


class RandomBatches(keras.utils.PyDataset):
    """Batches of images drawn at random from all copies, bytes as they are."""

    def __init__(self, images, labels, batch, steps):
        super().__init__()
        self.images, self.labels, self.batch, self.steps = images, labels, batch, steps
        self.generator = np.random.default_rng(0)

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        chosen = np.sort(self.generator.choice(len(self.images), self.batch))
        return self.images[chosen], self.labels[chosen]


def teacher_logits(
    name: str, cache: Path, folder: Path | None = None, epochs: int | None = None
) -> np.ndarray:
    """Return the logits of the teacher of `name` for every image of `distorted`, float16."""
    path = cache / f"{name}_logits.npy"
    if path.exists():
        return np.load(path, mmap_mode="r")
    images, labels = distorted(name, cache, folder)
    _, (x_test, y_test) = load(name, folder)
    keras.utils.set_random_seed(0)
    if name == "mnist":
        images, x_test = images[..., None], x_test[..., None]
        model, batch, epochs, steps = mnist_teacher(), 128, epochs or 6, 600
        schedule = keras.optimizers.schedules.CosineDecay(2e-3, steps * epochs)
        optimizer = keras.optimizers.Adam(schedule)
    else:
        model, batch, epochs, steps = cifar10_teacher(), 250, epochs or 14, 200
        schedule = keras.optimizers.schedules.CosineDecay(
            0.02, steps * epochs, warmup_target=0.2, warmup_steps=steps
        )
        optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=2.5e-3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # XLA's convolutions are slower than TensorFlow's own on a CPU.
    fused = keras.backend.backend() != "tensorflow"
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=fused)
    # Distorted copies lie in a file: read whole, for a batch is drawn from all over it.
    model.fit(RandomBatches(np.array(images), labels, batch, steps), epochs=epochs, verbose=2)
    error = 100 * (1 - model.evaluate(x_test, y_test, batch_size=500, verbose=0)[1])
    print(f"{name}: the teacher's test error is {error:.2f} %", flush=True)
    model.save(cache / f"{name}_teacher.keras")
    return _kept(path, _logits(model, images))


def joint_logits(
    name: str, cache: Path, folder: Path | None, nets: Sequence[Path], copies: int
) -> np.ndarray:
    """Keep the mean logits of trained `nets` for the images of `name` and the first `copies`."""
    images, _ = distorted(name, cache, folder, copies)
    models = [keras.models.load_model(path, compile=False) for path in nets]
    logits = sum(_logits(model, images).astype(np.float32) for model in models) / len(models)
    return _kept(cache / f"{name}_logits.npy", logits.astype(np.float16))


def _logits(model: keras.Model, images: np.ndarray) -> np.ndarray:
    parts = [
        model.predict(images[start : start + 20000], batch_size=1000, verbose=0)
        for start in range(0, len(images), 20000)
    ]
    return np.concatenate(parts).astype(np.float16)


def _kept(path: Path, logits: np.ndarray) -> np.ndarray:
    partial = path.with_suffix(".part.npy")
    np.save(partial, logits)
    os.replace(partial, path)
    return logits


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=("mnist", "cifar10"))
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=CACHE / "deep_compression")
    parser.add_argument("--epochs", type=int, help="of 600 x 128 and of 200 x 250 images")
    parser.add_argument("--bfloat16", action="store_true", help="train in mixed precision")
    parser.add_argument("--nets", nargs="+", type=Path, help="nets of CIFAR-10 that teach together")
    parser.add_argument("--copies", type=int, default=COPIES["cifar10"], help="what --nets see")
    arguments = parser.parse_args()
    place = arguments.cache, arguments.data
    if arguments.bfloat16:
        keras.config.set_dtype_policy("mixed_bfloat16")
    if arguments.nets and arguments.names != ["cifar10"]:
        parser.error("--nets are nets of cifar10, and teach it alone")
    for each in arguments.names:
        if arguments.nets:
            joint_logits(each, *place, arguments.nets, arguments.copies)
        else:
            teacher_logits(each, *place, arguments.epochs)
