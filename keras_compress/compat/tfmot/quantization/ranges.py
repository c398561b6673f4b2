"""`fix_input_output_range` and `remove_input_range`."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.compat.tfmot.quantization.model import QuantizedModel
from keras_compress.engine.cloning import clone_layers, copy_model
from keras_compress.errors import KerasCompressError
from keras_compress.quantization import FakeQuantize
from keras_compress.quantization.graph import FlatGraph, flat_graph


def fix_input_output_range(
    model: keras.Model,
    num_bits: int = 8,
    input_min: float = 0.0,
    input_max: float = 1.0,
    output_min: float = 0.0,
    output_max: float = 1.0,
    narrow_range: bool = False,
) -> keras.Model:
    """Return a copy of a quantized model with these ranges of inputs and results.

    Args:
        model: A model from `quantize_apply`.
        num_bits: Bits of a value: 8. Defaults to `8`.
        input_min: Lower end of the inputs' range. Defaults to `0.0`.
        input_max: Its upper end. Defaults to `1.0`.
        output_min: Lower end of the results' range. Defaults to `0.0`.
        output_max: Its upper end. Defaults to `1.0`.
        narrow_range: Whether the lowest integer is left out, which it isn't on the device.
            Defaults to `False`.

    Raises:
        KerasCompressError: A `ValueError`, if the model isn't quantized, or for other bits.
    """
    if num_bits != 8 or narrow_range:
        raise KerasCompressError(
            "Inputs and results have 8 bits and the whole range. "
            f"Received: num_bits={num_bits!r}, narrow_range={narrow_range!r}."
        )
    graph = _graph_of(model)
    ends: dict[str, tuple[float, float]] = {}
    for call in graph.calls:
        if isinstance(call.layer, FakeQuantize) and graph.is_output(call.results[0]):
            ends[call.layer.name] = (output_min, output_max)
        if _is_of_input(graph, call):
            ends[call.layer.name] = (input_min, input_max)

    def put(copy: Any) -> keras.Layer:
        if copy.name not in ends:
            return copy
        return FakeQuantize.from_config({**copy.get_config(), "fixed_range": ends[copy.name]})

    return clone_layers(model, put, lambda: None)


def remove_input_range(model: keras.Model) -> keras.Model:
    """Return a copy of a quantized model whose inputs are not quantized.

    Args:
        model: A model from `quantize_apply`.

    Raises:
        KerasCompressError: A `ValueError`, if the model isn't quantized.
    """
    graph = _graph_of(model)
    made: dict[int, Any] = {id(x): x for x in keras.tree.flatten(graph.inputs)}
    for call in graph.calls:
        args, kwargs = keras.tree.map_structure(
            lambda x: made.get(id(x), x), (call.args, call.kwargs)
        )
        if _is_of_input(graph, call):
            results = [args[0], None]
        else:
            results = keras.tree.flatten(call.layer(*args, **kwargs))
        for old, new in zip(call.results, results, strict=True):
            made[id(old)] = new
    outputs = keras.tree.map_structure(lambda x: made[id(x)], graph.outputs)
    return QuantizedModel(graph.inputs, outputs, name=model.name)


def _graph_of(model: keras.Model) -> FlatGraph:
    if not isinstance(model, QuantizedModel):
        raise KerasCompressError(
            "`model` should be already quantized. "
            f"Received: {model!r}, which isn't from `quantize_apply` or `quantize_model`."
        )
    return flat_graph(copy_model(model))


def _is_of_input(graph: FlatGraph, call: Any) -> bool:
    if not isinstance(call.layer, FakeQuantize):
        return False
    return any(call.inputs[0] is tensor for tensor in keras.tree.flatten(graph.inputs))
