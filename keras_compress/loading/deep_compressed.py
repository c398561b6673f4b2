"""`.net` files of Deep Compression, as SqueezeNet was released in: read and written.

The layout is that of github.com/songhan/SqueezeNet-Deep-Compression (`decode.py`), little-endian,
without a header, for the convolutions in the order they run:

1. for each, a uint32: how many entries are stored;
2. for each, a codebook of 256 float32, of which the first is 0; the biases, float32; an index into
   the codebook for each entry, 8 bits; and its gap, 4 bits, of two the earlier one low.

An entry stands a gap of zeros behind the one before it, in a kernel laid out as Caffe does: output,
input, row, column. More than 15 zeros are bridged by an entry that is itself 0.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.engine.graph import trace_graph
from keras_compress.errors import ModelFileError
from keras_compress.storage import Origins, read_file, write_atomic

__all__ = ["load_deep_compressed", "save_deep_compressed"]

_CODES = 256
_LONGEST_GAP = 15
_CODEBOOK_BYTES = 4 * _CODES
# Larger than any net that the format was used for.
_LARGEST_FILE = 1 << 30


@dataclass(frozen=True, eq=False)
class _Kernel:
    """Kernel and bias of a convolution, as Keras lays them out."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]


def load_deep_compressed(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Give the convolutions of `model` the weights in a `.net` file.

    Example:

    ```python notest
    model = architectures.squeezenet((227, 227, 3), classifier_padding=1)
    loading.load_deep_compressed(model, "compressed_SqueezeNet.net")
    ```

    Args:
        model: A built Sequential or functional model, whose weights are all in `Conv2D` layers with
            biases: as many, and of the shapes, as the file was written from.
        path: The file.

    Raises:
        ModelFileError: If the file is damaged or of another net. Nothing is assigned then.
        KerasCompressError: If the file can't be read, or the graph of the model is unknown.
    """
    layers = _convolutions(model)
    found = _parse(read_file(path, limit=_LARGEST_FILE), layers, os.fspath(path))
    for layer, weights in zip(layers, found, strict=True):
        layer.kernel.assign(weights.kernel)
        layer.bias.assign(weights.bias)


def save_deep_compressed(
    model: keras.Model, path: str | os.PathLike[str], *, made_from: Origins = None
) -> int:
    """Write the convolutions of `model` into a `.net` file; return its bytes.

    Args:
        model: As for `load_deep_compressed`; each kernel has at most 256 distinct values, zero
            counted, as after `clustering`.
        path: Where to write.
        made_from: The files that the model comes from: who may not read them may not read the new
            one either. Defaults to `None`.

    Raises:
        ModelFileError: If a kernel has more values, or the model has other weights.
        KerasCompressError: If the file can't be written, or the graph of the model is unknown.
    """
    layers = _convolutions(model)
    parts = [_encoded(layer) for layer in layers]
    counts = np.array([count for count, _ in parts], "<u4").tobytes()
    data = counts + b"".join(body for _, body in parts)
    write_atomic(path, data, made_from=made_from)
    return len(data)


def _convolutions(model: keras.Model) -> list[Any]:
    layers: list[Any] = []
    for node in trace_graph(model).walk():
        layer = node.operation
        if not getattr(layer, "weights", None) or any(layer is each for each in layers):
            continue
        last = getattr(layer, "data_format", "") == "channels_last"
        if type(layer) is not keras.layers.Conv2D or not layer.use_bias or not last:
            raise ModelFileError(
                "A .net file holds Conv2D layers with biases and channels last, nothing else. "
                f"Received: {layer.name!r}, a {type(layer).__name__}, in {model.name!r}."
            )
        layers.append(layer)
    if not layers:
        raise ModelFileError(f"A .net file holds Conv2D layers. Received: none in {model.name!r}.")
    return layers


def _parse(data: bytes, layers: list[keras.Layer], path: str) -> list[_Kernel]:
    """Return the weights of all layers; every length is checked before it is used."""
    if len(data) < 4 * len(layers):
        raise ModelFileError(
            f"A .net file begins with a number for each convolution, here {len(layers)}. Received: "
            f"{path} with {len(data)} bytes."
        )
    counts = np.frombuffer(data, "<u4", len(layers)).astype(np.int64)
    sizes = []
    for layer, count in zip(layers, counts, strict=True):
        numbers = int(np.prod(layer.kernel.shape))
        if not 1 <= count <= numbers:
            raise ModelFileError(
                f"A convolution stores from 1 to as many entries as it has weights. Received: "
                f"{count} for {layer.name!r} with {numbers}, in {path}. Is it of another net?"
            )
        filters = int(layer.bias.shape[0])
        sizes.append(_CODEBOOK_BYTES + 4 * filters + int(count) + (int(count) - 1) // 2 + 1)
    expected = 4 * len(layers) + sum(sizes)
    if len(data) != expected:
        raise ModelFileError(
            f"By its first {len(layers)} numbers the .net file has {expected} bytes. Received: "
            f"{path} with {len(data)}. It is cut short, or of another net."
        )
    found, start = [], 4 * len(layers)
    for layer, count, size in zip(layers, counts, sizes, strict=True):
        found.append(_decoded(data[start : start + size], layer, int(count), path))
        start += size
    return found


def _decoded(data: bytes, layer: keras.Layer, count: int, path: str) -> _Kernel:
    filters = int(layer.bias.shape[0])
    codebook = np.frombuffer(data, "<f4", _CODES)
    bias = np.frombuffer(data, "<f4", filters, _CODEBOOK_BYTES)
    start = _CODEBOOK_BYTES + 4 * filters
    codes = np.frombuffer(data, np.uint8, count, start)
    packed = np.frombuffer(data, np.uint8, offset=start + count)
    gaps = np.stack([packed & 15, packed >> 4], axis=1).ravel()[:count]
    if codebook[0] != 0 or not (np.isfinite(codebook).all() and np.isfinite(bias).all()):
        raise ModelFileError(
            "Codebooks and biases are finite, and the first value of a codebook is 0. Received: "
            f"others for {layer.name!r} in {path}, which is damaged or of another net."
        )
    places = np.cumsum(gaps.astype(np.int64) + 1) - 1
    height, width, channels, _ = layer.kernel.shape
    numbers = int(np.prod(layer.kernel.shape))
    if places[-1] >= numbers:
        raise ModelFileError(
            f"Entries lie within the {numbers} weights of {layer.name!r}. Received: one at "
            f"{places[-1]} in {path}, which is damaged or of another net."
        )
    flat = np.zeros(numbers, np.float32)
    flat[places] = codebook[codes]
    # Caffe: output, input, row, column.
    kernel = flat.reshape(filters, channels, height, width).transpose(2, 3, 1, 0)
    return _Kernel(kernel, bias)


def _encoded(layer: keras.Layer) -> tuple[int, bytes]:
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype("<f4")
    bias = keras.ops.convert_to_numpy(layer.bias).astype("<f4")
    flat = kernel.transpose(3, 2, 0, 1).ravel()
    values = np.unique(flat[flat != 0])
    if not (np.isfinite(flat).all() and np.isfinite(bias).all()) or len(values) >= _CODES:
        raise ModelFileError(
            f"A kernel in a .net file has at most {_CODES - 1} finite values beside 0. Received: "
            f"{len(values)} in {layer.name!r}. Cluster it first: `keras_compress.clustering`."
        )
    codebook = np.zeros(_CODES, "<f4")
    codebook[1 : len(values) + 1] = values
    places = np.flatnonzero(flat)
    # At least one entry: a kernel of zeros has a zero.
    places = places if places.size else np.zeros(1, np.int64)
    gaps = np.diff(places, prepend=-1) - 1
    bridges = gaps // (_LONGEST_GAP + 1)
    ends = np.cumsum(bridges + 1) - 1
    count = int(ends[-1]) + 1
    codes = np.zeros(count, np.uint8)
    steps = np.full(count, _LONGEST_GAP, np.uint8)
    codes[ends] = np.searchsorted(values, flat[places]) + 1 if values.size else 0
    steps[ends] = gaps % (_LONGEST_GAP + 1)
    steps = np.append(steps, np.zeros(count % 2, np.uint8))
    packed = steps[0::2] | (steps[1::2] << 4)
    return count, codebook.tobytes() + bias.tobytes() + codes.tobytes() + packed.tobytes()
