"""The calls that a functional model is made of, in order, with models in it taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.engine.graph import Graph, trace_graph
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

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

    layer: keras.Layer
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: Tensor

    @property
    def inputs(self) -> list[keras.KerasTensor]:
        """The symbolic tensors among the arguments."""
        leaves = keras.tree.flatten((self.args, self.kwargs))
        return [x for x in leaves if isinstance(x, keras.KerasTensor)]

    @property
    def results(self) -> list[keras.KerasTensor]:
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

    inputs: Tensor
    outputs: Tensor
    calls: tuple[Call, ...]

    def consumers(self) -> dict[int, list[Call]]:
        """Return the calls that take each symbolic tensor, by its `id`."""
        found: dict[int, list[Call]] = {}
        for call in self.calls:
            for tensor in {id(x): x for x in call.inputs}.values():
                found.setdefault(id(tensor), []).append(call)
        return found

    def is_output(self, tensor: Tensor) -> bool:
        """Whether a symbolic tensor is a result of the model."""
        return any(tensor is output for output in keras.tree.flatten(self.outputs))


def flat_graph(model: keras.Model) -> FlatGraph:
    """Return the calls of a model, whose layers are called once more: give a copy.

    Args:
        model: A built Sequential or functional model, nested or not.

    Raises:
        KerasCompressError: If a model in it is called with more than its inputs.
    """
    calls: list[Call] = []
    graph = trace_graph(model)
    names = iter(name for name, _ in graph.names)
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=next(names)), graph.inputs
    )
    outputs = _run(graph, inputs, calls)
    if isinstance(model, keras.Sequential):
        inputs, outputs = keras.tree.flatten(inputs)[0], keras.tree.flatten(outputs)[0]
    return FlatGraph(inputs, outputs, tuple(calls))


def _run(graph: Graph, inputs: Tensor, calls: list[Call]) -> Any:
    """Call what `graph` calls, on `inputs`; return its results and add to `calls`."""
    given, flat = keras.tree.flatten(inputs), keras.tree.flatten(graph.inputs)
    made = dict(zip(map(id, flat), given, strict=True))
    for node in graph.nodes:
        args, kwargs = keras.tree.map_structure(
            lambda x: made.get(id(x), x), (node.args, node.kwargs)
        )
        if node.inner is not None:
            if len(args) != 1 or any(isinstance(x, keras.KerasTensor) for x in kwargs.values()):
                raise KerasCompressError(
                    "A model within a model is taken apart where it is called with its inputs "
                    f"alone. Received: {node.operation.name!r}, called with further arguments. "
                    "Write its layers into the outer model."
                )
            outputs = _run(node.inner, args[0], calls)
        else:
            kwargs = {key: v for key, v in kwargs.items() if key not in ("training", "mask")}
            outputs = node.operation(*args, **kwargs)
            calls.append(Call(node.operation, args, kwargs, outputs))
        results = keras.tree.flatten(outputs)
        made.update(zip(map(id, node.outputs), results, strict=True))
    return keras.tree.map_structure(lambda x: made[id(x)], graph.outputs)
