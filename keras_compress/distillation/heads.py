"""What a model's outputs are: probabilities of classes, of single units, or plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.distillation.label_losses import per_output, told_by

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

SOFTMAX, SIGMOID, LINEAR, UNKNOWN = "softmax", "sigmoid", "linear", "unknown"
#: A softmax along another axis than the last of the output.
SOFTMAX_ELSEWHERE = "softmax along another axis than the last"

HEADS = (SOFTMAX, SIGMOID, LINEAR, UNKNOWN, SOFTMAX_ELSEWHERE)

_INPUT = "the input itself"
_ACTIVATIONS = {
    keras.activations.softmax: SOFTMAX,
    keras.activations.sigmoid: SIGMOID,
    keras.activations.linear: LINEAR,
    # Logarithms of probabilities are logits: their softmax is the probabilities.
    keras.activations.log_softmax: LINEAR,
}
_layers = keras.layers
_WITH_ACTIVATION = (
    _layers.Dense,
    _layers.EinsumDense,
    _layers.Conv1D,
    _layers.Conv2D,
    _layers.Conv3D,
    _layers.Conv1DTranspose,
    _layers.Conv2DTranspose,
    _layers.Conv3DTranspose,
    _layers.DepthwiseConv1D,
    _layers.DepthwiseConv2D,
    _layers.SeparableConv1D,
    _layers.SeparableConv2D,
)
_LINEAR_LAYERS = (
    _layers.BatchNormalization,
    _layers.LayerNormalization,
    _layers.GroupNormalization,
    _layers.Rescaling,
)
# Means and copies of probabilities are probabilities; what moves the last axis is found by size.
_PASSING_LAYERS = (
    _layers.Identity,
    _layers.Dropout,
    _layers.SpatialDropout1D,
    _layers.SpatialDropout2D,
    _layers.SpatialDropout3D,
    _layers.ActivityRegularization,
    _layers.Masking,
    _layers.Reshape,
    _layers.Flatten,
    _layers.RepeatVector,
    _layers.Cropping1D,
    _layers.Cropping2D,
    _layers.Cropping3D,
    _layers.UpSampling1D,
    _layers.UpSampling2D,
    _layers.UpSampling3D,
    _layers.AveragePooling1D,
    _layers.AveragePooling2D,
    _layers.AveragePooling3D,
    _layers.GlobalAveragePooling1D,
    _layers.GlobalAveragePooling2D,
    _layers.GlobalAveragePooling3D,
)
# Operations have no public classes, but their names are those of `keras.ops`.
_PASSING_OPS = frozenset(
    {"Reshape", "Squeeze", "ExpandDims", "Cast", "Identity", "StopGradient", "Copy", "GetItem"}
)
_LINEAR_OPS = frozenset({"Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Negative"})


def heads_of(
    model: keras.Model, outputs: Tensor | None = None, *, by_loss: bool = True
) -> tuple[str, ...]:
    """Return for each output of `model`, flattened, one of `HEADS`.

    The graph is followed back from the output through what keeps probabilities what they are:
    reshapes, means, dropout, wrappers, nested models, operations.

    Args:
        model: A built model.
        outputs: Its outputs, where they are known otherwise than from the model, which may be
            subclassed. Defaults to `None`.
        by_loss: Whether to ask the loss that the model itself was compiled with, where the graph
            doesn't tell. Defaults to `True`.
    """
    known = getattr(model, "outputs", None)
    heads = _heads_in_graph(model) if known and getattr(model, "inputs", None) else None
    if outputs is None:
        outputs = list(known) if known else [None]
    flat = keras.tree.flatten(outputs)
    if heads is None or len(heads) != len(flat):
        heads = [UNKNOWN] * len(flat)
    if by_loss and getattr(model, "compiled", False) and model.loss is not None:
        losses = per_output(model.loss, outputs, getattr(model, "output_names", None))
        for i, (loss, output) in enumerate(zip(losses or (), flat, strict=False)):
            told = told_by(loss, None if output is None else output.shape[-1])
            if heads[i] == UNKNOWN and told.from_logits is not None:
                heads[i] = LINEAR if told.from_logits else str(told.kind)
    return tuple(heads)


def _heads_in_graph(model: keras.Model) -> list[str] | None:
    plain = keras.Model(list(model.inputs), list(model.outputs))
    try:
        config = plain.get_config()
    except Exception:  # whatever the `get_config` of a layer of the user's own raises
        return None
    graph = _Graph(plain, config)
    return [graph.head(*key) for key in config["output_layers"]]


class _Graph:
    def __init__(self, model: keras.Model, config: dict[str, Any]) -> None:
        self.operations = {operation.name: operation for operation in model.operations}
        self.calls = {each["name"]: each["inbound_nodes"] for each in config["layers"]}

    def head(self, name: str, call: int, place: int) -> str:
        operation = self.operations[name]
        if isinstance(operation, keras.layers.InputLayer):
            return _INPUT
        is_model = isinstance(operation, keras.Model)
        has_graph = is_model and bool(getattr(operation, "outputs", None))
        # The calls of a functional model are counted from the one that made it.
        first = int(has_graph and not isinstance(operation, keras.Sequential))
        parents = _histories(self.calls[name][call - first])
        if is_model:
            inner = _heads_in_graph(operation) if has_graph else None
            head = inner[place] if inner and place < len(inner) else UNKNOWN
            return self._passed(operation, parents) if head == _INPUT else head
        own = _own_head(operation)
        return own or self._passed(operation, parents)

    def _passed(self, operation: keras.Operation, parents: list[tuple[str, int, int]]) -> str:
        heads = {self.head(*key) for key in parents}
        if len(heads) != 1:
            return UNKNOWN
        (head,) = heads
        if _mixes(operation):
            kept = {LINEAR}
            if isinstance(operation, keras.layers.Concatenate):
                kept = {LINEAR, SIGMOID}
            elif isinstance(operation, keras.layers.Average):
                kept = {LINEAR, SIGMOID, SOFTMAX}
            return head if head in kept else UNKNOWN
        return SOFTMAX_ELSEWHERE if head == SOFTMAX and _moves_classes(operation) else head


def _own_head(operation: keras.Operation) -> str | None:
    """The head that an operation makes of anything, or `None` where its inputs' is handed on."""
    if isinstance(operation, keras.layers.Softmax):
        return _softmax_along(operation.axis, operation)
    if isinstance(operation, keras.layers.Activation):
        head = _ACTIVATIONS.get(operation.activation, UNKNOWN)
        return None if operation.activation is keras.activations.linear else head
    if isinstance(operation, _WITH_ACTIVATION):
        return _ACTIVATIONS.get(operation.activation, UNKNOWN)
    if isinstance(operation, keras.layers.Wrapper):
        return _own_head(operation.layer)
    if isinstance(operation, _LINEAR_LAYERS):
        return LINEAR
    if isinstance(operation, _PASSING_LAYERS) or _mixes(operation):
        return None
    if isinstance(operation, keras.layers.RNN):
        return UNKNOWN
    if isinstance(operation, keras.Layer):
        # A layer of the user's own: what it does last is likely the activation it shows.
        head = _ACTIVATIONS.get(getattr(operation, "activation", None), UNKNOWN)
        return UNKNOWN if head == LINEAR else head
    name = type(operation).__name__
    if name in _PASSING_OPS:
        return None
    if name == "Softmax":
        return _softmax_along(operation.axis, operation)
    return {"Sigmoid": SIGMOID, "LogSoftmax": LINEAR}.get(name, UNKNOWN)


