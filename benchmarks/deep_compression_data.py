"""Data of the Deep Compression records: MNIST and CIFAR-10 with distorted copies.

The training images of MNIST are distorted (rotation, scale, shear, shift and an elastic field, as
Simard, Steinkraus and Platt did in 2003), those of CIFAR-10 shifted and mirrored, into copies that
are made once and memory-mapped. No test image is ever among them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

# Images of the training part, and copies that are made beside them as they are.
IMAGES = {"mnist": 60000, "cifar10": 50000}
COPIES = {"mnist": 12, "cifar10": 9}


def data_folder() -> Path:
    """Return the folder of data sets that the variable KERAS_COMPRESS_DATA names."""
    return Path(os.environ.get("KERAS_COMPRESS_DATA", "../shared/data"))


def data_set(net: str) -> str:
    """Return the name of the data that `net` is trained on."""
    return "cifar10" if net == "resnet8" else "mnist"


def load(name: str, folder: Path | None = None):
    """Return `(x_train, y_train), (x_test, y_test)` of `mnist` or `cifar10`."""
    return {"mnist": mnist, "cifar10": cifar10}[name](folder)


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
    uniform = lambda low, high, *shape: np.float32(generator.uniform(low, high, shape))  # noqa: E731
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


def shift(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return `(n, 32, 32, 3)` uint8 images shifted by up to 4 pixels, every other one mirrored."""
    n = len(images)
    framed = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    rows = generator.integers(0, 9, n)[:, None] + np.arange(32)
    columns = generator.integers(0, 9, n)[:, None] + np.arange(32)
    mirrored = generator.integers(0, 2, n).astype(bool)
    columns[mirrored] = columns[mirrored, ::-1]
    each = np.arange(n)[:, None, None]
    return framed[each, rows[:, :, None], columns[:, None, :]]


def distorted(
    name: str, cache: Path, folder: Path | None = None, copies: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return `(images, labels)`: the training part of `name`, then `copies` of it, or all."""
    path = cache / f"{name}_distorted.npy"
    (x, y), _ = load(name, folder)
    if not path.exists():
        make = {"mnist": distort, "cifar10": shift}[name]
        made = COPIES[name]
        cache.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng(0)
        partial = path.with_suffix(".part")
        shape = ((1 + made) * len(x), *x.shape[1:])
        file = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        file[: len(x)] = x
        for copy in range(1, made + 1):
            for start in range(0, len(x), 5000):
                place = copy * len(x) + start
                file[place : place + 5000] = make(x[start : start + 5000], generator)
            print(f"{name}: distorted copy {copy} of {made}", flush=True)
        file.flush()
        os.replace(partial, path)
    repeats = 1 + (COPIES[name] if copies is None else copies)
    images = np.load(path, mmap_mode="r")[: repeats * len(x)]
    return images, np.tile(y.ravel().astype(np.int32), repeats)
