"""Copies of models with chosen layers wrapped or unwrapped; the user's model stays as it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras

from keras_compress.engine.optimizer import ProjectedOptimizer
from keras_compress.engine.weights import WeightRef, require_built
from keras_compress.engine.wrapper import SubstitutedLayer
from keras_compress.errors import KerasCompressError


def wrap_layers(
    model: Any,
    chosen: tuple[WeightRef, ...],
    wrap: Callable[[Any, list[int], list[WeightRef]], SubstitutedLayer],
    fill: Callable[[], None] | None = None,
) -> Any:
    """Return a copy of `model` in which the layers that hold `chosen` weights are wrapped.

    Args:
        model: A built Sequential or functional model, nested or not.
        chosen: The weights to substitute.
        wrap: Called with a copy of a layer, the places of its chosen weights in
            `layer.variables`, and the weights of the original; returns the wrapper.
        fill: Called once the copy has the weights of `model`, before it is compiled. Defaults
            to `None`.

    Raises:
        KerasCompressError: If the model is subclassed, so that its graph can't be copied.
    """
    refs_of: dict[int, list[WeightRef]] = {}
    for ref in chosen:
        refs_of.setdefault(id(_wrappable(ref)), []).append(ref)

    def replace(layer: Any) -> tuple[Any, Any]:
        copy = copy_layer(layer)
        refs = refs_of.get(id(layer), [])
        if not refs:
            return copy, copy
        place_of = {id(variable): i for i, variable in enumerate(layer.variables)}
        refs = sorted(refs, key=lambda ref: place_of[id(ref.variable)])
        return wrap(copy, [place_of[id(ref.variable)] for ref in refs], refs), copy

    remedy = "use the technique's callback, which takes any model"
    return _clone(model, replace, remedy=remedy, fill=fill)


def unwrap_layers(model: Any) -> Any:
    """Return a copy of `model` in stock layers, with what the wrappers substituted baked in.

    A subclassed model can't be copied layer by layer; as wrappers can't get into it either, it
    holds stock layers already and is returned itself.
    """
    require_built(model)
    finals: list[tuple[Any, SubstitutedLayer]] = []

    def replace(layer: Any) -> tuple[Any, Any]:
        if isinstance(layer, SubstitutedLayer):
            copy = copy_layer(layer.layer)
            finals.append((copy, layer))
        else:
            copy = copy_layer(layer)
        return copy, copy

    if not is_clonable(model):
        return model

    def bake() -> None:
        for copy, wrapper in finals:
            replaced = {id(v): value for v, value in wrapper.substitutes()}
            for source, target in zip(wrapper.layer.variables, copy.variables, strict=True):
                _copy_value(replaced.get(id(source), source), target)

    return _clone(model, replace, fill=bake)


def clone_layers(model: Any, replace: Callable[[Any], Any], fill: Callable[[], None]) -> Any:
    """Return a copy of `model` whose layers are put through `replace`, weights kept.

    Args:
        model: A built Sequential or functional model, nested or not.
        replace: Called with a copy of each layer; returns it, or a wrapper around it.
        fill: Called once the copy has the weights of `model`, before it is compiled.

    Raises:
        KerasCompressError: If the model is unbuilt or subclassed.
    """

    def put(layer: Any) -> tuple[Any, Any]:
        copy = copy_layer(layer)
        return replace(copy), copy

    remedy = "use the technique's callback, which takes any model"
    return _clone(model, put, remedy=remedy, fill=fill)


def is_clonable(model: Any) -> bool:
    """Whether `model` is Sequential or functional, so that its graph is known."""
    if isinstance(model, keras.Sequential):
        return True
    # A functional model knows the symbolic tensors it was made from; a subclassed one doesn't.
    return bool(getattr(model, "inputs", None)) and bool(getattr(model, "outputs", None))


def _wrappable(ref: WeightRef) -> Any:
    # A recurrent cell or a part of a composite layer can't be wrapped inside its parent: what
    # the model's graph calls is the outermost layer that isn't itself a clonable model.
    for owner in ref.owners:
        if not (isinstance(owner, keras.Model) and is_clonable(owner)):
            return owner
    raise KerasCompressError(
        f"A weight must belong to a layer to be wrapped. Received: {ref.label}, which belongs to "
        "a model itself. Use the technique's callback."
    )


def copy_layer(layer: Any) -> Any:
    """Return a layer of the same configuration, built alike, without its weights' values."""
    copy = type(layer).from_config(layer.get_config())
    if isinstance(layer, keras.Layer) and not copy.built and layer.get_build_config():
        # A wrapper could not build a layer of several inputs from the shape of the first.
        copy.build_from_config(layer.get_build_config())
    return copy


def _clone(
    model: Any,
    replace: Callable[[Any], tuple[Any, Any]],
    *,
    remedy: str = "",
    fill: Callable[[], None] | None = None,
) -> Any:
    require_built(model)
    if not is_clonable(model):
        raise KerasCompressError(
            "Wrapping needs a Sequential or functional model, whose graph Keras can copy. "
            f"Received: {model.name!r}, a subclassed {type(model).__name__}; {remedy}."
        )
    made: dict[int, tuple[Any, Any, Any]] = {}

    def clone_function(layer: Any) -> Any:
        if id(layer) not in made:
            made[id(layer)] = (layer, *replace(layer))
        return made[id(layer)][1]

    clone = keras.models.clone_model(model, clone_function=clone_function, recursive=True)
    if not clone.built:
        clone.build(model.input_shape)
    for original, _, copy in made.values():
        # `bake` fills what was wrapped; operations such as `x != 0` have nothing to copy.
        if isinstance(original, SubstitutedLayer) or not isinstance(original, keras.Layer):
            continue
        for source, target in zip(original.variables, copy.variables, strict=True):
            _copy_value(source, target)
    if fill is not None:
        fill()
    _carry_compilation(model, clone)
    return clone


def _copy_value(source: Any, target: Any) -> None:
    # By way of NumPy: two JAX variables may not share one array, which training gives away.
    target.assign(keras.ops.convert_to_numpy(source))


def _carry_compilation(model: Any, clone: Any) -> None:
    if not getattr(model, "compiled", False):
        return
    try:
        config = model.get_compile_config()
        if isinstance(model.optimizer, ProjectedOptimizer):
            inner = model.optimizer.inner_optimizer
            config["optimizer"] = keras.saving.serialize_keras_object(inner)
        clone.compile_from_config(config)
    except (TypeError, ValueError) as error:
        warnings.warn(
            f"The copy of {model.name!r} is not compiled, for its loss or metrics can't be "
            f"serialized ({error}). Call `compile()` on it.",
            stacklevel=4,
        )