def _mixes(operation: keras.Operation) -> bool:
    layers = keras.layers
    if isinstance(operation, layers.Add | layers.Subtract | layers.Average | layers.Concatenate):
        return True
    return not isinstance(operation, keras.Layer) and type(operation).__name__ in _LINEAR_OPS


def _softmax_along(axis: Any, operation: keras.Operation) -> str:
    rank = len(keras.tree.flatten(operation.output)[0].shape)
    axes = [axis] if isinstance(axis, int) else list(axis or ())
    return SOFTMAX if axes in ([-1], [rank - 1]) else SOFTMAX_ELSEWHERE


def _moves_classes(operation: keras.Operation) -> bool:
    sizes = [
        [tensor.shape[-1] for tensor in keras.tree.flatten(each)]
        for each in (operation.input, operation.output)
    ]
    return math.prod(map(len, sizes)) != 1 or sizes[0] != sizes[1]


def _histories(call: object) -> list[tuple[str, int, int]]:
    """The tensors among the serialized arguments of a call, as `(operation, call, place)`."""
    if isinstance(call, dict) and call.get("class_name") == "__keras_tensor__":
        return [tuple(call["config"]["keras_history"])]
    if isinstance(call, dict):
        return [key for value in call.values() for key in _histories(value)]
    if isinstance(call, Sequence) and not isinstance(call, str):
        return [key for value in call for key in _histories(value)]
    return []
