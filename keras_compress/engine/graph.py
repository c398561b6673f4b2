"""The graph of a Sequential or functional model, read by Keras' public means.

What a layer reads is known to Keras' own graph alone, which has no public face. Copying a model
has one: `clone_model` asks for each operation what shall stand for it, and calls it. Here what
stands for an operation computes nothing and writes down how it was called.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["Graph", "GraphNode", "has_graph", "require_graph", "trace_graph"]


@dataclass(frozen=True, eq=False)
class GraphNode:
    """One call of one operation.

    Attributes:
        operation: The layer, the operation of `keras.ops`, or the nested model.
        path: Names of the nested models the call lies in and of the operation, joined by `/`.
        args: Positional arguments; symbolic tensors among them are those of the `Graph`.
        kwargs: Arguments by name, likewise.
        inputs: The symbolic tensors among both, flat.
        outputs: The symbolic tensors that the call returns, flat.
        inner: The graph of `operation` if that is a nested model, else `None`. One for all calls.
    """

    operation: keras.Operation
    path: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    inner: Graph | None = None


@dataclass(frozen=True, eq=False)
class Graph:
    """Who reads what in a model.

    Tensors are symbolic: they have a shape, with the batch first, and a dtype, and are told apart
    by identity.

    Attributes:
        model: The model.
        inputs: What it takes, in the structure it takes it.
        outputs: What it returns, in the structure it returns it.
        names: Names of its input layers, flat, and whether each input is optional.
        nodes: The calls, in an order in which each comes after those it reads.
    """

    model: keras.Model
    inputs: Tensor
    outputs: Tensor
    names: tuple[tuple[str, bool], ...]
    nodes: tuple[GraphNode, ...]
    _readers: dict[int, list[GraphNode]] = field(default_factory=dict, repr=False)

    def readers(self, tensor: Tensor) -> tuple[GraphNode, ...]:
        """Return the nodes that read `tensor`, nested models as one node."""
        if not self._readers:
            for node in self.nodes:
                for each in {id(x): x for x in node.inputs}.values():
                    self._readers.setdefault(id(each), []).append(node)
        return tuple(self._readers.get(id(tensor), ()))

    def walk(self) -> Iterator[GraphNode]:
        """Yield the nodes of this graph and, once each, of the models nested in it."""
        seen: set[int] = set()
        for graph in self.graphs():
            for node in graph.nodes:
                if node.inner is None and id(node) not in seen:
                    seen.add(id(node))
                    yield node

    def graphs(self) -> list[Graph]:
        """Return this graph and those of the models nested in it, each once."""
        found: dict[int, Graph] = {id(self): self}
        for node in self.nodes:
            if node.inner is not None:
                found.update((id(graph), graph) for graph in node.inner.graphs())
        return list(found.values())

    def calls(self) -> dict[int, list[GraphNode]]:
        """Return the nodes of each operation, by its `id`; a shared layer has several."""
        found: dict[int, list[GraphNode]] = {}
        for node in self.walk():
            found.setdefault(id(node.operation), []).append(node)
        return found

    def runs(self) -> dict[int, int]:
        """Return how often each node of `walk` runs, by its `id`: once a call of its models."""
        found: dict[int, int] = {}

        def count(of: Graph) -> None:
            for node in of.nodes:
                if node.inner is not None:
                    count(node.inner)
                else:
                    found[id(node)] = found.get(id(node), 0) + 1

        count(self)
        return found


def has_graph(model: keras.Model) -> bool:
    """Whether `model` is Sequential or functional and built, so that its graph is known."""
    return (
        isinstance(model, keras.Model)
        and bool(getattr(model, "inputs", None))
        and bool(getattr(model, "outputs", None))
    )


def require_graph(model: keras.Model, doing: str) -> None:
    """Raise unless the graph of `model` is known.

    Args:
        model: What was handed over.
        doing: What it is needed for, to begin the message with.

    Raises:
        KerasCompressError: If it is no model, unbuilt or subclassed.
    """
    if has_graph(model):
        return
    if not isinstance(model, keras.Model):
        received = f"{model!r} of type {type(model).__name__}"
        remedy = "Pass a `keras.Model`"
    elif isinstance(model, keras.Sequential) or not model.built:
        received = f"{model.name!r}, which isn't built"
        remedy = "Begin the model with a `keras.Input`, or call it once on data"
    else:
        received = f"{model.name!r}, a subclassed {type(model).__name__}, whose graph is unknown"
        remedy = (
            "Write its `call` as a function of a `keras.Input` and make a model of both: "
            "`keras.Model(x, model.call(x))`"
        )
    raise KerasCompressError(
        f"{doing} needs a built Sequential or functional model. Received: {received}. {remedy}."
    )


def trace_graph(model: keras.Model) -> Graph:
    """Return the graph of `model`; it stays as it is.

    Args:
        model: A built Sequential or functional model, nested or not.

    Raises:
        KerasCompressError: If the graph of the model is unknown.
    """
    require_graph(model, "Reading a graph")
    return _Tracer().trace(model, "")


class _Tracer:
    """Traces a model and the models nested in it, each once."""

    def __init__(self) -> None:
        self._graphs: dict[int, Graph] = {}

    def trace(self, model: keras.Model, prefix: str) -> Graph:
        if id(model) in self._graphs:
            return self._graphs[id(model)]
        nodes: list[GraphNode] = []

        def call(stand: _Stand, *args: Any, **kwargs: Any) -> Tensor:
            operation = stand.operation
            outputs = _Recorded(operation, args, kwargs)(
                *(x for x in keras.tree.flatten((args, kwargs)) if _is_symbolic(x))
            )
            path = f"{prefix}{operation.name}"
            inner = self.trace(operation, f"{path}/") if has_graph(operation) else None
            nodes.append(
                GraphNode(
                    operation,
                    path,
                    args,
                    kwargs,
                    tuple(x for x in keras.tree.flatten((args, kwargs)) if _is_symbolic(x)),
                    tuple(keras.tree.flatten(outputs)),
                    inner,
                )
            )
            return outputs

        sequential = isinstance(model, keras.Sequential)
        # Neither compiled nor of a class of its own, which Keras would make anew.
        plain = keras.Model(
            model.inputs if sequential else model.input,
            model.outputs if sequential else model.output,
        )
        traced = keras.models.clone_model(plain, clone_function=_Stand, call_function=call)
        # A Sequential model doesn't list its input layer; a functional one of the same graph does.
        layers = {
            id(layer.output): (layer.name, layer.optional)
            for layer in plain.layers
            if isinstance(layer, keras.layers.InputLayer)
        }
        names = tuple(layers[id(x)] for x in plain.inputs)
        graph = Graph(model, traced.input, traced.output, names, tuple(nodes))
        self._graphs[id(model)] = graph
        return graph


class _Stand:
    """Stands for an operation until it is called."""

    def __init__(self, operation: keras.Operation) -> None:
        self.operation = operation


class _Recorded(keras.Operation):
    """Returns symbolic tensors like those that a call returned when the model was made."""

    def __init__(self, operation: keras.Operation, args: object, kwargs: object) -> None:
        super().__init__()
        self._specs = keras.tree.map_structure(
            lambda x: keras.KerasTensor(x.shape, x.dtype, sparse=x.sparse),
            _outputs_of(operation, args, kwargs),
        )

    def compute_output_spec(self, *tensors: Any) -> Any:
        return self._specs

    def call(self, *tensors: Any) -> Any:
        raise NotImplementedError


def _outputs_of(operation: keras.Operation, args: Any, kwargs: Any) -> Any:
    """Return symbolic tensors of the shapes that a call returns."""
    given = [(x.shape, x.dtype) for x in keras.tree.flatten((args, kwargs)) if _is_symbolic(x)]
    # The first call is remembered; working out what another one returns takes a trace of it.
    try:
        first = [(x.shape, x.dtype) for x in keras.tree.flatten(operation.input)]
        if first == given:
            return operation.output
    except (AttributeError, ValueError):
        pass
    return operation.compute_output_spec(*args, **kwargs)


def _is_symbolic(value: Tensor) -> bool:
    return isinstance(value, keras.KerasTensor)
