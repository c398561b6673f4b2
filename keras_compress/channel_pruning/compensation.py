"""Fits the layers that read a cut group to what they computed before, by least squares.

He, Zhang, Sun 2017 (arXiv 1707.06168, section 3.1, second step, and 3.2) and Xie et al. 2021
(arXiv 2108.13728, section 3): neither labels nor gradients.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.channel_pruning.reading_layers import (
    Reader,
    Shortcut,
    find_readers,
    kernel_matrix,
    read_rows,
)
from keras_compress.engine.cloning import copy_model
from keras_compress.engine.graph import Graph, GraphNode, trace_graph
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["Compensation", "compensated_copy"]


def compensated_copy(
    groups: ChannelGroups,
    masks: dict[str, NDArray[np.bool_]],
    x: Tensor,
    *,
    positions: int = 20,
    batch_size: int = 64,
    rescale: bool = False,
    seed: int = 0,
) -> tuple[Any, list[str]]:
    """Return a copy of the model whose readers make do with the kept channels.

    One after the other, in the order they run, each reader that loses inputs gets the kernel and
    bias that come nearest to what it computes in the whole model, from what the layers before it
    hand on in the cut one. Kernels at removed channels are zero; the channels are still there. The
    last layer of a residual branch makes up for what the shortcut beside it has lost, too: it is
    fitted to `Y1 - Y1' + Y2`, Y1 and Y1' being the shortcut before and now (He et al., section
    3.2).

    Args:
        groups: The groups of the model.
        masks: The channels kept of groups that are cut, `(size,)`.
        x: Inputs, arrays in the structure of the model's.
        positions: Places drawn from each sample's image. Defaults to `20`.
        batch_size: Samples at a time. Defaults to `64`.
        rescale: Whether each output is scaled to the variance that it had (Xie et al.). Least
            squares makes outputs smaller, the more they lose. Defaults to `False`.
        seed: Of the places. Defaults to `0`.

    Returns:
        The copy, and the paths of the layers that were fitted.

    Raises:
        KerasCompressError: If a layer can't be copied, or a fit isn't finite.
    """
    fitting = Compensation(
        groups, x, positions=positions, batch_size=batch_size, rescale=rescale, seed=seed
    )
    return fitting.model, fitting.fit(masks)


class Compensation:
    """A copy of a model, whose readers are fitted to masks again and again.

    Args: as of `compensated_copy`.

    Attributes:
        model: The copy, changed by `fit`.
    """

    def __init__(
        self,
        groups: ChannelGroups,
        x: Tensor,
        *,
        positions: int = 20,
        batch_size: int = 64,
        rescale: bool = False,
        seed: int = 0,
    ) -> None:
        self.model = copy_model(groups.model)
        self._x = x
        self._rescale = rescale
        self._settings = {"positions": positions, "batch_size": batch_size, "seed": seed}
        self._readers = find_readers(groups)[0]
        graph, own = groups.analysis.graph, trace_graph(self.model)
        counterparts = {
            id(node.operation): (node, counterpart)
            for node, counterpart in zip(graph.walk(), own.walk(), strict=True)
        }
        self._fits: dict[int, _Fit] = {}
        places = {id(node): i for i, node in enumerate(graph.walk())}
        order: dict[int, float] = {}
        for reader in self._readers:
            node, counterpart = counterparts[id(reader.layer)]
            norms = _norm_behind(graph, node), _norm_behind(own, counterpart)
            beside, own_beside = _shortcut_beside(graph, node), _shortcut_beside(own, counterpart)
            pair = (None, None) if not beside or not own_beside else (beside[0], own_beside[0])
            # What the shortcut is made of is fitted first.
            order[id(reader)] = beside[1] - 0.5 if beside else places[id(node)]
            self._fits[id(reader)] = _Fit(reader, counterpart.operation, norms, pair)
        self._readers.sort(key=lambda reader: order[id(reader)])
        self._wanted = _outputs(groups.model, self._readers, x, self._settings)
        shortcuts = [f.shortcut for f in self._fits.values() if f.shortcut is not None]
        self._shortcuts = _shortcuts(groups.model, shortcuts, x, self._settings)

    def fit(self, masks: dict[str, NDArray[np.bool_]], names: Collection[str] = ()) -> list[str]:
        """Fit the readers that lose inputs, and return their paths.

        Args:
            masks: The channels kept of groups that are cut.
            names: Only readers of these groups. Defaults to all.
        """
        done = []
        for reader in self._readers:
            kept = reader.kept(masks)
            own = not names or any(name in names for name, _ in reader.channels)
            if kept.all() or not own:
                continue
            fit = self._fits[id(reader)]
            watched = (
                [fit.counterpart]
                if fit.own_shortcut is None
                else [fit.counterpart, fit.own_shortcut]
            )
            runs = list(read_rows(self.model, watched, self._x, **self._settings))
            rows = np.concatenate([found[id(fit.counterpart)] for found in runs])
            wanted: NDArray[Any] = self._wanted[id(reader.layer)]
            if fit.own_shortcut is not None:
                now = np.concatenate([found[id(fit.own_shortcut)] for found in runs])
                wanted = wanted + fit.missing(self._shortcuts[id(fit.shortcut)] - now)
            fit.solve(rows, wanted, kept, self._rescale)
            done.append(reader.path)
        return done

    def fitted(self, masks: dict[str, NDArray[np.bool_]]) -> list[str]:
        """Return the paths of the readers that lose inputs."""
        return [reader.path for reader in self._readers if not reader.kept(masks).all()]

    def weights(self, names: Collection[str]) -> list[tuple[Any, NDArray[Any]]]:
        """Return what `fit` may change for some groups, and how it is now."""
        found = []
        for reader in self._readers:
            if any(name in names for name, _ in reader.channels):
                for variable in self._fits[id(reader)].variables():
                    found.append((variable, np.array(keras.ops.convert_to_numpy(variable))))
        return found


def _outputs(
    model: keras.Model, readers: list[Reader], x: Tensor, settings: dict[str, int]
) -> dict[int, NDArray[np.float32]]:
    """Return what readers compute in the whole model, without bias and activation."""
    layers = [reader.layer for reader in readers]
    kernels = {id(layer): kernel_matrix(layer) for layer in layers}
    found: dict[int, list[NDArray[np.float32]]] = {id(layer): [] for layer in layers}
    for rows in read_rows(model, layers, x, **settings):
        for key, kernel in kernels.items():
            found[key].append((rows[key] @ kernel).astype(np.float32))
    return {key: np.concatenate(parts) for key, parts in found.items()}


def _norm_behind(graph: Graph, node: GraphNode) -> keras.Layer:
    """Return the batch normalization that alone reads what a layer computes, or `None`."""
    for each in graph.graphs():
        readers = each.readers(node.outputs[0])
        outputs = keras.tree.flatten(each.outputs)
        if len(readers) == 1 and all(x is not node.outputs[0] for x in outputs):
            found = readers[0].operation
            linear = node.operation.activation is keras.activations.linear
            return found if linear and isinstance(found, keras.layers.BatchNormalization) else None
    return None


def _shortcut_beside(graph: Graph, node: GraphNode) -> tuple[Shortcut, int] | None:
    """Return what is added to the outputs of a layer, right away or once they are normalized.

    Of two branches the one with more layers is the branch, the other one the shortcut.

    Returns:
        The shortcut, and the place of its `Add` among the calls of the graph; or `None`.
    """
    if node.operation.activation is not keras.activations.linear:
        return None
    places = {id(each): i for i, each in enumerate(graph.walk())}
    for each in graph.graphs():
        tensor = node.outputs[0]
        readers = each.readers(tensor)
        if len(readers) == 1 and isinstance(readers[0].operation, keras.layers.BatchNormalization):
            tensor = readers[0].outputs[0]
            readers = each.readers(tensor)
        if len(readers) != 1 or type(readers[0].operation) is not keras.layers.Add:
            continue
        merge = readers[0]
        others = [i for i, x in enumerate(merge.inputs) if x is not tensor]
        alike = all(tuple(x.shape) == tuple(tensor.shape) for x in merge.inputs)
        once = len(graph.calls()[id(merge.operation)]) == 1
        if len(merge.inputs) != 2 or len(others) != 1 or not alike or not once:
            return None
        depths = _depths(each)
        if depths.get(id(merge.inputs[others[0]]), 0) < depths[id(tensor)]:
            return Shortcut(merge.operation, others[0]), places[id(merge)]
    return None


def _depths(graph: Graph) -> dict[int, int]:
    """Return how many calls lie on the longest way to each tensor, by its `id`."""
    found: dict[int, int] = {}
    for node in graph.nodes:
        depth = 1 + max((found.get(id(x), 0) for x in node.inputs), default=0)
        found.update((id(x), depth) for x in node.outputs)
    return found


def _shortcuts(
    model: keras.Model, shortcuts: list[Shortcut], x: Tensor, settings: dict[str, int]
) -> dict[int, NDArray[np.float32]]:
    """Return what shortcuts hold in the whole model, at the places that are drawn."""
    if not shortcuts:
        return {}
    found: dict[int, list[NDArray[Any]]] = {id(each): [] for each in shortcuts}
    for rows in read_rows(model, shortcuts, x, **settings):
        for key, parts in found.items():
            parts.append(rows[key])
    return {key: np.concatenate(parts) for key, parts in found.items()}


class _Fit:
    """How one reader of a copy is fitted."""

    def __init__(
        self,
        reader: Reader,
        counterpart: Any,
        norms: tuple[Any, Any],
        shortcuts: tuple[Shortcut | None, Shortcut | None],
    ) -> None:
        self._reader = reader
        #: The layer of the copy; the normalization behind it and the shortcut beside it, in the
        #: original and there.
        self.counterpart = counterpart
        self._norm, self._own_norm = norms
        self.shortcut, self.own_shortcut = shortcuts

    def missing(self, difference: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what outputs must have more, before normalization, to make up for a difference."""
        if self._norm is None:
            return difference.astype(np.float64)
        values = [keras.ops.convert_to_numpy(self._norm.moving_variance).astype(np.float64)]
        factor = 1 / np.sqrt(values[0] + self._norm.epsilon)
        if self._norm.scale:
            factor = factor * keras.ops.convert_to_numpy(self._norm.gamma)
        # A channel that the normalization all but switches off can make up for nothing.
        weak = np.abs(factor) < 0.01 * np.abs(factor).max()
        return np.where(weak, 0.0, difference / np.where(weak, 1.0, factor))

    def variables(self) -> list[keras.Variable]:
        """Return the variables of the copy that a fit sets."""
        means = [] if self._own_norm is None else [self._own_norm.moving_mean]
        return [
            v for v in (self.counterpart.kernel, self.counterpart.bias, *means) if v is not None
        ]

    def solve(
        self,
        rows: NDArray[np.float64],
        wanted: NDArray[np.float32],
        kept: NDArray[np.bool_],
        rescale: bool,
    ) -> None:
        """Set the kernel and bias that come nearest to `wanted` from the kept channels."""
        reader, counterpart = self._reader, self.counterpart
        columns = reader.rows_of(kept)
        given = rows[:, columns]
        mean, target_mean = given.mean(axis=0), wanted.mean(axis=0, dtype=np.float64)
        if counterpart.bias is None and self._norm is None:
            # Nothing takes up a difference of means: the kernel has to fit these, too.
            mean, target_mean = np.zeros_like(mean), np.zeros_like(target_mean)
        given -= mean
        target = wanted - target_mean
        gram = given.T @ given
        gram[np.diag_indices_from(gram)] += 1e-4 * max(float(np.mean(np.diag(gram))), 1e-30)
        original = kernel_matrix(reader.layer)[columns]
        # What the samples don't tell stays as it was: the fit is of the difference.
        fitted = original + np.linalg.solve(gram, given.T @ (target - given @ original))
        if rescale:
            found = np.square(given @ fitted).mean(axis=0)
            fitted *= np.sqrt(np.square(target).mean(axis=0) / np.maximum(found, 1e-30))
        if not np.isfinite(fitted).all():
            raise KerasCompressError(
                f"A fit must be finite. Received: NaN or infinity for {reader.path!r}. Check the "
                "samples, and that the model was trained."
            )
        kernel = np.zeros((len(columns), fitted.shape[1]))
        kernel[columns] = fitted
        counterpart.kernel.assign(kernel.reshape(counterpart.kernel.shape))
        shift = target_mean - mean @ fitted
        if counterpart.bias is not None:
            counterpart.bias.assign(keras.ops.convert_to_numpy(reader.layer.bias) + shift)
        elif self._norm is not None:
            means = keras.ops.convert_to_numpy(self._norm.moving_mean)
            self._own_norm.moving_mean.assign(means - shift)
