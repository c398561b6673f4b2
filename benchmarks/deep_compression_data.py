"""Data of the Deep Compression records: distorted MNIST, its teacher, CIFAR-10.

The training images of MNIST are distorted (rotation, scale, shear, shift and an elastic field, as
Simard, Steinkraus and Platt did in 2003) into copies that are made once and memory-mapped; the
teacher, a small convolutional net, is trained on them, and its logits of every image are kept.
Neither ever sees a test image.

    python benchmarks/deep_compression_data.py --data FOLDER --cache FOLDER
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

COPIES = 12


def data_folder() -> Path:
    """Return the folder of data sets that the variable KERAS_COMPRESS_DATA names."""
    return Path(os.environ.get("KERAS_COMPRESS_DATA", "../shared/data"))


def mnist(folder: Path | None = None):
    """Return `(x_train, y_train), (x_test, y_test)`, images uint8 as `keras.datasets` gives."""
    with np.load((folder or data_folder()) / "mnist.npz") as file:
        return (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])


def cifar10(folder: Path | None = None):
    """Return `(x_train, y_train), (x_test, y_test)`, from the lossless sheets of the folder."""
    from PIL import Image

    folder = (folder or data_folder()) / "cifar10"
    parts = []
    for path in sorted(folder.glob("x_train_*.webp")):
        sheet = np.asarray(Image.open(path).convert("RGB"))
        tiles = sheet.reshape(50, 32, 50, 32, 3).transpose(0, 2, 1, 3, 4)
        parts.append(tiles.reshape(2500, 32, 32, 3))
    with np.load(folder / "cifar10_test.npz") as file:
        test = file["x_test"], file["y_test"]
    return (np.concatenate(parts), np.load(folder / "y_train.npy")), test


def distort(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return one distorted copy of `(n, 28, 28)` uint8 images."""
    from scipy.ndimage import gaussian_filter

    n, size = len(images), 28
    uniform = lambda low, high, *shape: generator.uniform(low, high, shape).astype(np.float32)  # noqa: E731
    angle, shear = uniform(-0.21, 0.21, n, 1, 1), uniform(-0.15, 0.15, n, 1, 1)
    scale, shift = uniform(0.88, 1.12, 2, n, 1, 1), uniform(-1.5, 1.5, 2, n, 1, 1)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) - 13.5
    rows = (np.cos(angle) * y - np.sin(angle) * x) * scale[0] + 13.5 + shift[0]
    columns = (np.sin(angle) * y + np.cos(angle) * x) * scale[1] + shear * y + 13.5 + shift[1]
    field = generator.standard_normal((2, n, size, size)).astype(np.float32)
    field = gaussian_filter(field, (0, 0, 4, 4), truncate=2.5)
    field *= 1.5 * uniform(0, 9, 1, n, 1, 1) / (field.std() * 10)
    rows, columns = rows + field[0], columns + field[1]
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    below, right = rows - top, columns - left
    framed = np.zeros((n, size + 4, size + 4), np.float32)
    framed[:, 2:-2, 2:-2] = images
    top, left = np.clip(top + 2, 0, size + 2), np.clip(left + 2, 0, size + 2)
    each = np.arange(n)[:, None, None]
    result = framed[each, top, left] * (1 - below) * (1 - right)
    result += framed[each, top, left + 1] * (1 - below) * right
    result += framed[each, top + 1, left] * below * (1 - right)
    result += framed[each, top + 1, left + 1] * below * right
    return np.clip(result, 0, 255).astype(np.uint8)


def distorted_mnist(cache: Path, folder: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return `(images, labels)`: MNIST's training part and `COPIES` distorted copies of it."""
    path = cache / "distorted.npy"
    (x, y), _ = mnist(folder)
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng(0)
        partial = path.with_suffix(".part")
        file = np.lib.format.open_memmap(
            partial, mode="w+", dtype=np.uint8, shape=((1 + COPIES) * len(x), 28, 28)
        )
        file[: len(x)] = x
        for copy in range(1, COPIES + 1):
            for start in range(0, len(x), 5000):
                place = copy * len(x) + start
                file[place : place + 5000] = distort(x[start : start + 5000], generator)
            print(f"distorted copy {copy} of {COPIES}", flush=True)
        file.flush()
        os.replace(partial, path)
    return np.load(path, mmap_mode="r"), np.tile(y.astype(np.int32), 1 + COPIES)


def mnist_teacher():
    """Return the uncompiled convolutional teacher, `(28, 28, 1)` of 0 to 255 to ten logits."""
    import keras
    from keras import layers

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


def teacher_logits(cache: Path, folder: Path | None = None, epochs: int = 6) -> np.ndarray:
    """Return the teacher's logits of every image of `distorted_mnist`, float16."""
    path = cache / "teacher_logits.npy"
    if path.exists():
        return np.load(path, mmap_mode="r")
    import keras

    images, labels = distorted_mnist(cache, folder)
    _, (x_test, y_test) = mnist(folder)
    keras.utils.set_random_seed(0)
    model = mnist_teacher()
    steps = 600
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps * epochs)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    generator = np.random.default_rng(0)

    def batches():
        while True:
            chosen = np.sort(generator.choice(len(images), 128, replace=False))
            yield images[chosen][..., None], labels[chosen]

    model.fit(batches(), steps_per_epoch=steps, epochs=epochs, verbose=2)
    error = 100 * (1 - model.evaluate(x_test[..., None], y_test, verbose=0)[1])
    print(f"teacher: {error:.2f} % test error", flush=True)
    logits = np.concatenate(
        [
            model.predict(images[start : start + 20000][..., None], batch_size=500, verbose=0)
            for start in range(0, len(images), 20000)
        ]
    ).astype(np.float16)
    partial = path.with_suffix(".part.npy")
    np.save(partial, logits)
    os.replace(partial, path)
    return logits


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=Path("deep_compression_cache"))
    arguments = parser.parse_args()
    teacher_logits(arguments.cache, arguments.data)
