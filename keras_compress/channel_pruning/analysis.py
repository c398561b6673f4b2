"""Carries labels through the graph of a model, by the rules, and finds what goes together."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.channel_pruning import rules  # noqa: F401 (registers the rules)
from keras_compress.channel_pruning.call import LayerCall, LayerRecord, NotUnderstoodError
from keras_compress.channel_pruning.coupling import Components, Coupling, Labels
from keras_compress.channel_pruning.registry import rule_of
from keras_compress.engine.graph import Graph, GraphNode, trace_graph

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["Analysis", "analyze"]


class Analysis:
    """What is known of the channels of a model.

    Attributes:
        graph: The graph of the model.
        records: What the rules said about each operation, by its `id`.
        components: Which labels go together, and why some have to stay.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.records: dict[int, LayerRecord] = {}
        self._coupling = Coupling()
        self._labels: dict[int, Labels] = {}
        self._holders = _holders(graph)
        self._opaque: dict[int, str] = {}
        for x in keras.tree.flatten(graph.inputs):
            self._labels[id(x)] = self._constant(x, "it is an input of the model")
        self._run(graph)
        for x in keras.tree.flatten(graph.outputs):
            self._coupling.freeze(self.labels(x), "it is an output of the model")
        self.components: Components = self._coupling.components()

    def opaque(self, record: LayerRecord) -> str | None:
        """Return why an operation isn't understood, if it isn't."""
        return self._opaque.get(id(record.operation))

    def labels(self, tensor: Tensor) -> Labels:
        """Return the labels of a symbolic tensor of the graph."""
        return self._labels[id(tensor)]

    def dimensions(self, tensor: Tensor, keep: np.ndarray) -> tuple[int | None, ...]:
        """Return the shape of a tensor once only the labels in `keep` are left, batch first."""
        labels = self.labels(tensor)
        sizes = list(tensor.shape)
        for axis, size in enumerate(labels.shape):
            if size > 1:
                moved = np.moveaxis(labels, axis, 0).reshape(size, -1)
                sizes[axis + 1] = int(keep[moved[:, 0]].sum())
        return tuple(sizes)

    def tensors(self) -> list[Any]:
        """Return the symbolic tensors of all graphs, each once."""
        found: dict[int, Any] = {}
        for graph in self.graph.graphs():
            for x in keras.tree.flatten(graph.inputs):
                found[id(x)] = x
            for node in graph.nodes:
                found.update((id(x), x) for x in node.outputs)
        return list(found.values())

    def _constant(self, tensor: Tensor, reason: str) -> Labels:
        label = self._coupling.fresh(1)
        self._coupling.freeze(label, reason)
        return label.reshape([1] * (len(tensor.shape) - 1))

    def _run(self, graph: Graph) -> None:
        for node in graph.nodes:
            if node.inner is not None:
                for outer, x in zip(
                    node.inputs, keras.tree.flatten(node.inner.inputs), strict=True
                ):
                    self._set(x, self.labels(outer))
                self._run(node.inner)
                inner = keras.tree.flatten(node.inner.outputs)
                for x, outer in zip(inner, node.outputs, strict=True):
                    self._set(outer, self.labels(x))
                continue
            for x, labels in zip(node.outputs, self._call(node), strict=True):
                self._set(x, labels)

    def _set(self, tensor: Tensor, labels: Labels) -> None:
        labels = self._coupling.one_axis(labels)
        # A model that is called twice has one graph: what goes in each call goes in both.
        if id(tensor) in self._labels:
            self._coupling.tie(self._labels[id(tensor)], labels)
            if labels.size <= self._labels[id(tensor)].size:
                return
        self._labels[id(tensor)] = labels

    def _call(self, node: GraphNode) -> list[Labels]:
        operation = node.operation
        inputs = [self.labels(x) for x in node.inputs]
        record = self.records.setdefault(id(operation), LayerRecord(operation, node.path))
        try:
            if id(operation) in self._opaque:
                raise NotUnderstoodError(self._opaque[id(operation)])
            self._require_plain(operation)
            rule = rule_of(operation)
            if rule is None:
                raise NotUnderstoodError(f"{type(operation).__name__} isn't known to the rules")
            call = LayerCall(node, inputs, record, self._coupling)
            found = _ruled(rule, call)
            call.commit()
            return [np.asarray(x) for x in (found if isinstance(found, list) else [found])]
        except NotUnderstoodError as error:
            return self._left_whole(node, inputs, record, str(error))

    def _left_whole(
        self, node: GraphNode, inputs: list[Labels], record: LayerRecord, why: str
    ) -> list[Labels]:
        """Freeze what an operation reads and makes."""
        reason = f"{node.path}: {why}"
        self._opaque[id(node.operation)] = why
        for labels in inputs:
            self._coupling.freeze(labels, reason)
        # Of a shared layer earlier calls may have been understood.
        for each in record.slices:
            self._coupling.freeze(each.labels, reason)
        for labels in record.produced.values():
            self._coupling.freeze(labels, reason)
        return [self._constant(x, reason) for x in node.outputs]

    def _require_plain(self, operation: keras.Operation) -> None:
        """Raise if the layer isn't what its class says."""
        if not isinstance(operation, keras.Layer):
            return
        if getattr(operation, "quantization_mode", None) is not None:
            raise NotUnderstoodError("it is quantized")
        if getattr(operation, "lora_enabled", False):
            raise NotUnderstoodError("it has LoRA weights")
        if self._holders.get(id(operation)):
            raise NotUnderstoodError(f"it shares weights with {self._holders[id(operation)]!r}")
        for name, value in vars(operation).items():
            # Keras wraps these two in each layer.
            own = inspect.isfunction(value) and name not in ("build", "quantize")
            if own and not str(value.__module__).startswith("keras."):
                raise NotUnderstoodError(f"its {name} is a function that isn't Keras' own")


def _ruled(rule: Any, call: LayerCall) -> Any:
    """Return what a rule says; where one of ours fails on odd settings, nothing is understood."""
    if not type(call.layer).__module__.startswith("keras."):
        return rule(call)
    try:
        return rule(call)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise NotUnderstoodError(f"its settings aren't known to the rules ({error})") from error


def _holders(graph: Graph) -> dict[int, str]:
    """Return, by the `id` of a layer, the name of another one that holds one of its variables."""
    first: dict[int, Any] = {}
    found: dict[int, str] = {}
    for calls in graph.calls().values():
        layer = calls[0].operation
        for variable in getattr(layer, "variables", ()):
            other = first.setdefault(id(variable), layer)
            if other is not layer:
                found[id(layer)] = other.name
                found[id(other)] = layer.name
    return found


def analyze(model: keras.Model) -> Analysis:
    """Return what is known of the channels of `model`; it stays as it is.

    Raises:
        KerasCompressError: If the graph of the model is unknown.
    """
    return Analysis(trace_graph(model))
