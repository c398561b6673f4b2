"""Takes channels out of a model: a smaller one of the same kind, in the same layers."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.channel_pruning.analysis import Analysis
from keras_compress.channel_pruning.call import LayerRecord
from keras_compress.channel_pruning.compilation import carry_compilation
from keras_compress.copying.layer_copy import LayerCopy, copy_value, custom_objects
from keras_compress.engine.graph import Graph, GraphNode
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["Surgery", "remove_channels"]

_ZEROS = {"module": "keras.initializers", "class_name": "Zeros", "config": {}}


def remove_channels(analysis: Analysis, keep: np.ndarray) -> keras.Model:
    """Return a copy of the analyzed model with only the labels in `keep`; the model stays.

    Args:
        analysis: What is known of the model's channels.
        keep: Which labels stay, `(labels,)`; each component is kept or removed as a whole.

    Returns:
        A model of the same kind, compiled alike, with the optimizer's state.

    Raises:
        KerasCompressError: If a layer can't be copied, or a weight belongs to several layers.
    """
    return Surgery(analysis, keep).model()


class Surgery:
    """Rebuilds the graph of a model from smaller layers."""

    def __init__(self, analysis: Analysis, keep: np.ndarray) -> None:
        self._analysis = analysis
        self._keep = keep
        self._operations: dict[int, Any] = {}
        self._models: list[tuple[Any, Any]] = []
        #: Layers whose weights are still to be filled, and those copied with theirs.
        self._resized: list[tuple[LayerRecord, Any]] = []
        self._copied: list[LayerCopy] = []
        #: Initializers that were left out while building, by layer.
        self._initializers: list[tuple[Any, Any, list[str]]] = []
        #: A variable, its copy, and what was kept along which axis, by the variable's `id`.
        self._variables: dict[int, tuple[Any, Any, list[tuple[int, np.ndarray]]]] = {}

    def model(self) -> keras.Model:
        _refuse_ties(self._analysis.graph)
        model = self._model(self._analysis.graph)
        for layer, small, names in self._initializers:
            for name in names:
                setattr(small, name, getattr(layer, name))
        for copied in self._copied:
            copied.complete()
            self._variables.update((id(old), (old, new, [])) for old, new in copied.variables)
        for record, small in self._resized:
            self._fill(record, small)
        for old, new in reversed(self._models):
            if new.trainable != old.trainable:
                new.trainable = old.trainable
        for record, small in self._resized:
            if small.trainable != record.operation.trainable:
                small.trainable = record.operation.trainable
        for copied in self._copied:
            copied.keep_trainable()
        self.compile(model)
        return model

    def compile(self, model: keras.Model) -> None:
        """Compile what was built like the analyzed model, with the optimizer's state."""
        carry_compilation(self._analysis.graph.model, model, self._variables)

    def _model(self, graph: Graph) -> keras.Model:
        old = graph.model
        inputs = keras.tree.flatten(graph.inputs)
        tensors = {
            id(x): keras.Input(
                batch_shape=self._analysis.dimensions(x, self._keep),
                dtype=x.dtype,
                sparse=x.sparse,
                name=name,
                optional=optional,
            )
            for x, (name, optional) in zip(inputs, graph.names, strict=True)
        }
        if isinstance(old, keras.Sequential):
            first = tensors[id(inputs[0])]
            small = _of_kind(old, keras.Sequential, self._sequence(graph, first))
        else:
            for node in graph.nodes:
                self._call(node, tensors)
            small = _of_kind(
                old,
                type(keras.Model(inputs, graph.outputs)),
                keras.tree.map_structure(lambda x: tensors[id(x)], graph.inputs),
                keras.tree.map_structure(lambda x: tensors[id(x)], graph.outputs),
            )
        self._models.append((old, small))
        return small

    def _sequence(self, graph: Graph, first: object) -> list[Any]:
        return [first, *(self._operation(node) for node in graph.nodes)]

    def _call(self, node: GraphNode, tensors: dict[int, Any]) -> None:
        def small_of(value: Tensor) -> Any:
            if isinstance(value, keras.KerasTensor):
                return tensors[id(value)]
            if isinstance(value, keras.Variable) and id(value) in self._variables:
                return self._variables[id(value)][1]
            return value

        args, kwargs = keras.tree.map_structure(small_of, (node.args, node.kwargs))
        args = list(args)
        record = self._analysis.records.get(id(node.operation))
        if record is not None:
            for place, value in record.arguments.get(id(node), {}).items():
                if isinstance(place, int):
                    args[place] = value(self._keep)
                else:
                    kwargs[place] = value(self._keep)
        made = keras.tree.flatten(self._operation(node)(*args, **kwargs))
        for x, small in zip(node.outputs, made, strict=True):
            tensors[id(x)] = small

    def _operation(self, node: GraphNode) -> keras.Operation:
        operation = node.operation
        if id(operation) not in self._operations:
            if node.inner is not None:
                small = self._model(node.inner)
            else:
                small = self._smaller(self._analysis.records[id(operation)])
            self._operations[id(operation)] = small
        return self._operations[id(operation)]

    def _smaller(self, record: LayerRecord) -> keras.Operation:
        operation = record.operation
        config: dict[str, Any] = {}
        changed = any(not self._keep[each.labels].all() for each in record.slices)
        # A configuration may not be had, of a layer that is handed over as it is.
        if changed or record.settings:
            config = _unbuilt(operation.get_config())
            for keys, value in record.settings.items():
                changed |= _put(config, keys, value(self._keep))
        if not changed:
            copied = LayerCopy(operation)
            self._copied.append(copied)
            return copied.copy
        left_out = []
        for name in list(config):
            # Each weight is overwritten: what random ones cost can be saved.
            if record.slices and name.endswith("_initializer") and name in vars(operation):
                config[name] = copy.deepcopy(_ZEROS)
                left_out.append(name)
        with keras.saving.CustomObjectScope(custom_objects(operation)):
            small = type(operation).from_config(config)
        self._initializers.append((operation, small, left_out))
        if isinstance(operation, keras.Layer):
            self._resized.append((record, small))
        return small

    def _fill(self, record: LayerRecord, small: keras.Model) -> None:
        olds, news = record.operation.variables, small.variables
        if len(olds) != len(news):
            raise KerasCompressError(
                "A smaller layer must have the weights of the layer. Received: "
                f"{record.path!r} with {len(olds)}, its smaller one with {len(news)}."
            )
        for place, (old, new) in enumerate(zip(olds, news, strict=True)):
            cuts = [
                (each.axis, self._keep[each.labels])
                for each in record.slices
                if each.variable == place
            ]
            values = cut_values(keras.ops.convert_to_numpy(old), cuts)
            if tuple(values.shape) != tuple(new.shape):
                raise KerasCompressError(
                    "The rule of a layer must tell of all its weights. Received: "
                    f"{old.path!r} cut to {tuple(values.shape)}, where the smaller layer has "
                    f"{tuple(new.shape)}."
                )
            copy_value(values, new)
            self._variables[id(old)] = (old, new, cuts)


