"""A copy of one layer, with the state that is neither in its configuration nor in its variables.

A configuration says how a layer was made. What it learned since lies in variables, in assets such
as a vocabulary and in plain attributes; functions, and classes that aren't registered, can't be
written into a configuration at all and are handed over as they are.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.copying.layer_state import carry_attributes, carry_saved, is_of_keras
from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

Pairs = list[tuple[Any, Any]]


class LayerCopy:
    """A layer or operation, and its copy.

    Args:
        original: The layer; it stays as it is.
        given: Layers to use in the copy in the stead of layers within `original`, by the `id` of
            these. Defaults to none.

    Attributes:
        copy: The copy, built if `original` is. Its state is complete but for composite layers
            that only a call can build: `complete()` sees to these.

    Raises:
        KerasCompressError: If a copy would not compute what the layer computes.
    """

    def __init__(self, original: keras.Model, given: Mapping[int, Any] | None = None) -> None:
        self.original = original
        #: What was handed over as it is, by the name it was given.
        self.references: dict[str, Any] = {}
        #: Layer within the original and within the copy, and the same of variables.
        self.layers: Pairs = []
        self.variables: Pairs = []
        self._given = dict(given or {})
        with self._refusing(), warnings.catch_warnings():
            # Keras warns of lambdas, which are handed over here.
            warnings.filterwarnings("ignore", message=".*includes a `lambda`.*")
            config = self._referring(original.get_config(), original)
            with keras.saving.CustomObjectScope({**custom_objects(original), **self.references}):
                self.copy = type(original).from_config(config)
                if isinstance(original, keras.Layer):
                    self._build()
        if isinstance(original, keras.Layer) and self._has_all_variables():
            self.complete()

    def complete(self) -> None:
        """Carry the state over; does nothing where that was done."""
        if self.layers or not isinstance(self.original, keras.Layer):
            return
        with self._refusing():
            self.layers = self._layer_pairs()
            for source, target in self.layers:
                carry_saved(source, target)
                carry_attributes(source, target)
            for source, target in self.layers:
                self.variables.extend(self._variable_pairs(source, target))
            for one, other in self.variables:
                copy_value(one, other)
        self.keep_trainable()

    def keep_trainable(self) -> None:
        """Make trainable in the copy what is so in the original, part by part."""
        # Parents come first, for what is said of a layer is said of all within.
        for source, target in self.layers:
            if target.trainable != source.trainable:
                target.trainable = source.trainable
        for source, target in self.variables:
            if target.trainable != source.trainable:
                target.trainable = source.trainable

    def copy_of(self, layer: keras.Layer) -> Any:
        """Return what stands in the copy for `layer` within the original, or `None`."""
        self.complete()
        return next((target for source, target in self.layers if source is layer), None)

    def _build(self) -> None:
        original, copy = self.original, self.copy
        if not original.built:
            return
        shapes = original.get_build_config()
        if shapes and not copy.built and (_has_own_build(original) or not _parts(copy)):
            copy.build_from_config(shapes)
        if self._has_all_variables():
            return
        # Within another layer, so that no call of the copy itself is remembered.
        for spread, inputs in _symbolic_inputs(original):
            try:
                _Probe(copy, spread)(inputs)
            except (TypeError, ValueError, IndexError):
                continue
            if self._has_all_variables():
                return

    def _has_all_variables(self) -> bool:
        pairs = list(zip(*self._made_here(), strict=False))
        return all(copy.built or not layer.built for layer, copy in pairs[1:]) and all(
            len(_own_variables(layer)) == len(_own_variables(copy)) for layer, copy in pairs
        )

    def _made_here(self) -> tuple[list[Any], list[Any]]:
        """Return the layers within the original and the copy, without those that were given."""
        targets = {id(target) for target in self._given.values()}
        return _tree(self.original, set(self._given)), _tree(self.copy, targets)

    def _layer_pairs(self) -> Pairs:
        layers, copies = self._made_here()
        if [type(layer) for layer in layers] != [type(copy) for copy in copies]:
            raise ValueError(
                f"its parts are {_names(layers)}, its configuration makes {_names(copies)}"
            )
        return list(zip(layers, copies, strict=True))

    def _variable_pairs(self, source: Any, target: Any) -> Pairs:
        ours, theirs = _own_variables(source), _own_variables(target)
        if [_kind(v) for v in ours] == [_kind(v) for v in theirs]:
            return list(zip(ours, theirs, strict=True))
        # A layer that was quantized or given LoRA later has its variables in another order.
        by_kind = {_kind(v): v for v in theirs}
        if len(by_kind) != len(theirs) or {_kind(v) for v in ours} != set(by_kind):
            raise ValueError(
                f"{source.name!r} has the variables {[_kind(v) for v in ours]}, what its "
                f"configuration makes has {[_kind(v) for v in theirs]}"
            )
        return [(v, by_kind[_kind(v)]) for v in ours]

    def _referring(self, config: Mapping[str, Any], layer: keras.Layer) -> dict[str, Any]:
        """Return `config` with references to what can't be written, or is given."""
        changed = {}
        for key, value in config.items():
            own = getattr(layer, key, getattr(layer, f"_{key}", None))
            written = isinstance(value, str | dict) and getattr(own, "__self__", None) is not layer
            if written and _is_function(own, stock=isinstance(value, dict)):
                changed[key] = self._reference(own)
            elif _is_function(value, stock=True) and is_of_keras(type(layer)):
                # `TextVectorization` writes a function as it is, and reads a written one.
                changed[key] = self._reference(value)
            else:
                changed[key] = self._referring_within(value, layer)
        return changed

    def _referring_within(self, value: Tensor, layer: keras.Layer) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(self._referring_within(item, layer) for item in value)
        if not isinstance(value, dict):
            return value
        part = _part_of(layer, value)
        if part is None:
            return {key: self._referring_within(item, layer) for key, item in value.items()}
        if id(part) in self._given:
            return {**value, **self._reference(self._given[id(part)])}
        return {**value, "config": self._referring(value["config"], part)}

    def _reference(self, thing: Any) -> dict[str, Any]:
        # What Keras calls a function is whatever the scope holds under the name.
        name = f"keras_compress_reference_{len(self.references)}"
        self.references[name] = thing
        return {
            "module": "builtins",
            "class_name": "function",
            "config": name,
            "registered_name": name,
        }

    def _refusing(self) -> _Refusing:
        return _Refusing(self.original)


