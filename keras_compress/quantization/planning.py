"""How the calls of a model become operators on integers: what is fused, which ranges are one.

The rules are those by which TFLite's converter quantizes a graph: a ReLU belongs to the operator
before it and has the only range of both; what only moves values passes the range of its input on;
what is concatenated has one range; a softmax, a sigmoid and a tanh have ranges of their own. What
stays in float is not rounded, unless an operator on integers takes it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.errors import KerasCompressError
from keras_compress.quantization.activations import FIXED_RANGES, activation_name, fusable
from keras_compress.quantization.choosing import has_kernel
from keras_compress.quantization.decomposing import (
    call_again,
    call_on_pair,
    same,
    split_separable,
    unit_depthwise,
)
from keras_compress.quantization.graph import Call, FlatGraph
from keras_compress.quantization.kernel_operators import operator_of
from keras_compress.quantization.plan import Node, Plan, RangeGroup, Result

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["UnsupportedLayerError", "make_plan"]


class UnsupportedLayerError(KerasCompressError):
    """A layer has no operator on integers."""


_SAME_LAYERS = (
    keras.layers.MaxPooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Permute,
    keras.layers.ZeroPadding2D,
    keras.layers.Cropping2D,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.GaussianNoise,
    keras.layers.GaussianDropout,
    keras.layers.ActivityRegularization,
    keras.layers.Identity,
)
_OWN_LAYERS = (
    keras.layers.Add,
    keras.layers.Subtract,
    keras.layers.Multiply,
    keras.layers.GlobalAveragePooling2D,
)
_ARITHMETIC = ("Add", "Subtract", "Multiply")
_SAME_OPERATIONS = ("Reshape", "Transpose", "Squeeze", "ExpandDims", "MaxPool", "GetItem")


def make_plan(graph: FlatGraph, in_float: Collection[object] = ()) -> Plan:
    """Return how `graph` runs on integers.

    Args:
        graph: The graph.
        in_float: Layers of it that stay in float.

    Raises:
        UnsupportedLayerError: If it holds layers for which that isn't known; all are named.
        KerasCompressError: If an input isn't a float.
    """
    return _Planner(graph, in_float).plan()


class _Planner:
    def __init__(self, graph: FlatGraph, in_float: Collection[object]) -> None:
        self._graph = graph
        self._in_float = {id(layer) for layer in in_float}
        self._plan = Plan()
        self._consumers = graph.consumers()
        self._of_tensor: dict[int, Node] = {}
        self._fused: set[int] = set()
        self._refused: list[str] = []
        self._times: dict[int, int] = {}
        for call in graph.calls:
            self._times[id(call.layer)] = self._times.get(id(call.layer), 0) + 1

    def plan(self) -> Plan:
        for tensor in keras.tree.flatten(self._graph.inputs):
            if not keras.backend.is_float_dtype(tensor.dtype):
                raise KerasCompressError(
                    "Inputs must be floats to be quantized. Received: an input of "
                    f"{tensor.dtype}. Cast it before the model."
                )
            node = self._add(tensor.name, None, [], "none")
            node.is_float = True
            self._plan.inputs.append(node)
            self._of_tensor[id(tensor)] = node
        for call in self._graph.calls:
            if id(call) not in self._fused:
                self._take(call)
        if self._refused:
            raise UnsupportedLayerError(
                "Each layer must be one that the device runs on 8-bit integers. Received: "
                f"{'; '.join(self._refused)}. Replace these layers, or quantize after training "
                'by `exporter.convert(model, precision="int8", representative_data=...)`.'
            )
        for tensor in keras.tree.flatten(self._graph.outputs):
            self._plan.outputs.append(self._of_tensor[id(tensor)])
        return self._plan

    def _take(self, call: Call) -> None:
        if self._stays_float(call):
            self._keep_float(call)
            return
        reason = self._planned(call)
        if reason:
            self._refused.append(
                f"{call.layer.name!r} of type {type(call.layer).__name__} ({reason})"
            )
            # What follows is looked at too, so that all are named at once.
            for tensor in call.results:
                self._of_tensor[id(tensor)] = self._add(call.layer.name, None, [], "own")

    def _stays_float(self, call: Call) -> bool:
        layer, kind = call.layer, type(call.layer)
        if id(layer) in self._in_float:
            return True
        # What belongs to a layer in float, or moves its result, does too.
        nodes = [self._of_tensor[id(tensor)] for tensor in call.inputs]
        if len(nodes) != 1 or not nodes[0].is_float or nodes[0] in self._plan.inputs:
            return False
        normalizes = kind is keras.layers.BatchNormalization
        return normalizes or kind in _SAME_LAYERS or activation_name(layer) is not None

    def _keep_float(self, call: Call) -> None:
        if has_kernel(call.layer):
            self._plan.kernels.append(None)
        nodes = [self._of_tensor[id(tensor)] for tensor in call.inputs]
        if len(call.results) == 1:
            node = self._add(call.layer.name, call_again(call), nodes, "none")
            node.is_float = True
            self._of_tensor[id(call.results[0])] = node
            return
        self._refused.append(
            f"{call.layer.name!r} of type {type(call.layer).__name__} (it has several results)"
        )
        for tensor in call.results:
            self._of_tensor[id(tensor)] = self._add(call.layer.name, None, [], "own")

    def _planned(self, call: Call) -> str:
        """Add the nodes of `call`, or return why there are none."""
        layer, kind = call.layer, type(call.layer)
        name = kind.__name__
        is_layer = isinstance(layer, keras.Layer)
        if operator_of(layer) is not None:
            return self._kernel(call)
        if kind is keras.layers.SeparableConv2D:
            return self._separable(call)
        if kind is keras.layers.BatchNormalization:
            return self._lone_norm(call)
        if kind is keras.layers.Concatenate or (not is_layer and name == "Concatenate"):
            return self._concatenated(call)
        if kind in _SAME_LAYERS or (not is_layer and name in _SAME_OPERATIONS):
            return self._moved(call, "same")
        if not is_layer and name == "Split":
            return self._split(call)
        if kind is keras.layers.UpSampling2D:
            exact = layer.interpolation == "nearest"
            return self._moved(call, "same" if exact else "rounded")
        if kind is keras.layers.AveragePooling2D:
            return self._moved(call, "rounded")
        if kind in _OWN_LAYERS or (not is_layer and name in _ARITHMETIC):
            return self._arithmetic(call)
        function = activation_name(layer)
        if function is not None:
            node = self._activated(layer.name, function, self._node(call.inputs[0]), layer)
            self._of_tensor[id(call.results[0])] = node
            return ""
        if isinstance(layer, keras.Layer) and getattr(layer, "has_binary_kernel", False):
            return "binarized: it has no integers of 8 bits"
        return "no 8-bit operator is known for it"

    def _kernel(self, call: Call) -> str:
        layer = call.layer
        if len(call.inputs) != 1:
            return "it must have one input"
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            return "the device has channels last"
        if type(layer) is keras.layers.Dense and len(call.inputs[0].shape) != 2:
            return "the device takes vectors, of shape (batch, units)"
        function = activation_name(layer.activation)
        if function is None:
            return f"no 8-bit operator is known for its activation {_name_of(layer.activation)}"
        node = self._add(layer.name, None, [self._node(call.inputs[0])], "own", layer=layer)
        self._plan.kernels.append(node)
        node.activation = function if fusable(function) else "linear"
        return self._finish(call, node, function)

    def _finish(self, call: Call, node: Node, function: str) -> str:
        """Fold what follows a node with a kernel into it; `function` is its layer's activation."""
        tensor = call.results[0]
        if function == "linear" and self._times[id(call.layer)] == 1:
            after = self._only_consumer(tensor)
            if after is not None and self._folds(after, tensor):
                self._fused.add(id(after))
                node.norm, tensor = after.layer, after.results[0]
            tensor = self._fuse_activation(node, tensor)
        elif not fusable(function) and function != "linear":
            node = self._activated(node.name, function, node, None)
        self._of_tensor[id(tensor)] = node
        return ""

    def _folds(self, call: Call, tensor: Tensor) -> bool:
        layer = call.layer
        return (
            type(layer) is keras.layers.BatchNormalization
            and id(layer) not in self._in_float
            and self._times[id(layer)] == 1
            and layer.axis in (-1, len(tensor.shape) - 1)
        )

    def _fuse_activation(self, node: Node, tensor: Tensor) -> keras.KerasTensor:
        after = self._only_consumer(tensor)
        if after is None or id(after.layer) in self._in_float:
            return tensor
        function = activation_name(after.layer)
        if not fusable(function):
            return tensor
        self._fused.add(id(after))
        node.activation = str(function)
        return after.results[0]

    def _separable(self, call: Call) -> str:
        layer = call.layer
        if layer.data_format != "channels_last":
            return "the device has channels last"
        function = activation_name(layer.activation)
        if function is None:
            return f"no 8-bit operator is known for its activation {_name_of(layer.activation)}"
        if self._times[id(layer)] > 1:
            return "it is called more than once"
        depthwise, pointwise = split_separable(layer, call.inputs[0].shape)
        first = self._add(
            depthwise.name, None, [self._node(call.inputs[0])], "own", layer=depthwise
        )
        node = self._add(pointwise.name, None, [first], "own", layer=pointwise)
        self._plan.kernels.extend((first, node))
        node.activation = function if fusable(function) else "linear"
        return self._finish(call, node, function)

    def _lone_norm(self, call: Call) -> str:
        layer, tensor = call.layer, call.inputs[0]
        if len(tensor.shape) != 4 or layer.axis not in (-1, 3):
            return "it follows no convolution that it could be folded into"
        if self._times[id(layer)] > 1:
            return "it is called more than once"
        unit = unit_depthwise(layer, tensor.shape)
        node = self._add(layer.name, None, [self._node(tensor)], "own", layer=unit)
        node.norm = layer
        self._of_tensor[id(self._fuse_activation(node, call.results[0]))] = node
        return ""

    def _concatenated(self, call: Call) -> str:
        nodes = []
        group = RangeGroup(call.layer.name)
        for tensor in call.inputs:
            node = self._node(tensor)
            if node.group is None or node.group.root.fixed is not None:
                node = self._add(f"{node.name}_to_{call.layer.name}", same, [node], "own")
            nodes.append(node)
        for node in nodes:
            group.join(node.group.root)  # type: ignore[union-attr]
        self._of_tensor[id(call.results[0])] = self._add(
            call.layer.name, call_again(call), nodes, "same", group=group
        )
        return ""

    def _moved(self, call: Call, result: Result) -> str:
        if len(call.inputs) != 1 or len(call.results) != 1:
            return "it must have one input and one result"
        source = self._node(call.inputs[0])
        self._of_tensor[id(call.results[0])] = self._add(
            call.layer.name, call_again(call), [source], result, group=source.group
        )
        return ""

    def _split(self, call: Call) -> str:
        source, name = self._node(call.inputs[0]), call.layer.name
        parts = self._add(name, call_again(call), [source], "same", group=source.group)
        for place, tensor in enumerate(call.results):
            take = operator.itemgetter(place)
            self._of_tensor[id(tensor)] = self._add(
                f"{name}_{place}", take, [parts], "same", group=source.group
            )
        return ""

    def _arithmetic(self, call: Call) -> str:
        if type(call.layer) is keras.layers.GlobalAveragePooling2D:
            if call.layer.data_format != "channels_last":
                return "the device has channels last"
        elif len(call.inputs) < 2:
            return "both operands must be results of layers"
        elif len(call.inputs) > 2:
            return self._chained(call)
        nodes = [self._node(tensor) for tensor in call.inputs]
        node = self._add(call.layer.name, call_again(call), nodes, "own")
        if type(call.layer).__name__ == "Add":
            node.sum_of = nodes[0], nodes[1]
        self._with_activation(call, node)
        return ""

    def _chained(self, call: Call) -> str:
        # The device adds and multiplies two at a time, and rounds in between.
        kind = type(call.layer)
        if kind not in (keras.layers.Add, keras.layers.Multiply):
            return "it takes more than two inputs"
        nodes = [self._node(tensor) for tensor in call.inputs]
        node = nodes[0]
        for number, other in enumerate(nodes[1:], 1):
            last = number == len(nodes) - 1
            step = kind(name=call.layer.name if last else f"{call.layer.name}_{number}")
            terms = node, other
            node = self._add(step.name, call_on_pair(step), [node, other], "own")
            node.sum_of = terms if kind is keras.layers.Add else None
        self._with_activation(call, node)
        return ""

    def _with_activation(self, call: Call, node: Node) -> None:
        """Let a ReLU that alone follows `node` have the one range of both."""
        tensor = call.results[0]
        after = self._only_consumer(tensor)
        arithmetic = type(call.layer) is not keras.layers.GlobalAveragePooling2D
        if after is not None and id(after.layer) in self._in_float:
            after = None
        if arithmetic and after is not None and fusable(activation_name(after.layer)):
            node.result, node.group = "none", None
            self._fused.add(id(after))
            terms = node.sum_of
            node = self._add(after.layer.name, call_again(after), [node], "own")
            node.sum_of, tensor = terms, after.results[0]
        self._of_tensor[id(tensor)] = node

    def _activated(self, name: str, function: str, node: Node, layer: keras.Layer) -> Node:
        if function == "linear":
            return node
        own = layer if isinstance(layer, keras.Operation) else None
        if function == "silu":
            gate = self._apply(f"{name}_gate", "sigmoid", node, None)
            product = keras.layers.Multiply(name=f"{name}_product")
            return self._add(product.name, call_on_pair(product), [node, gate], "own")
        named = name if own is not None else f"{name}_{function}"
        return self._apply(named, function, node, own)

    def _apply(self, name: str, function: str, node: Node, layer: keras.Layer) -> Node:
        made = layer or keras.layers.Activation(function, name=name)
        fixed = FIXED_RANGES.get(function)
        group = RangeGroup(name, fixed)
        return self._add(name, made, [node], "fixed" if fixed else "own", group=group)

    def _only_consumer(self, tensor: Tensor) -> Call | None:
        found = self._consumers.get(id(tensor), [])
        if len(found) != 1 or self._graph.is_output(tensor):
            return None
        return found[0]

    def _node(self, tensor: Tensor) -> Node:
        """Return the node of a tensor that an operator on integers takes."""
        node = self._of_tensor[id(tensor)]
        node.take_range()
        return node

    def _add(
        self,
        name: str,
        make: Callable[..., Any] | None,
        inputs: list[Node],
        result: Result,
        *,
        group: RangeGroup | None = None,
        layer: keras.Layer | None = None,
    ) -> Node:
        if group is None and result != "none":
            group = RangeGroup(name)
        node = Node(name, make, inputs, result, group, layer)
        self._plan.nodes.append(node)
        return node


def _name_of(function: object) -> str:
    return str(getattr(function, "__name__", function))