def cut_values(values: np.ndarray, cuts: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """Return an array with only what is kept along some axes."""
    for axis, kept in cuts:
        values = np.compress(kept, values, axis)
    return values


def _unbuilt(config: object) -> Any:
    """Return a configuration whose inner layers aren't built on the old shapes."""
    if isinstance(config, list | tuple):
        return type(config)(_unbuilt(value) for value in config)
    if isinstance(config, dict):
        return {key: _unbuilt(value) for key, value in config.items() if key != "build_config"}
    return config


def _put(config: dict[str, Any], keys: tuple[str, ...], value: Tensor) -> bool:
    """Put a value into nested dicts; return whether it is another one than was there."""
    for key in keys[:-1]:
        config = config[key]
    before = config.get(keys[-1])
    config[keys[-1]] = value
    return not _is_same(before, value)


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(_is_same(*pair) for pair in pairs)
    return bool(np.array_equal(one, other))


def _of_kind(old: Any, base: Any, *args: Any) -> keras.Model:
    """Return a model of the class of `old`, made from a graph."""
    if type(old) is base:
        return base(*args, name=old.name)
    # What the class' own constructor takes isn't known; its methods are what counts.
    kind: Any = type(old)
    small = kind.__new__(kind)
    base.__init__(small, *args, name=old.name)
    return small


def _refuse_ties(graph: Graph) -> None:
    """Raise if a weight belongs to several layers: a rebuilt one would not be shared."""
    holder: dict[int, Any] = {}
    for calls in graph.calls().values():
        layer = calls[0].operation
        for variable in getattr(layer, "variables", ()):
            other = holder.setdefault(id(variable), layer)
            if other is not layer:
                raise KerasCompressError(
                    "A weight must belong to one layer for channels to be removed. Received: "
                    f"{variable.path!r}, which {other.name!r} and {layer.name!r} share. Call one "
                    "layer twice instead."
                )
