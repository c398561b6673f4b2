"""Gradients of the loss by factors before channels, for each sample apart.

Before each kernel that reads channels stands a factor of 1 for each channel and sample. The
gradient of the loss by it is what a first-order expansion says of removing the channel there (Liu
et al. 2021, section 3.1).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.engine.importance import gradient_function, loss_function
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["ChannelGradients", "Site", "channel_gradients", "find_sites", "shadowed"]


@dataclass(frozen=True, eq=False)
class ChannelGradients:
    """The gradients of one batch.

    Attributes:
        values: Gradients of the summed loss, `(samples, places)`: a column for each channel at
            each place where it is read.
        components: The component of each column in the analysis, `(places,)`.
    """

    values: NDArray[np.float64]
    components: NDArray[np.int64]


@dataclass(eq=False)
class Site:
    """An input of a layer at which channels are read."""

    layer: keras.Layer
    index: int
    shape: tuple[int, ...]
    #: Which factor each element takes; the last one of all is a constant 1.
    takes: NDArray[np.int64]


def channel_gradients(
    groups: ChannelGroups, x: Tensor, y: Tensor, *, loss: object = None, batch_size: int = 32
) -> Iterator[ChannelGradients]:
    """Yield the gradients by channels, batch after batch.

    Channels that are read within a layer, as heads and units of recurrent layers are, have no
    factor of their own: for them the gradient of their kernels, summed over a batch, is spread
    evenly over its samples' squares, so that the sum of squares has the right expectation.

    Args:
        groups: The groups of the model, of which only those not left out have factors.
        x: Inputs, in the structure of the model's, samples first.
        y: Targets.
        loss: A loss, its name, or a function of targets and outputs. Defaults to `None`: that of
            the compiled model.
        batch_size: Samples at a time. Defaults to `32`.

    Raises:
        KerasCompressError: If there is no loss, no sample, or a gradient isn't finite.
    """
    model = groups.model
    mean_loss = loss_function(model, loss)
    count = len(keras.tree.flatten(x)[0])
    batch_size = min(batch_size, count)
    sites, components = find_sites(groups)
    inner = list(_inner_kernels(groups))
    factors = keras.Variable(np.ones((batch_size, len(components)), "float32"), name="factors")
    kernels = list({id(kernel): kernel for kernel, _, _ in inner}.values())

    def summed_loss(inputs: Tensor, targets: Tensor) -> Tensor:
        with _gated(sites, factors):
            outputs = model(inputs, training=False)
        return mean_loss(inputs, targets, outputs) * batch_size

    gradients_of = gradient_function(summed_loss, [factors, *kernels])
    # A rest of fewer samples is left out: it would be compiled anew.
    for start in range(0, count - batch_size + 1, batch_size):
        part = slice(start, start + batch_size)
        batch_x, batch_y = (
            keras.tree.map_structure(lambda a, part=part: np.asarray(a[part]), of) for of in (x, y)
        )
        try:
            found = gradients_of(batch_x, batch_y)
        except (ValueError, TypeError) as error:
            raise KerasCompressError(
                "Samples and targets must fit the model and its loss. Received: shapes "
                f"{keras.tree.map_structure(np.shape, batch_x)} and "
                f"{keras.tree.map_structure(np.shape, batch_y)} ({type(error).__name__}: "
                f"{str(error).splitlines()[0][:200]})."
            ) from error
        columns, of = [found[0].astype(np.float64)], [components]
        by_kernel = {id(k): g for k, g in zip(kernels, found[1:], strict=True)}
        for kernel, axis, labels in inner:
            product = by_kernel[id(kernel)] * keras.ops.convert_to_numpy(kernel)
            total = np.moveaxis(product, axis, 0).reshape(len(labels), -1).sum(axis=1)
            columns.append(np.tile(total / np.sqrt(batch_size), (batch_size, 1)))
            of.append(labels)
        values = np.concatenate(columns, axis=1)
        if not np.isfinite(values).all():
            raise KerasCompressError(
                "Gradients by channels must be finite. Received: NaN or infinity in the batch from "
                f"sample {start} on. Check the samples, the loss, and that the model was trained."
            )
        yield ChannelGradients(values, np.concatenate(of))


def find_sites(groups: ChannelGroups) -> tuple[list[Site], NDArray[np.int64]]:
    """Return where factors stand, and the component of each factor."""
    analysis = groups.analysis
    of = analysis.components.of
    wanted = np.zeros(int(of.max(initial=-1)) + 1, bool)
    for group in groups.values():
        wanted[group.components] = True
    sites: list[Site] = []
    factors: list[NDArray[np.int64]] = []
    total = 0
    for nodes in analysis.graph.calls().values():
        record = analysis.records[id(nodes[0].operation)]
        produced = {id(labels) for labels in record.produced.values()}
        reads = [s for s in record.slices if s.reads and id(s.labels) not in produced]
        if not reads:
            continue
        read = np.unique(np.concatenate([of[s.labels] for s in reads]))
        for index, tensor in enumerate(nodes[0].inputs):
            labels = analysis.labels(tensor)
            components = of[labels]
            here = np.unique(components[wanted[components] & np.isin(components, read)])
            if not len(here):
                continue
            place = np.full(len(wanted), -1, np.int64)
            place[here] = total + np.arange(len(here))
            sites.append(
                Site(nodes[0].operation, index, labels.shape, place[components].reshape(-1))
            )
            factors.append(here)
            total += len(here)
    for site in sites:
        site.takes[site.takes < 0] = total
    return sites, np.concatenate([np.zeros(0, np.int64), *factors])


def _inner_kernels(groups: ChannelGroups) -> Iterator[tuple[Any, int, NDArray[np.int64]]]:
    """Yield kernels that read within a layer what the layer itself makes."""
    of = groups.analysis.components.of
    for record in groups.analysis.records.values():
        produced = {id(labels) for labels in record.produced.values()}
        for each in record.slices:
            if each.reads and id(each.labels) in produced:
                variable = record.operation.variables[each.variable]
                if variable.trainable:
                    yield variable, each.axis, of[each.labels]


@contextlib.contextmanager
def _gated(sites: list[Site], factors: Any) -> Iterator[None]:
    """Multiply what layers are given by factors."""
    count = factors.shape[0]
    padded = keras.ops.concatenate([factors, keras.ops.ones((count, 1))], axis=1)

    def multiplied(site: Site, x: Tensor) -> Tensor:
        factor = keras.ops.take(padded, site.takes, axis=1)
        factor = keras.ops.reshape(factor, (count, *site.shape))
        return x * keras.ops.cast(factor, x.dtype)

    with shadowed(sites, multiplied):
        yield


@contextlib.contextmanager
def shadowed(sites: list[Site], change: Callable[[Site, Any], Any]) -> Iterator[None]:
    """Change what layers are given at some sites, by shadowing their `call` for that time."""
    by_layer: dict[int, list[Site]] = {}
    for site in sites:
        by_layer.setdefault(id(site.layer), []).append(site)
    layers = {id(site.layer): site.layer for site in sites}
    before = {key: layer.__dict__.get("call") for key, layer in layers.items()}

    def shadow(call: Any, own: list[Site]) -> Any:
        def changed(*args: Any, **kwargs: Any) -> Any:
            flat = keras.tree.flatten((args, kwargs))
            places = [i for i, x in enumerate(flat) if keras.ops.is_tensor(x)]
            for site in own:
                flat[places[site.index]] = change(site, flat[places[site.index]])
            args, kwargs = keras.tree.pack_sequence_as((args, kwargs), flat)
            return call(*args, **kwargs)

        return changed

    try:
        for key, layer in layers.items():
            layer.__dict__["call"] = shadow(layer.call, by_layer[key])
        yield
    finally:
        for key, layer in layers.items():
            layer.__dict__.pop("call", None)
            if before[key] is not None:
                layer.__dict__["call"] = before[key]
