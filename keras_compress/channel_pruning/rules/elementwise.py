"""What treats each element alone, and what merges tensors element by element."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_compress.channel_pruning.call import LayerCall, NotUnderstoodError
from keras_compress.channel_pruning.coupling import Labels
from keras_compress.channel_pruning.registry import operation_rule, register_rule
from keras_compress.channel_pruning.rules.activations import is_elementwise

__all__ = ["elementwise", "merge"]


@register_rule(
    layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D,
    layers.GaussianNoise, layers.GaussianDropout, layers.AlphaDropout, layers.Identity,
    layers.ActivityRegularization, layers.ReLU, layers.LeakyReLU, layers.ELU, "StochasticDepth",
)  # fmt: skip
@operation_rule(
    "Relu", "Relu6", "Sigmoid", "Silu", "HardSigmoid", "HardSilu", "Tanh", "Gelu", "LeakyRelu",
    "Elu", "Selu", "Celu", "Softplus", "Softsign", "SoftShrink", "HardShrink", "TanhShrink",
    "HardTanh", "LogSigmoid", "Mish", "Squareplus", "Threshold", "SparseSigmoid", "SparsePlus",
    "Abs", "Absolute", "Exp", "Expm1", "Log", "Log1p", "Square", "Sqrt", "Rsqrt", "Cbrt", "Sign",
    "Negative", "Reciprocal", "Round", "Floor", "Ceil", "Clip", "Cast", "StopGradient", "Copy",
    "Erf", "Sin", "Cos", "Identity",
)  # fmt: skip
def elementwise(call: LayerCall) -> Labels:
    """Each element by itself."""
    return call.inputs[0]


@register_rule(layers.Activation)
def activation(call: LayerCall) -> Labels:
    """A function of the user's choice."""
    if not is_elementwise(call.layer.activation):
        name = getattr(call.layer.activation, "__name__", call.layer.activation)
        raise NotUnderstoodError(f"{name} goes over all channels, or isn't known")
    return call.inputs[0]


@register_rule(layers.Softmax)
@operation_rule("Softmax", "LogSoftmax", "Sparsemax", "Normalize")
def softmax(call: LayerCall) -> Labels:
    """Goes over an axis, by default the last."""
    axis = call.layer.axis
    for each in axis if isinstance(axis, list | tuple) else [axis]:
        place = each + call.rank if each < 0 else each - 1
        if not 0 <= place < call.rank or call.inputs[0].shape[place] > 1:
            raise NotUnderstoodError(f"{type(call.layer).__name__} goes over all channels")
    return call.inputs[0]


@register_rule(layers.PReLU)
def prelu(call: LayerCall) -> Labels:
    """A slope for each channel, or for each place, too."""
    labels, alpha = call.inputs[0], call.layer.alpha
    for axis in range(labels.ndim):
        if labels.shape[axis] > 1 and alpha.shape[axis] > 1:
            call.slice(alpha, axis, call.channels(axis))
    return labels


@register_rule(
    layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum,
    "CustomScaleLayer",
)  # fmt: skip
@operation_rule(
    "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "DivideNoNan", "Maximum", "Minimum",
    "Power", "Where", "Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual",
    "LogicalAnd", "LogicalOr", "Arctan2", "Mod", "FloorDivide", "SquaredDifference",
)  # fmt: skip
def merge(call: LayerCall) -> Labels:
    """Tensors and constants, broadcast to one shape."""
    shape = call.output_shapes[0]
    if any(len(each) != len(shape) for each in call.input_shapes):
        raise NotUnderstoodError("it broadcasts tensors of different ranks")
    varying = [max(labels.shape[a] for labels in call.inputs) for a in range(len(shape))]
    merged: Labels | None = None
    for labels, own in zip(call.inputs, call.input_shapes, strict=True):
        # What is one map for all channels, as a spatial attention, goes with none of them.
        if any(own[a] == 1 and varying[a] > 1 for a in range(len(shape))):
            call.freeze(labels, "it is spread over all channels of another tensor")
            continue
        spread = np.broadcast_to(labels, varying)
        if merged is None:
            merged = spread
        else:
            call.tie(merged, spread)
    if merged is None:
        raise NotUnderstoodError("its channels run along several axes")
    _cut_constants(call, merged)
    return merged


def _cut_constants(call: LayerCall, merged: Labels) -> None:
    places: list[tuple[int | str, Any]] = [*enumerate(call.args), *call.kwargs.items()]
    for place, value in places:
        if isinstance(value, keras.Variable):
            raise NotUnderstoodError("it reads a weight that no layer is asked for")
        # Layers take their inputs in a list; constants stand alone, in operations.
        is_input = isinstance(value, keras.KerasTensor | list | tuple | dict | str) or value is None
        if is_input or isinstance(value, bool):
            continue
        constant = keras.ops.convert_to_numpy(value)
        if constant.ndim > merged.ndim:
            raise NotUnderstoodError("it reads a constant with an axis for the batch")
        for axis in range(-constant.ndim, 0):
            if constant.shape[axis] > 1 and merged.shape[axis] > 1:
                labels = merged.reshape(-1)
                if labels.size != merged.shape[axis]:
                    raise NotUnderstoodError("its channels run along several axes")
                call.argument(place, _kept_part(constant, axis, labels))


def _kept_part(constant: np.ndarray, axis: int, labels: Labels) -> Any:
    return lambda keep: np.compress(keep[labels], constant, axis)