class _Refusing:
    """Turns what goes wrong in a copy into one error that names the layer."""

    def __init__(self, layer: keras.Layer) -> None:
        self._layer = layer

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if (
            error is None
            or isinstance(error, KerasCompressError)
            or not isinstance(error, Exception)
        ):
            return
        raise KerasCompressError(
            "A layer must be told by its `get_config`, and what it has learned by variables, "
            "`save_own_variables` or `save_assets`, so that a copy computes the same. Received: "
            f"{self._layer.name!r} of type {type(self._layer).__name__}, which can't be copied "
            f"({type(error).__name__}: {_first_line(error)}). Give its class a `get_config` with "
            "all arguments of its constructor and a `build` that makes all its parts."
        ) from error


class _Probe(keras.layers.Layer):
    """Calls a layer, so that it is built as within another one."""

    def __init__(self, inner: Any, spread: bool) -> None:
        super().__init__(autocast=False)
        self.inner = inner
        self.spread = spread

    def call(self, inputs: Tensor) -> Tensor:
        return self.inner(*inputs) if self.spread else self.inner(inputs)


def copy_layer(layer: keras.Layer) -> keras.Layer:
    """Return a copy of `layer` that computes the same.

    Raises:
        KerasCompressError: If there can be no such copy.
    """
    return LayerCopy(layer).copy


def copy_value(source: Any, target: Any) -> None:
    """Give the variable `target` the value of a variable or tensor."""
    # By way of NumPy: two JAX variables may not share one array, which training gives away.
    target.assign(keras.ops.convert_to_numpy(source))


