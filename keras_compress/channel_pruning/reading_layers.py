"""What layers read, as rows of numbers: the patches under a convolution, the vectors of a Dense.

Reconstruction fits kernels to what they read. A reader here is a convolution without groups or a
Dense layer: each output is a product of such a row with the kernel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.channel_pruning.verification import batches_of

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["Reader", "Shortcut", "find_readers", "kernel_matrix", "read_rows", "rows_at"]

Rows = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reader:
    """A layer that reads channels of a group.

    Attributes:
        path: Its path in the model.
        layer: The layer.
        channels: For each of its input channels, which group it is of and its place there; the
            name is empty for a channel that stays.
    """

    path: str
    layer: keras.Layer
    channels: tuple[tuple[str, int], ...]

    @property
    def taps(self) -> int:
        """Numbers that it reads of each channel."""
        return int(np.prod(self.layer.kernel.shape[:-2])) if self.layer.kernel.ndim > 2 else 1

    def rows_of(self, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which columns of its rows belong to the channels in `kept`."""
        return np.tile(kept, self.taps)

    def kept(self, masks: dict[str, NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """Return which of its input channels stay."""
        return np.array([name not in masks or masks[name][i] for name, i in self.channels], bool)


@dataclass(frozen=True, eq=False)
class Shortcut:
    """What is added to the outputs of a reader: one of the two inputs of an `Add`.

    Attributes:
        layer: The `Add`.
        index: Which of its inputs is the shortcut.
    """

    layer: keras.Layer
    index: int


def find_readers(groups: ChannelGroups) -> tuple[list[Reader], dict[str, str]]:
    """Return the readers of all groups, in the order they run, and what can't be one.

    Returns:
        The readers; and, by the name of a group, the path of a layer that reads it in another way.
    """
    analysis = groups.analysis
    of = analysis.components.of
    named = {
        int(c): (group.name, place)
        for group in groups.every
        for place, c in enumerate(group.components)
    }
    readers: list[Reader] = []
    others: dict[str, str] = {}
    runs = analysis.graph.runs()
    for nodes in _in_order(analysis.graph):
        layer = nodes[0].operation
        record = analysis.records[id(layer)]
        reads = [each for each in record.slices if each.reads]
        found = [named.get(int(c), ("", -1)) for each in reads for c in of[each.labels]]
        if not any(name for name, _ in found):
            continue
        if _is_reader(layer) and sum(runs[id(node)] for node in nodes) == 1:
            readers.append(Reader(record.path, layer, tuple(found)))
        else:
            others.update((name, record.path) for name, _ in found if name)
    return readers, others


def _in_order(graph: Any) -> Iterator[list[Any]]:
    calls = graph.calls()
    seen: set[int] = set()

    def walk(of: Any) -> Iterator[list[Any]]:
        for node in of.nodes:
            if node.inner is not None:
                yield from walk(node.inner)
            elif id(node.operation) not in seen:
                seen.add(id(node.operation))
                yield calls[id(node.operation)]

    yield from walk(graph)


def _is_reader(layer: keras.Layer) -> bool:
    kinds = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
    last = getattr(layer, "data_format", "channels_last") == "channels_last"
    return type(layer) in kinds and getattr(layer, "groups", 1) == 1 and last


def kernel_matrix(layer: keras.Layer) -> Rows:
    """Return a kernel as `(taps * channels, outputs)`, float64."""
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype(np.float64)
    return kernel.reshape(-1, kernel.shape[-1])


class _StopError(Exception):
    """Ends a run once all that was asked for has been read."""


def read_rows(
    model: keras.Model,
    layers: list[keras.Layer],
    x: Tensor,
    *,
    positions: int,
    batch_size: int,
    seed: int,
) -> Iterator[dict[int, Rows]]:
    """Run `model` over `x` and yield, batch after batch, the rows that layers read.

    Args:
        model: A model, run as in inference.
        layers: Readers in it, each called once in a run; or a `Shortcut`, of which the values at
            the same places are told.
        x: Inputs, arrays in the structure of the model's.
        positions: Places drawn from each sample's image, the same in each model and run of one
            seed.
        batch_size: Samples at a time.
        seed: Of the places.

    Yields:
        Rows `(samples * positions, taps * channels)` by the `id` of the layer; of a shortcut
        `(samples * positions, channels)`.
    """
    for number, batch in enumerate(batches_of(x, batch_size)):
        found: dict[int, Rows] = {}
        with _watched(layers, found, positions, (seed, number)), contextlib.suppress(_StopError):
            model(batch, training=False)
        yield found


@contextlib.contextmanager
def _watched(
    layers: list[keras.Layer], found: dict[int, Rows], positions: int, seed: tuple[int, int]
) -> Iterator[None]:
    shadowed = {id(each): _layer_of(each) for each in layers}
    before = {key: layer.__dict__.get("call") for key, layer in shadowed.items()}

    def shadow(watched: object, call: Any) -> Any:
        def watching(inputs: Tensor, *args: Any, **kwargs: Any) -> Any:
            if isinstance(watched, Shortcut):
                values = keras.ops.convert_to_numpy(inputs[watched.index])
                generator = np.random.default_rng(seed)
                flat = values.reshape(len(values), -1, values.shape[-1])
                rows = _drawn(flat, positions, generator).reshape(-1, values.shape[-1])
            else:
                rows = rows_at(watched, keras.ops.convert_to_numpy(inputs), positions, seed)
            found[id(watched)] = rows
            if len(found) == len(layers):
                raise _StopError
            return call(inputs, *args, **kwargs)

        return watching

    try:
        for each in layers:
            layer = shadowed[id(each)]
            layer.__dict__["call"] = shadow(each, layer.call)
        yield
    finally:
        for key, layer in shadowed.items():
            layer.__dict__.pop("call", None)
            if before[key] is not None:
                layer.__dict__["call"] = before[key]


def _layer_of(watched: object) -> Any:
    return watched.layer if isinstance(watched, Shortcut) else watched


def rows_at(
    layer: keras.Layer, values: NDArray[Any], positions: int, seed: tuple[int, ...]
) -> Rows:
    """Return what a layer reads at some places of each sample.

    Args:
        layer: A Dense layer or a convolution, depthwise or not, with channels last.
        values: Its inputs.
        positions: Places drawn from each sample.
        seed: Of the places.

    Returns:
        `(samples * positions, taps * channels)`, in the order of a kernel's rows.
    """
    generator = np.random.default_rng(seed)
    if isinstance(layer, keras.layers.Dense):
        flat = values.reshape(len(values), -1, values.shape[-1])
        return _drawn(flat, positions, generator).reshape(-1, values.shape[-1]).astype(np.float64)
    rank = values.ndim - 2
    padded = _padded(layer, values, rank)
    reach = [d * (k - 1) + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(
        padded, tuple(reach), axis=tuple(range(1, rank + 1))
    )
    # (samples, *places, channels, *taps)
    steps = tuple(slice(None, None, s) for s in layer.strides)
    taps = tuple(slice(None, None, d) for d in layer.dilation_rate)
    windows = windows[(slice(None), *steps, slice(None), *taps)]
    places = windows.shape[1 : rank + 1]
    count = int(np.prod(places))
    drawn = generator.integers(0, count, (len(values), positions))
    index = np.unravel_index(drawn, places)
    picked = windows[(np.arange(len(values))[:, None], *index)]
    # (samples, positions, channels, *taps) to taps first, as kernels are.
    picked = np.moveaxis(picked, 2, -1)
    return picked.reshape(len(values) * positions, -1).astype(np.float64)


def _drawn(flat: NDArray[Any], positions: int, generator: np.random.Generator) -> NDArray[Any]:
    if flat.shape[1] == 1:
        return flat
    drawn = generator.integers(0, flat.shape[1], (len(flat), positions))
    return flat[np.arange(len(flat))[:, None], drawn]


def _padded(layer: keras.Layer, values: NDArray[Any], rank: int) -> NDArray[Any]:
    if layer.padding == "valid":
        return values
    pairs = [(0, 0)]
    for side, size, stride, dilation in zip(
        values.shape[1 : rank + 1],
        layer.kernel_size,
        layer.strides,
        layer.dilation_rate,
        strict=True,
    ):
        reach = dilation * (size - 1) + 1
        if layer.padding == "causal":
            pairs.append((reach - 1, 0))
            continue
        total = max((-(-side // stride) - 1) * stride + reach - side, 0)
        pairs.append((total // 2, total - total // 2))
    return np.pad(values, [*pairs, (0, 0)])
