"""Unlabelled images to compress with: a folder of photos, or an `.npz` file."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_compress.errors import KerasCompressError
from keras_compress.storage import read_file

if TYPE_CHECKING:
    import keras

__all__ = ["PREPROCESSINGS", "load_unlabelled"]

#: How numbers from 0 to 255 become what a model reads.
PREPROCESSINGS = ("none", "unit", "tf", "torch", "caffe")
_SUFFIXES = {".jpg", ".jpeg", ".png"}
_LARGEST_FILE = 1 << 26
_MAX_PIXELS = 1 << 26
_PNG = b"\x89PNG\r\n\x1a\n"


def load_unlabelled(
    path: str | os.PathLike[str],
    model: keras.Model,
    *,
    preprocessing: str = "none",
    limit: int = 256,
) -> NDArray[np.float32]:
    """Return images as `model` takes them, float32.

    Photos are scaled to cover the model's size, the shorter side first, and cut in the middle.

    Args:
        path: A folder with `.jpg` and `.png` files, looked through in the order of their names; or
            an `.npz` file with an array that bears the name of the input, or `x`, `x_train` or
            `x_test`.
        model: A model of one input, of known size if `path` is a folder.
        preprocessing: What becomes of numbers from 0 to 255: `"none"`, `"unit"` (0 to 1), or
            `"tf"`, `"torch"` or `"caffe"` as in `keras.applications`. Defaults to `"none"`.
        limit: Most images. Defaults to `256`.

    Raises:
        KerasCompressError: If there are no images, one can't be decoded, or the model takes none.
    """
    if preprocessing not in PREPROCESSINGS:
        raise KerasCompressError(
            f"`preprocessing` must be one of {', '.join(PREPROCESSINGS)}. Received: "
            f"preprocessing={preprocessing!r}."
        )
    if os.path.isdir(path):
        images = _photos(Path(path), model, limit)
    else:
        from keras_compress.exporter.loading_samples import load_samples

        images = load_samples(path, model, limit=limit)
        if not isinstance(images, np.ndarray) or images.dtype.kind not in "fiu":
            raise KerasCompressError(
                f"Images are one array of numbers. Received: {path}, for a model of "
                f"{len(model.inputs)} inputs."
            )
        wanted = len(model.inputs[0].shape)
        if images.ndim == wanted - 1 and model.inputs[0].shape[-1] == 1:
            images = images[..., None]
    return _preprocessed(images.astype(np.float32), preprocessing)


def _preprocessed(images: NDArray[np.float32], how: str) -> NDArray[np.float32]:
    if how == "none":
        return images
    if how == "unit":
        return images / np.float32(255)
    import keras

    if images.ndim != 4 or images.shape[-1] != 3:
        raise KerasCompressError(
            f'Preprocessing as "{how}" is for images of three colors. Received: {images.shape}.'
        )
    done = keras.applications.imagenet_utils.preprocess_input(
        images, data_format="channels_last", mode=how
    )
    return np.asarray(done, np.float32)


def _photos(folder: Path, model: keras.Model, limit: int) -> NDArray[np.float32]:
    shape = tuple(model.inputs[0].shape)
    if len(model.inputs) != 1 or len(shape) != 4 or None in shape[1:] or shape[3] not in (1, 3):
        raise KerasCompressError(
            "Photos are for a model that takes one image of known size, grey or of three colors, "
            f"channels last. Received: {model.name!r} with an input of {shape}."
        )
    files = sorted(each for each in folder.iterdir() if each.suffix.lower() in _SUFFIXES)[:limit]
    if not files:
        raise KerasCompressError(
            f"A folder of photos holds .jpg or .png files. Received: {folder} without any."
        )
    return np.stack([_photo(each, shape[1], shape[2], shape[3]) for each in files])


def _photo(path: Path, height: int, width: int, channels: int) -> NDArray[np.float32]:
    import tensorflow as tf

    data = read_file(path, limit=_LARGEST_FILE)
    rule = f"A photo is a .jpg or .png file of at most {_MAX_PIXELS} pixels."
    try:
        # The size is read, and refused, before the pixels are.
        if data[:8] == _PNG:
            size = struct.unpack(">II", data[16:24])
        else:
            size = tuple(int(n) for n in tf.image.extract_jpeg_shape(data)[:2])
        if not 0 < size[0] * size[1] <= _MAX_PIXELS:
            raise KerasCompressError(f"{rule} Received: {path} of {size[0]}x{size[1]}.")
        image = tf.image.decode_image(data, channels=channels, expand_animations=False)
    except (tf.errors.InvalidArgumentError, struct.error) as error:
        reason = " ".join(str(error).split())[:100]
        raise KerasCompressError(f"{rule} Received: {path} ({reason}).") from error
    rows, columns = int(image.shape[0]), int(image.shape[1])
    scale = max(height / rows, width / columns)
    larger = (max(height, round(rows * scale)), max(width, round(columns * scale)))
    image = tf.image.resize(image, larger, antialias=True)
    top, left = (larger[0] - height) // 2, (larger[1] - width) // 2
    return np.asarray(image[top : top + height, left : left + width], np.float32)
