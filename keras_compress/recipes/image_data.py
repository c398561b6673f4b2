"""Labelled images to train and measure on: scikit-learn's digits, or a file in the npz layout
of `keras.datasets`, which comes from outside and is checked before it is used."""

from __future__ import annotations

import lzma
import math
import os
import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from keras_compress.errors import KerasCompressError

__all__ = ["ImageData", "load_digits", "load_npz"]

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_MAX_VALUES = 1 << 28  # pixels; 1 GiB once they are float32
_LARGEST_SIDE = 1024
_LONGEST_HEADER = 10_000
# What zipfile and numpy raise on damaged bytes. RuntimeError: an encrypted member (and, as
# NotImplementedError, a compression unknown to zipfile).
_DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    ValueError,
    TypeError,
    SyntaxError,
    OverflowError,
    struct.error,
    tokenize.TokenError,
)


@dataclass(frozen=True)
class ImageData:
    """Images scaled to `[0, 1]` with their labels, apart for training and for measuring.

    Args:
        source: Where they come from, as a report names it.
        x_train: `(images, height, width, channels)`, float32.
        y_train: `(images,)`, int32, from 0 to `classes - 1`.
        x_test: The held-out images.
        y_test: The held-out labels.
    """

    source: str
    x_train: NDArray[np.float32]
    y_train: NDArray[np.int32]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int32]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)` of one image."""
        return tuple(int(size) for size in self.x_train.shape[1:])  # type: ignore[return-value]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.y_train.max()) + 1


def load_digits() -> ImageData:
    """Return scikit-learn's 1,797 digits of 8x8 pixels, a quarter of them held out.

    The split is stratified and always the same: it doesn't follow the seed of the training.
    """
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split

    digits = sklearn_digits()
    x_train, x_test, y_train, y_test = train_test_split(
        digits.images, digits.target, test_size=0.25, stratify=digits.target, random_state=0
    )
    return _image_data("scikit-learn digits", x_train, y_train, x_test, y_test)


def load_npz(path: str | os.PathLike[str]) -> ImageData:
    """Return the images of an npz file as `keras.datasets` lays it out.

    Four arrays: `x_train` and `x_test` are `(images, height, width)` or `(images, height, width,
    channels)`, grey or RGB, whole numbers or floats; `y_train` and `y_test` are `(images,)` or
    `(images, 1)`, whole numbers from 0 on. Pixels of 8 bits are divided by 255, others scaled by
    the range of the training part. Nothing in the file is ever unpickled, and an array's shape
    is known to fit before memory is set aside for it.

    Args:
        path: The file.

    Raises:
        KerasCompressError: If the file can't be read, isn't npz, lacks an array, or holds one
            that doesn't fit; the message names it.
    """
    path = Path(path)
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            arrays = [_read_array(archive, key, path) for key in _KEYS]
    except KerasCompressError:
        raise
    except OSError as error:
        raise KerasCompressError(f"Can't read {path}: {error.strerror or error}.") from error
    except _DAMAGE as error:
        raise KerasCompressError(
            "The data must be an npz file, as numpy.savez writes it, and whole. "
            f"Received: {path} ({str(error)[:200]})."
        ) from error
    return _image_data(path.name, *arrays)


def _read_array(archive: zipfile.ZipFile, key: str, path: Path) -> NDArray[np.generic]:
    names = archive.namelist()
    if f"{key}.npy" not in names:
        found = ", ".join(name[:40] for name in names[:8]) or "nothing"
        raise KerasCompressError(
            f"The data must hold the arrays {', '.join(_KEYS)}, as keras.datasets lays them out. "
            f"Received: {path} without {key}; it holds {found}."
        )
    member = archive.getinfo(f"{key}.npy")
    with archive.open(member) as file:
        shape, fortran_order, dtype = _read_header(file)
        size = _checked_size(key, shape, dtype, declared=member.file_size - file.tell())
        data = file.read(size)
        # Reading past the end is what makes zipfile compare the checksum.
        if len(data) != size or file.read(1):
            raise KerasCompressError(
                f"{path} is damaged: `{key}` should have {size} bytes. Received: {len(data)}."
            )
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran_order else "C")


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file, max_header_size=_LONGEST_HEADER)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file, max_header_size=_LONGEST_HEADER)
    raise KerasCompressError(f"An array must be in npy format 1.0 or 2.0. Received: {version}.")


def _checked_size(key: str, shape: tuple[int, ...], dtype: np.dtype, declared: int) -> int:
    if dtype.hasobject or dtype.kind not in "buif":
        raise KerasCompressError(
            f"`{key}` must hold numbers. Received: an array of {str(dtype)[:60]}."
        )
    if any(size < 0 for size in shape):
        raise KerasCompressError(f"`{key}` has an impossible shape. Received: {shape}.")
    values = math.prod(shape)
    if values > _MAX_VALUES:
        raise KerasCompressError(
            f"`{key}` may hold at most {_MAX_VALUES} values here. Received: shape {shape}, "
            f"{values} values. Hand in a part of the data."
        )
    if values * dtype.itemsize != declared:
        raise KerasCompressError(
            f"`{key}` is cut short or too long: its shape {shape} of {dtype} needs "
            f"{values * dtype.itemsize} bytes. Received: {declared}."
        )
    return values * dtype.itemsize


def _image_data(
    source: str,
    x_train: NDArray[np.generic],
    y_train: NDArray[np.generic],
    x_test: NDArray[np.generic],
    y_test: NDArray[np.generic],
) -> ImageData:
    x_train, x_test = _checked_images("x_train", x_train), _checked_images("x_test", x_test)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise KerasCompressError(
            "`x_train` and `x_test` must hold images of one size. "
            f"Received: {x_train.shape[1:]} and {x_test.shape[1:]}."
        )
    y_train = _checked_labels("y_train", y_train, "x_train", len(x_train))
    y_test = _checked_labels("y_test", y_test, "x_test", len(x_test))
    present = np.unique(y_train)
    if len(present) < 2 or int(present[-1]) != len(present) - 1:
        raise KerasCompressError(
            "`y_train` must hold every label from 0 to the highest, two or more, so that the "
            f"labels fit the model's classes. Received: {len(present)} different labels, the "
            f"highest {int(present[-1])}."
        )
    if int(y_test.max()) >= len(present):
        raise KerasCompressError(
            f"`y_test` must hold labels that `y_train` has, 0 to {len(present) - 1}. "
            f"Received: {int(y_test.max())}."
        )
    scaled_train, scaled_test = _scaled(x_train, x_test)
    return ImageData(source, scaled_train, y_train, scaled_test, y_test)


def _checked_images(key: str, images: NDArray[np.generic]) -> NDArray[np.generic]:
    grey = images.ndim == 3
    if not grey and not (images.ndim == 4 and images.shape[3] in (1, 3)):
        raise KerasCompressError(
            f"`{key}` must be (images, height, width), or with 1 or 3 channels at the end. "
            f"Received: shape {images.shape}."
        )
    if not all(images.shape):
        raise KerasCompressError(f"`{key}` must not be empty. Received: shape {images.shape}.")
    if max(images.shape[1:3]) > _LARGEST_SIDE:
        raise KerasCompressError(
            f"Images may be at most {_LARGEST_SIDE} pixels high and wide. "
            f"Received: `{key}` of shape {images.shape}."
        )
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise KerasCompressError(f"`{key}` must not hold NaN or infinite pixels.")
    return images[..., np.newaxis] if grey else images


def _checked_labels(
    key: str, labels: NDArray[np.generic], images_key: str, images: int
) -> NDArray[np.int32]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (images,) or labels.dtype.kind not in "iu":
        raise KerasCompressError(
            f"`{key}` must hold one whole number for each of the {images} images of "
            f"`{images_key}`. Received: shape {labels.shape} of {labels.dtype}."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > np.iinfo(np.int32).max:
        raise KerasCompressError(
            f"`{key}` must hold labels from 0 on. Received: labels from {low} to {high}."
        )
    return labels.astype(np.int32)


def _scaled(
    train: NDArray[np.generic], test: NDArray[np.generic]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    low, high = float(train.min()), float(train.max())
    if low == high:
        raise KerasCompressError(
            f"`x_train` must hold different pixels. Received: {low:g} everywhere."
        )
    if train.dtype == np.uint8:
        low, high = 0.0, 255.0
    scale = np.float32(1 / (high - low))
    return tuple(np.subtract(part, low, dtype=np.float32) * scale for part in (train, test))
