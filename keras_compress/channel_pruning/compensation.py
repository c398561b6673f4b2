"""Fits the layers that read a cut group to what they computed before, by least squares.

He, Zhang, Sun 2017 (arXiv 1707.06168, section 3.1, second step, and 3.2) and Xie et al. 2021
(arXiv 2108.13728, section 3): neither labels nor gradients.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.channel_pruning.readers import Reader, find_readers, kernel_matrix, read_rows
from keras_compress.engine.cloning import copy_model
from keras_compress.engine.graph import Graph, GraphNode, trace_graph
from keras_compress.errors import KerasCompressError

__all__ = ["compensated_copy"]


def compensated_copy(
    groups: ChannelGroups,
    masks: dict[str, NDArray[np.bool_]],
    x: Any,
    *,
    positions: int = 20,
    batch_size: int = 64,
    rescale: bool = False,
    seed: int = 0,
) -> tuple[Any, list[str]]:
    """Return a copy of the model whose readers make do with the kept channels.

    One after the other, in the order they run, each reader that loses inputs gets the kernel and
    bias that come nearest to what it computes in the whole model, from what the layers before it
    hand on in the cut one. Kernels at removed channels are zero; the channels are still there.

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
    readers = [r for r in find_readers(groups)[0] if not r.kept(masks).all()]
    copy = copy_model(groups.model)
    graph = trace_graph(copy)
    pairs = list(zip(groups.analysis.graph.walk(), graph.walk(), strict=True))
    twins = {id(node.operation): twin for node, twin in pairs}
    settings = {"positions": positions, "batch_size": batch_size, "seed": seed}
    wanted = _outputs(groups.model, readers, x, settings)
    for reader in readers:
        node = twins[id(reader.layer)]
        twin = node.operation
        rows = np.concatenate([found[id(twin)] for found in read_rows(copy, [twin], x, **settings)])
        norm = _norm_behind(graph, node)
        _fit(reader, twin, norm, rows, wanted.pop(id(reader.layer)), reader.kept(masks), rescale)
    return copy, [reader.path for reader in readers]


def _outputs(
    model: Any, readers: list[Reader], x: Any, settings: dict[str, int]
) -> dict[int, NDArray[np.float32]]:
    """Return what readers compute in the whole model, without bias and activation."""
    layers = [reader.layer for reader in readers]
    kernels = {id(layer): kernel_matrix(layer) for layer in layers}
    found: dict[int, list[NDArray[np.float32]]] = {id(layer): [] for layer in layers}
    for rows in read_rows(model, layers, x, **settings):
        for key, kernel in kernels.items():
            found[key].append((rows[key] @ kernel).astype(np.float32))
    return {key: np.concatenate(parts) for key, parts in found.items()}


def _norm_behind(graph: Graph, node: GraphNode) -> Any:
    """Return the batch normalization that alone reads what a layer computes, or `None`."""
    for each in graph.graphs():
        readers = each.readers(node.outputs[0])
        outputs = keras.tree.flatten(each.outputs)
        if len(readers) == 1 and all(x is not node.outputs[0] for x in outputs):
            found = readers[0].operation
            linear = node.operation.activation is keras.activations.linear
            return found if linear and isinstance(found, keras.layers.BatchNormalization) else None
    return None


def _fit(
    reader: Reader,
    twin: Any,
    norm: Any,
    rows: NDArray[np.float64],
    wanted: NDArray[np.float32],
    kept: NDArray[np.bool_],
    rescale: bool,
) -> None:
    """Give a layer the kernel and bias that come nearest to `wanted` from the kept channels."""
    columns = reader.rows_of(kept)
    given = rows[:, columns]
    mean, target_mean = given.mean(axis=0), wanted.mean(axis=0, dtype=np.float64)
    if twin.bias is None and norm is None:
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
    twin.kernel.assign(kernel.reshape(twin.kernel.shape))
    shift = target_mean - mean @ fitted
    if twin.bias is None and norm is not None:
        norm.moving_mean.assign(keras.ops.convert_to_numpy(norm.moving_mean) - shift)
    elif twin.bias is not None:
        bias = keras.ops.convert_to_numpy(reader.layer.bias).astype(np.float64)
        twin.bias.assign(bias + shift)
