"""Finds the weights of a model that can be compressed, and says why the rest is left alone.

A weight is compressed by default when it is one of the kernels below. Biases and normalization
parameters are few and carry the accuracy, so they are left alone, as in Deep Compression
(arXiv 1510.00149, section 2, which prunes and shares connection weights only).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers

Selector = str | type | Callable[[Any], bool]
Selectors = Selector | Sequence[Selector] | None

KERNEL_NAMES = frozenset(
    {"kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel", "embeddings"}
)

_NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.UnitNormalization,
    keras.layers.Normalization,
)


@dataclass(frozen=True)
class WeightRef:
    """One variable of a model and the layers it lies in.

    Attributes:
        path: Names of the layers from the model down to the owner, joined by `/`.
        owners: The same layers, outermost first; the last one created the variable.
        variable: The `keras.Variable`.
    """

    path: str
    owners: tuple[Any, ...]
    variable: keras.Variable

    @property
    def name(self) -> str:
        """The variable's own name, such as `kernel`."""
        return str(self.variable.name)

    @property
    def label(self) -> str:
        """`path/name`: how reports and errors call the weight."""
        return f"{self.path}/{self.name}" if self.path else self.name

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.variable.shape)


@dataclass(frozen=True)
class Selection:
    """What a technique will work on, and what it leaves alone and why."""

    chosen: tuple[WeightRef, ...]
    left_alone: tuple[tuple[WeightRef, str], ...]


def require_built(model: keras.Model) -> None:
    """Raise unless `model` is a built Keras model.

    Raises:
        KerasCompressError: If `model` is no `keras.Model` or has no weights yet.
    """
    if not isinstance(model, keras.Model):
        raise KerasCompressError(f"`model` must be a `keras.Model`. Received: model={model!r}.")
    if not model.built or not model.variables:
        raise KerasCompressError(
            "The model must be built: its weights don't exist yet. "
            f"Received: model={model.name!r} unbuilt. Give it an `Input`, call "
            "`model.build(input_shape)`, or run it once on a batch first."
        )


def require_finite(ref: WeightRef, values: np.ndarray) -> None:
    """Raise if a weight holds NaN or infinity, which no technique can rank or group."""
    if not np.isfinite(values).all():
        bad = int(values.size - np.isfinite(values).sum())
        raise KerasCompressError(
            f"Weights must be finite to be compressed. Received: {ref.label} with {bad} NaN or "
            "infinite values. Go back to a checkpoint from before training diverged."
        )


def iter_weights(root: Any) -> Iterator[WeightRef]:
    """Yield every weight of `root`, a model or a single layer, with the layers it lies in.

    A model's own name is left out of the paths; a lone layer's is kept.
    """
    top = () if isinstance(root, keras.Model) else (root,)
    owner_of: dict[int, tuple[Any, ...]] = {}
    # Parents come before their children, so the last layer to claim a variable is its owner.
    for ancestors, layer in iter_layers(root):
        for variable in layer.weights:
            owner_of[id(variable)] = (*top, *ancestors, layer)
    for variable in root.weights:
        owners = owner_of.get(id(variable), top)
        yield WeightRef("/".join(_names(owners)), owners, variable)


def select_weights(model: keras.Model, layers: Selectors = None) -> Selection:
    """Choose the weights of `model` to compress.

    Args:
        model: A built `keras.Model`.
        layers: Which layers: a selector or a list of them, each a layer's name or path
            (shell wildcards allowed; a container's name means all within), a layer class, or
            a predicate `layer -> bool`. A layer is taken when any selector matches it or a
            layer around it. Defaults to `None`: every layer with a known kernel.

    Returns:
        A `Selection`. Layers selected by hand give all their trainable float weights of two or
        more dimensions, so that custom layers can be chosen too.

    Raises:
        KerasCompressError: If the model is unbuilt, or a name or class matches no layer.
    """
    require_built(model)
    selectors = _as_selectors(layers)
    used = [False] * len(selectors)
    chosen: list[WeightRef] = []
    left_alone: list[tuple[WeightRef, str]] = []
    for ref in iter_weights(model):
        matched = [i for i, selector in enumerate(selectors) if _matches(selector, ref)]
        for i in matched:
            used[i] = True
        reason = _why_left_alone(ref, asked_for=bool(matched))
        if reason is None and selectors and not matched:
            reason = "not selected by `layers`"
        if reason is None:
            chosen.append(ref)
        else:
            left_alone.append((ref, reason))
    for selector, hit in zip(selectors, used, strict=True):
        if not hit and isinstance(selector, str | type):
            known = sorted({ref.path for ref in iter_weights(model)})
            raise KerasCompressError(
                "Each entry of `layers` must match a layer that has weights. Received: "
                f"{selector!r}, which matches none. The model has: {', '.join(known)}."
            )
    return Selection(tuple(chosen), tuple(left_alone))


def kernel_indices(layer: keras.Layer) -> list[int]:
    """Return the places in `layer.variables` of the kernels that are compressed by default."""
    chosen = {
        id(ref.variable)
        for ref in iter_weights(layer)
        if _why_left_alone(ref, asked_for=False) is None
    }
    return [i for i, variable in enumerate(layer.variables) if id(variable) in chosen]


def _as_selectors(layers: Selectors) -> list[Selector]:
    if layers is None:
        return []
    if isinstance(layers, str | type) or callable(layers):
        layers = [layers]
    selectors = list(layers) if isinstance(layers, Iterable) else [layers]
    for selector in selectors:
        if not (isinstance(selector, str | type) or callable(selector)):
            raise KerasCompressError(
                "`layers` takes layer names, layer classes and predicates of a layer. "
                f"Received: {selector!r}."
            )
    return selectors


def _matches(selector: Selector, ref: WeightRef) -> bool:
    if isinstance(selector, str):
        names = _names(ref.owners)
        paths = ["/".join(names[: i + 1]) for i in range(len(names))]
        return any(fnmatch.fnmatchcase(text, selector) for text in (*names, *paths))
    if isinstance(selector, type):
        return any(isinstance(owner, selector) for owner in ref.owners)
    return any(selector(owner) for owner in ref.owners)


def _why_left_alone(ref: WeightRef, *, asked_for: bool) -> str | None:
    variable = ref.variable
    owner = ref.owners[-1] if ref.owners else None
    if not variable.trainable:
        if isinstance(owner, _NORMALIZATIONS):
            return "normalization statistics"
        return "not trainable"
    if isinstance(owner, _NORMALIZATIONS) or "normalization" in type(owner).__name__.lower():
        return "normalization parameter"
    if ref.name == "bias" or len(variable.shape) < 2:
        return "bias" if ref.name == "bias" else "vector"
    if getattr(owner, "kernel_quantizer", None) is not None and "kernel" in ref.name:
        return "binarized: only the sign of its latent values counts"
    if not keras.backend.is_float_dtype(variable.dtype):
        return f"not a float weight ({variable.dtype})"
    if ref.name not in KERNEL_NAMES and not asked_for:
        return "not a known kernel; select its layer in `layers` to include it"
    return None


def _names(owners: Sequence[Any]) -> list[str]:
    # Our wrappers bear the name of the layer within: once is enough in a path.
    return [
        str(owner.name)
        for i, owner in enumerate(owners)
        if not getattr(owner, "requires_finalize", False) or i == len(owners) - 1
    ]
