"""The calls that a functional model is made of, in order, with models in it taken apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_compress.errors import KerasCompressError

__all__ = ["Call", "FlatGraph", "flat_graph"]


@dataclass(frozen=True)
class Call:
    """One call of a layer or operation.

    Attributes:
        layer: What is called.
        args: Its positional arguments, with symbolic tensors in them.
        kwargs: Its keyword arguments.
        outputs: What it returned: a symbolic tensor, or several.
    """

    layer: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: Any

    @property
    def inputs(self) -> list[Any]:
        """The symbolic tensors among the arguments."""
        leaves = keras.tree.flatten((self.args, self.kwargs))
        return [x for x in leaves if isinstance(x, keras.KerasTensor)]

    @property
    def results(self) -> list[Any]:
        """The symbolic tensors that were returned."""
        return [x for x in keras.tree.flatten(self.outputs) if isinstance(x, keras.KerasTensor)]


@dataclass(frozen=True)
class FlatGraph:
    """A model without models in it.

    Attributes:
        inputs: The symbolic inputs, in the structure of the model's.
        outputs: The symbolic outputs, in the structure of the model's.
        calls: The calls, each after those whose results it takes.
    """

    inputs: Any
    outputs: Any
    calls: tuple[Call, ...]

    def consumers(self) -> dict[int, list[Call]]:
        """Return the calls that take each symbolic tensor, by its `id`."""
        found: dict[int, list[Call]] = {}
        for call in self.calls:
            for tensor in {id(x): x for x in call.inputs}.values():
                found.setdefault(id(tensor), []).append(call)
        return found

    def is_output(self, tensor: Any) -> bool:
        """Whether a symbolic tensor is a result of the model."""
        return any(tensor is output for output in keras.tree.flatten(self.outputs))


def flat_graph(model: Any) -> FlatGraph:
    """Return the calls of a model, whose layers are called once more: give a copy.

    Args:
        model: A built Sequential or functional model, nested or not.

    Raises:
        KerasCompressError: If a model in it is called with more than its inputs.
    """
    calls: list[Call] = []

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_graph(layer):
            if len(args) != 1 or any(isinstance(x, keras.KerasTensor) for x in kwargs.values()):
                raise KerasCompressError(
                    "A model within a model is taken apart where it is called with its inputs "
                    f"alone. Received: {layer.name!r}, called with further arguments. Write its "
                    "layers into the outer model."
                )
            return _traced(layer, args[0], call)
        kwargs = {key: value for key, value in kwargs.items() if key not in ("training", "mask")}
        outputs = layer(*args, **kwargs)
        calls.append(Call(layer, args, kwargs, outputs))
        return outputs

    names = _input_names(model)
    structure = model.inputs if isinstance(model, keras.Sequential) else model.input
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=names[id(x)]), structure
    )
    if isinstance(model, keras.Sequential):
        inputs = inputs[0]
    return FlatGraph(inputs, _traced(model, inputs, call), tuple(calls))


def _traced(model: Any, inputs: Any, call: Callable[..., Any]) -> Any:
    sequential = isinstance(model, keras.Sequential)
    # Sequential models aren't cloned call by call; a functional one of the same graph is.
    plain = keras.Model(
        model.inputs if sequential else model.input,
        model.outputs[0] if sequential else model.output,
    )
    given = [inputs] if sequential else inputs
    copy = keras.models.clone_model(
        plain,
        input_tensors=given,
        clone_function=lambda layer: layer,
        call_function=call,
    )
    return copy.output


def _is_graph(layer: Any) -> bool:
    return isinstance(layer, keras.Model) and bool(getattr(layer, "outputs", None))


def _input_names(model: Any) -> dict[int, str]:
    functional = keras.Model(model.inputs, model.outputs)
    return {
        id(layer.output): layer.name
        for layer in functional.layers
        if isinstance(layer, keras.layers.InputLayer)
    }