def custom_objects(layer: keras.Layer) -> dict[str, Any]:
    """Return the classes and functions in `layer` that aren't Keras' own, by their names."""
    found: dict[str, Any] = {}
    for part in _tree(layer):
        for value in _values_of(part):
            thing = value if inspect.isfunction(value) else type(value)
            named = inspect.isfunction(value) or hasattr(thing, "from_config")
            if named and not is_of_keras(thing):
                found[keras.saving.get_registered_name(thing)] = thing
    return found


def is_stock(layer: keras.Layer) -> bool:
    """Whether all in `layer` is of Keras' own making, so that its copy is known to be right."""
    parts = _tree(layer)
    functions = any(_is_function(value) for part in parts for value in _values_of(part))
    return all(is_of_keras(type(part)) for part in parts) and not (
        functions or custom_objects(layer)
    )


def _values_of(part: Any) -> Iterator[Any]:
    yield part
    # What Keras wraps around methods of each layer is no state of it.
    wrapped = ("build", "quantize")
    for key, value in list(vars(part).items()):
        if key in wrapped:
            continue
        if isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, list | tuple):
            yield from value
        else:
            yield value


def _tree(layer: keras.Layer, without: Collection[int] = ()) -> list[keras.Layer]:
    if not isinstance(layer, keras.Layer):
        return [layer]
    parts = [(*above, part) for above, part in iter_layers(layer)]
    return [layer, *(way[-1] for way in parts if not any(id(each) in without for each in way))]


def _parts(layer: keras.Layer) -> list[keras.Layer]:
    return _tree(layer)[1:]


def _names(layers: list[keras.Layer]) -> list[str]:
    return [f"{layer.name} ({type(layer).__name__})" for layer in layers]


def _part_of(layer: keras.Layer, serialized: Mapping[str, Any]) -> Any:
    """Return the layer within `layer` that `serialized` tells of, or `None`."""
    config = serialized.get("config")
    if not isinstance(config, dict) or "class_name" not in serialized:
        return None
    for part in _parts(layer):
        if part.name == config.get("name") and type(part).__name__ == serialized["class_name"]:
            return part
    return None


def mentions(layer: keras.Layer, part: Any) -> bool:
    """Whether the configuration of `layer` tells of `part`, a layer within it."""

    def within(value: Tensor) -> bool:
        if isinstance(value, list | tuple):
            return any(within(item) for item in value)
        if not isinstance(value, dict):
            return False
        return _part_of(layer, value) is part or any(within(item) for item in value.values())

    with _Refusing(layer):
        return within(layer.get_config())


def _has_own_build(layer: keras.Layer) -> bool:
    # A model builds itself by running.
    return isinstance(layer, keras.Model) or type(layer).build is not keras.Layer.build


def _symbolic_inputs(layer: keras.Layer) -> Iterator[tuple[bool, Any]]:
    """Yield inputs to call `layer` with, and whether each is an argument of its own."""
    try:
        inputs = layer.input
    except (AttributeError, ValueError):
        shape = (layer.get_build_config() or {}).get("input_shape")
        if shape is not None:
            yield False, keras.Input(batch_shape=shape)
        return
    fresh = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, sparse=x.sparse), inputs
    )
    yield False, fresh
    if isinstance(fresh, list | tuple):
        yield True, fresh


def _own_variables(layer: keras.Layer) -> list[keras.Variable]:
    below = {id(v) for above, part in iter_layers(layer) if not above for v in part.variables}
    return [v for v in layer.variables if id(v) not in below]


def _kind(variable: keras.Variable) -> tuple[str, tuple[int, ...], str]:
    # A weight made without a name is called "variable", the next "variable_1".
    name = re.sub(r"^variable_\d+$", "variable", variable.name)
    return name, tuple(variable.shape), keras.backend.standardize_dtype(variable.dtype)


def _is_function(value: Tensor, *, stock: bool = False) -> bool:
    """Whether `value` is a function, however made; one of Keras' own only if `stock`."""
    if isinstance(value, type | keras.Layer | keras.Variable) or hasattr(value, "get_config"):
        return False
    return callable(value) and (stock or not is_of_keras(value))


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip()[:200] if lines else ""
