"""Whole filters as masks: every weight of a filter is kept, or none is.

The masks leave the shapes alone; taking the filters out of the graph is the business of
channel pruning. What a filter is depends on the layer: the slice of its kernel that makes one
output channel.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np

from keras_compress.engine.weights import WeightRef, select_weights
from keras_compress.errors import KerasCompressError
from keras_compress.pruning.callback import PruningCallback
from keras_compress.pruning.config import PruningConfig
from keras_compress.pruning.masks import global_magnitude_masks, magnitude_mask
from keras_compress.pruning.pruner import Pruner

_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)

Norm = Literal["l1", "l2"]

# Their kernels end in (filters, channels in) instead of (channels in, filters).
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


def filter_axes(ref: WeightRef) -> tuple[int, ...] | None:
    """Return the axes of a weight that count its filters, or `None` if it has none.

    Embeddings, recurrent kernels (whose columns are gates, not channels) and kernels of
    attention and `EinsumDense` with several output axes have none.

    Args:
        ref: The weight.
    """
    owner = ref.owners[-1] if ref.owners else None
    owner = getattr(owner, "layer", owner) if getattr(owner, "requires_finalize", False) else owner
    last = len(ref.shape) - 1
    if ref.name not in ("kernel", "depthwise_kernel", "pointwise_kernel"):
        return None
    if ref.name == "depthwise_kernel" or isinstance(owner, _DEPTHWISE):
        return (last - 1, last)
    if ref.name == "pointwise_kernel":
        return (last,)
    if isinstance(owner, _TRANSPOSED):
        return (last - 1,)
    if isinstance(owner, keras.layers.EinsumDense):
        return (last,) if len(ref.shape) == 2 else None
    if any(isinstance(each, keras.layers.RNN) for each in ref.owners):
        return None
    if type(owner).__name__.endswith("Cell"):
        return None
    return (last,)


def filter_mask(
    weight: np.ndarray, sparsity: float, axes: Sequence[int] = (-1,), norm: Norm = "l1"
) -> np.ndarray:
    """Return the mask that keeps the filters of the largest norm, whole.

    Args:
        weight: Array of any shape.
        sparsity: Share of filters to prune, in [0, 1); at least one filter is kept.
        axes: The axes that count the filters. Defaults to the last one.
        norm: `"l1"` (Li et al., arXiv 1608.08710, section 3.1) or `"l2"`. Defaults to `"l1"`.

    Returns:
        A bool array shaped like `weight`.
    """
    keep = magnitude_mask(filter_strengths(weight, axes, norm), sparsity)
    return np.broadcast_to(keep, weight.shape).copy()


def filter_strengths(weight: np.ndarray, axes: Sequence[int], norm: Norm = "l1") -> np.ndarray:
    """Return the summed magnitudes (or squares) of each filter; the other axes have size 1."""
    axes = tuple(axis % weight.ndim for axis in axes)
    others = tuple(axis for axis in range(weight.ndim) if axis not in axes)
    magnitude = np.abs(weight.astype(np.float64))
    total: np.ndarray = (magnitude ** (1 if norm == "l1" else 2)).sum(axis=others, keepdims=True)
    return total


class FilterPruner(Pruner):
    """Moves masks of whole filters along a schedule; for custom loops.

    Args:
        model: A built model, as for `Pruner`.
        config: A `PruningConfig`. Without `layers`, weights that have no filters are left alone.
            With `scope="global"` the filters of all layers are ranked together, by the mean
            magnitude (or mean square) of their weights, and each layer keeps one at least.
        optimizer: As for `Pruner`. Defaults to `None`.
        norm: `"l1"` or `"l2"`. Defaults to `"l1"`.

    Raises:
        KerasCompressError: As `Pruner`, and if a weight named by `layers` has no filters.
    """

    def __init__(
        self, model: Any, config: PruningConfig, optimizer: Any = None, norm: Norm = "l1"
    ) -> None:
        if norm not in ("l1", "l2"):
            raise KerasCompressError(f'`norm` must be "l1" or "l2". Received: norm={norm!r}.')
        self.norm: Norm = norm
        chosen = select_weights(model, config.layers).chosen
        without = [ref.label for ref in chosen if filter_axes(ref) is None]
        if without and (config.layers is not None or len(without) == len(chosen)):
            raise KerasCompressError(
                "Whole filters can be pruned only where a kernel has output channels. Received: "
                f"{', '.join(without)}. Leave these out of `layers`, or prune them by "
                "`PruningCallback`."
            )
        if without:
            paths = list(dict.fromkeys(ref.path for ref in chosen if filter_axes(ref)))
            config = dataclasses.replace(config, layers=paths)
        super().__init__(model, config, optimizer)

    def masks_for(self, values: Sequence[np.ndarray], sparsity: float) -> list[np.ndarray]:
        axes = [filter_axes(weight.ref) or () for weight in self.weights]
        if self.config.scope == "layer":
            pairs = zip(values, axes, strict=True)
            return [filter_mask(value, sparsity, its, self.norm) for value, its in pairs]
        strengths = [
            filter_strengths(value, its, self.norm)
            * np.prod([value.shape[i] for i in its])
            / value.size
            for value, its in zip(values, axes, strict=True)
        ]
        keep = global_magnitude_masks(strengths, sparsity)
        masks = []
        for value, strength, kept in zip(values, strengths, keep, strict=True):
            if not kept.any():
                kept.flat[int(np.argmax(strength))] = True
            masks.append(np.broadcast_to(kept, value.shape).copy())
        return masks


class FilterPruningCallback(PruningCallback):
    """Prunes whole filters during `fit`: a `PruningCallback` with another criterion.

    Example:

    ```python
    schedule = PolynomialDecay(0.0, 0.5, begin_step=0, end_step=1000)
    model.fit(x, y, epochs=5, callbacks=[FilterPruningCallback(schedule)])
    ```

    Args:
        config: A `PruningConfig`, or what its `schedule` takes; sparsities are shares of
            filters.
        norm: `"l1"` or `"l2"`. Defaults to `"l1"`.
        initial_step: As for `PruningCallback`. Defaults to `None`.
    """

    def __init__(
        self, config: PruningConfig | Any, norm: Norm = "l1", initial_step: int | None = None
    ) -> None:
        super().__init__(config, initial_step)
        self.norm: Norm = norm

    def make_pruner(self, model: Any, optimizer: Any) -> Pruner:
        return FilterPruner(model, self.config, optimizer=optimizer, norm=self.norm)
