"""Copies of models with chosen layers wrapped or unwrapped; the user's model stays as it is."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_compress.copying.graph_copy import (
    GraphCopy,
    graph_layers,
    holders_of,
    is_clonable,
    is_nested,
)
from keras_compress.copying.layer_copy import LayerCopy, copy_value
from keras_compress.engine.optimizer import ProjectedOptimizer
from keras_compress.engine.weight_decay import carry_exclusions
from keras_compress.engine.weights import WeightRef, require_built
from keras_compress.engine.wrapper import SubstitutedLayer
from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers

_REMEDY = "use the technique's callback, which takes any model"


def copy_model(model: keras.Model) -> keras.Model:
    """Return a copy of `model` that computes the same, compiled like it.

    Raises:
        KerasCompressError: If the model is unbuilt or subclassed, or a layer can't be copied.
    """
    return _clone(model, lambda _, copied: copied.copy)


def require_copyable(model: keras.Model) -> None:
    """Raise unless `unwrap_layers` can copy `model`, so that it is told before the training.

    A subclassed model is returned by `unwrap_layers` itself.

    Raises:
        KerasCompressError: If the model is unbuilt, or a layer can't be copied.
    """
    require_built(model)
    if is_clonable(model):
        GraphCopy(model, lambda _, copied: copied.copy, bare=True).check()


def require_removable(model: keras.Model) -> None:
    """Raise unless `unwrap_layers` can take the wrappers of `model` off, before it is trained.

    Raises:
        KerasCompressError: If the model is unbuilt, a layer can't be copied, or a wrapper stands
            in a subclassed model or within a layer that makes it.
    """
    require_built(model)
    if isinstance(model, keras.distillation.Distiller):
        # It is the student that is finalized.
        require_removable(model.student)
        return
    if not is_clonable(model):
        _refuse_wrappers(model)
        return
    GraphCopy(model, lambda _, copied: copied.copy, bare=True).check()
    in_graph = {id(layer) for layer in graph_layers(model)}
    wrappers = [layer for _, layer in iter_layers(model) if isinstance(layer, SubstitutedLayer)]
    if not all(id(layer) in in_graph for layer in wrappers):
        _refuse_wrappers(GraphCopy(model, lambda _, copied: copied.copy, bare=True).copy())


def wrap_layers(
    model: keras.Model,
    chosen: tuple[WeightRef, ...],
    wrap: Callable[[Any, list[int], list[WeightRef]], SubstitutedLayer],
    fill: Callable[[], None] | None = None,
) -> keras.Model:
    """Return a copy of `model` in which the layers that hold `chosen` weights are wrapped.

    Args:
        model: A built Sequential or functional model, nested or not.
        chosen: The weights to substitute.
        wrap: Called with a copy of a layer, the places of its chosen weights in its
            `variables`, and the weights of the original; returns the wrapper.
        fill: Called once the copy is made, before it is compiled. Defaults to `None`.

    Raises:
        KerasCompressError: If the model is subclassed, so that its graph can't be copied, if a
            layer can't be copied, or if a chosen weight is shared with another layer.
    """
    refs_of: dict[int, list[WeightRef]] = {}
    for ref in chosen:
        refs_of.setdefault(id(_wrappable(ref)), []).append(ref)

    def put(layer: keras.Layer, copied: LayerCopy) -> keras.Layer:
        refs = refs_of.get(id(layer), [])
        if not refs:
            return copied.copy
        copied.complete()
        target_of = {id(source): target for source, target in copied.variables}
        place_of = {id(v): i for i, v in enumerate(copied.copy.variables)}
        places = {id(ref.variable): place_of[id(target_of[id(ref.variable)])] for ref in refs}
        refs = sorted(refs, key=lambda ref: places[id(ref.variable)])
        return wrap(copied.copy, [places[id(ref.variable)] for ref in refs], refs)

    _require_clonable(model)
    _require_apart(model, chosen)
    clone = _clone(model, put, fill=fill)
    if not _keeps_graph(model):
        warnings.warn(
            f"{type(model).__name__} makes its graph itself, so the prepared {model.name!r} can't "
            "be loaded from a `.keras` file: it would have no wrappers. Keep its weights by "
            "`save_weights`, or `finalize` it before `save`.",
            stacklevel=3,
        )
    return clone


def unwrap_layers(model: keras.Model) -> keras.Model:
    """Return a copy of `model` in stock layers, with what the wrappers substituted baked in.

    A subclassed model can't be copied layer by layer; without wrappers it holds stock layers
    already and is returned itself.

    Raises:
        KerasCompressError: If a layer can't be copied, or a wrapper can't be taken out of the
            layer that holds it.
    """
    require_built(model)
    if not is_clonable(model):
        _refuse_wrappers(model)
        return model
    finals: list[tuple[LayerCopy, SubstitutedLayer]] = []

    def put(layer: keras.Layer, copied: LayerCopy) -> keras.Layer:
        if isinstance(layer, SubstitutedLayer):
            finals.append((copied, layer))
        return copied.copy

    def bake() -> None:
        for copied, wrapper in finals:
            replaced = {id(v): value for v, value in wrapper.substitutes()}
            for source, target in copied.variables:
                if id(source) in replaced:
                    copy_value(replaced[id(source)], target)
                    # Clustering trains centroids in its stead.
                    target.trainable = copied.copy.trainable

    clone = _clone(model, put, fill=bake, bare=True)
    _refuse_wrappers(clone)
    _tell_idle([wrapper for _, wrapper in finals])
    return clone


def _tell_idle(wrappers: Sequence[SubstitutedLayer]) -> None:
    """Warn of wrappers that have done nothing: their layers come out as they would without."""
    found = [(wrapper, wrapper.why_idle()) for wrapper in wrappers]
    idle = [(wrapper, reason) for wrapper, reason in found if reason]
    if idle:
        names = ", ".join(f"{wrapper.name} ({reason})" for wrapper, reason in idle)
        warnings.warn(
            f"Nothing was done to the weights of {len(idle)} of {len(found)} prepared layers: "
            f"{names}. Give the callback to `fit`, and train past the first step of its schedule.",
            stacklevel=4,
        )


def _refuse_wrappers(model: keras.Model) -> None:
    left = [layer.name for _, layer in iter_layers(model) if isinstance(layer, SubstitutedLayer)]
    if left:
        raise KerasCompressError(
            "A wrapper must stand in the graph of a model, or within a layer that takes it as an "
            f"argument, to be taken off. Received: {model.name!r}, with wrappers within layers "
            f"that make them, or without a graph ({', '.join(left)}). Wrap the layers that the "
            "graph calls, or leave them unwrapped and use the technique's callback."
        )


def clone_layers(
    model: keras.Model, replace: Callable[[Any], Any], fill: Callable[[], None]
) -> keras.Model:
    """Return a copy of `model` whose layers are put through `replace`, weights kept.

    Args:
        model: A built Sequential or functional model, nested or not.
        replace: Called with a copy of each layer; returns it, or a wrapper around it.
        fill: Called once the copy is made, before it is compiled.

    Raises:
        KerasCompressError: If the model is unbuilt or subclassed, or a layer can't be copied.
    """

    def put(_: object, copied: LayerCopy) -> keras.Layer:
        return replace(copied.copy)

    return _clone(model, put, fill=fill)


def _wrappable(ref: WeightRef) -> Any:
    # A recurrent cell or a part of a composite layer can't be wrapped inside its parent: what
    # the model's graph calls is the outermost layer that isn't itself a clonable model.
    for owner in ref.owners:
        if not is_nested(owner):
            return owner
    raise KerasCompressError(
        f"A weight must belong to a layer to be wrapped. Received: {ref.label}, which belongs to "
        "a model itself. Use the technique's callback."
    )


def _require_clonable(model: keras.Model) -> None:
    require_built(model)
    if not is_clonable(model):
        raise KerasCompressError(
            "Wrapping needs a Sequential or functional model, whose graph Keras can copy. "
            f"Received: {model.name!r}, a subclassed {type(model).__name__}; {_REMEDY}."
        )


def _require_apart(model: keras.Model, chosen: tuple[WeightRef, ...]) -> None:
    """Raise if a chosen weight is read by a layer that its wrapper would not reach."""
    holders = holders_of(model)
    for ref in chosen:
        others = [layer.name for layer in holders.get(id(ref.variable), ())]
        if len(others) > 1:
            raise KerasCompressError(
                "A weight must be in one layer of the graph to be wrapped, for the others would "
                f"not see what takes its place. Received: {ref.label}, in {' and '.join(others)}. "
                "Leave them out by `layers=`, or use the technique's callback."
            )


def _keeps_graph(model: keras.Model) -> bool:
    """Whether a file of `model` holds its graph, rather than how its class makes it."""
    stock = (type(keras.Sequential()), type(keras.Model(model.inputs, model.outputs)))
    if type(model) in stock or "layers" in inspect.signature(type(model).__init__).parameters:
        return True
    return "layers" in model.get_config()


def _clone(
    model: keras.Model,
    put: Callable[[Any, LayerCopy], Any],
    *,
    fill: Callable[[], None] | None = None,
    bare: bool = False,
) -> keras.Model:
    _require_clonable(model)
    graph = GraphCopy(model, put, bare=bare)
    clone = graph.copy()
    if fill is not None:
        fill()
    _carry_compilation(model, clone, graph)
    return clone


def _carry_compilation(model: keras.Model, clone: Any, graph: GraphCopy) -> None:
    if not getattr(model, "compiled", False):
        return
    try:
        config = model.get_compile_config()
        if isinstance(model.optimizer, ProjectedOptimizer):
            inner = model.optimizer.inner_optimizer
            config["optimizer"] = keras.saving.serialize_keras_object(inner)
        clone.compile_from_config(config)
        if getattr(clone, "optimizer", None) is not None:
            carry_exclusions(model.optimizer, clone.optimizer, graph.pairs(), clone)
    except (TypeError, ValueError) as error:
        warnings.warn(
            f"The copy of {model.name!r} is not compiled, for its loss or metrics can't be "
            f"serialized ({error}). Call `compile()` on it.",
            stacklevel=4,
        )
