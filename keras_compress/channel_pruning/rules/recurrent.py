"""Units and filters of recurrent layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from keras import layers

from keras_compress.channel_pruning.call import LayerCall, NotUnderstoodError
from keras_compress.channel_pruning.coupling import Labels
from keras_compress.channel_pruning.registry import register_rule
from keras_compress.channel_pruning.rules.activations import is_elementwise

if TYPE_CHECKING:
    import keras

__all__ = ["bidirectional", "convolutional_recurrent", "recurrent"]

_PLAIN = (layers.SimpleRNN, layers.GRU, layers.LSTM)


@register_rule(*_PLAIN)
def recurrent(call: LayerCall) -> Any:
    """A kernel `(inputs, gates * units)` and a recurrent one `(units, gates * units)`."""
    if len(call.inputs) > 1:
        raise NotUnderstoodError("it is given a state to begin with")
    units = _units(call, call.layer, "channels")
    call.count("units", units)
    # The states, where they are returned, have the units, too.
    return [call.along(-1, units, index) for index in range(len(call.output_shapes))]


@register_rule(layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D)
def convolutional_recurrent(call: LayerCall) -> Any:
    """A kernel `(..., inputs, 4 * filters)` and a recurrent one `(..., filters, 4 * filters)`."""
    if len(call.inputs) > 1:
        raise NotUnderstoodError("it is given a state to begin with")
    first = call.layer.data_format == "channels_first"
    axis = 1 if first else -1
    filters = _units(call, call.layer, "channels", axis)
    call.count("filters", filters)
    sides = len(call.layer.kernel_size)
    return [
        call.along(len(shape) - 1 - sides if first else -1, filters, index)
        for index, shape in enumerate(call.output_shapes)
    ]


@register_rule(layers.Bidirectional)
def bidirectional(call: LayerCall) -> Labels:
    """Two recurrent layers: a unit of one goes with that of the other."""
    wrapper = call.layer
    if len(call.inputs) > 1 or len(call.output_shapes) > 1 or wrapper.merge_mode is None:
        raise NotUnderstoodError("it is given a state, or returns several tensors")
    sides = [wrapper.forward_layer, wrapper.backward_layer]
    if any(type(side) not in _PLAIN for side in sides):
        raise NotUnderstoodError(f"{type(sides[0]).__name__} isn't known to the rules")
    ahead, back = (
        _units(call, side, name) for side, name in zip(sides, ("forward", "backward"), strict=True)
    )
    call.count(("layer", "config", "units"), ahead)
    call.count(("backward_layer", "config", "units"), back)
    # Concatenated ones, too, must be as many: Keras takes twice the units of the first.
    call.tie(ahead, back)
    if wrapper.merge_mode == "concat":
        return call.along(-1, np.concatenate([ahead, back]))
    return call.along(-1, ahead)


def _units(call: LayerCall, layer: keras.Layer, name: str, axis: int = -1) -> Labels:
    cell = layer.cell
    if not (is_elementwise(layer.activation) and _is_gate(layer)):
        raise NotUnderstoodError("one of its activations goes over all units, or isn't known")
    units = call.produce(cell.recurrent_kernel.shape[-2], name)
    # Blocks in a kernel, one behind the other: input, forget, candidate, output; and so on.
    gates = cell.kernel.shape[-1] // len(units)
    call.read(cell.kernel, -2, call.channels(axis))
    call.slice(cell.kernel, -1, np.tile(units, gates))
    call.read(cell.recurrent_kernel, -2, units)
    call.slice(cell.recurrent_kernel, -1, np.tile(units, gates))
    if cell.bias is not None:
        # A GRU that resets after the product has two biases, one above the other.
        call.slice(cell.bias, -1, np.tile(units, gates))
    return units


def _is_gate(layer: keras.Layer) -> bool:
    return is_elementwise(getattr(layer, "recurrent_activation", None))
