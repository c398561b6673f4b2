"""Permutes the channels of hidden layers into the order in which their weights pack smallest.

A hidden unit may stand anywhere in its layer, as long as the layer behind reads it from there. Of
a sparse net the packer codes each row of weights by the row above it, so units that look at the
same inputs should be neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from keras_compress.errors import ExportError
from keras_compress.exporter.similarity_order import similarity_order

if TYPE_CHECKING:
    import keras

    from keras_compress.tensor import Tensor

__all__ = ["ChannelPermutation", "permute_channels"]

# Below so many zeros the signs of weights say little about each other.
_MIN_SPARSITY = 0.5


@dataclass(frozen=True)
class ChannelPermutation:
    """What `permute_channels` did.

    Attributes:
        model: The copy with its units in another order.
        orders: For each layer whose units were moved, by name: which unit stands at each place.
        left_alone: For each other layer with a kernel, by name: why its units stay.
    """

    model: keras.Model
    orders: dict[str, np.ndarray] = field(default_factory=dict)
    left_alone: dict[str, str] = field(default_factory=dict)


def permute_channels(model: keras.Model) -> ChannelPermutation:
    """Return a copy of a sparse `model` whose hidden units are ordered for the packer.

    The units of a `Dense`, `Conv1D` or `Conv2D` layer are moved where what comes between it and
    the one such layer that reads them treats each unit alone. The copy computes the same function,
    up to the rounding of sums taken in another order. Units with similar weights, incoming
    and outgoing, become neighbours.

    Example:

    ```python
    ordered = exporter.permute_channels(small)
    exporter.export(ordered.model, "out", samples=x_test)
    ```

    Args:
        model: A built Sequential or functional model, pruned or trained for its rate: layers of
            which less than half the weights are zero are left alone.

    Returns:
        A `ChannelPermutation`; its `model` is not compiled.

    Raises:
        ExportError: If the model is unbuilt or subclassed.
        KerasCompressError: If a layer can't be copied.
    """
    import keras

    from keras_compress.copying.graph_copy import GraphCopy, holders_of

    if not isinstance(model, keras.Model) or not model.built:
        raise ExportError(f"`model` must be a built `keras.Model`. Received: {model!r}.")
    if not (getattr(model, "inputs", None) and getattr(model, "outputs", None)):
        raise ExportError(
            "Units can be ordered in Sequential and functional models. Received: "
            f"{model.name!r}, a subclassed {type(model).__name__}, whose graph is unknown."
        )
    graph = GraphCopy(model, lambda _, copied: copied.copy)
    copy = graph.copy()
    tied = graph.read_in_graph | {key for key, found in holders_of(copy).items() if len(found) > 1}
    stock = (type(keras.Model(copy.inputs, copy.outputs)), keras.Sequential)
    own_call = all(type(copy).call is not kind.call for kind in stock)
    result = ChannelPermutation(copy)
    nested = [layer.name for layer in copy.layers if isinstance(layer, keras.Model)]
    for layer in copy.layers:
        if not _has_units(layer, keras):
            if layer.weights and type(layer) not in _followers(keras):
                result.left_alone[layer.name] = f"{type(layer).__name__} is not looked into"
            continue
        if own_call:
            path, reason = list[_Step](), f"{type(copy).__name__} has a `call` of its own"
        elif nested:
            # What reads what can't be told by public means across a nested model's border.
            path, reason = list[_Step](), f"the model holds another, {nested[0]!r}"
        else:
            path, reason = _reader_of(copy, layer, keras)
        if not reason:
            reason = _why_fixed([layer, *(step.layer for step in path)], tied)
        if not reason:
            kernel = _units_first(layer)
            if np.mean(kernel == 0) < _MIN_SPARSITY:
                reason = "less than half of its weights are zero"
        if reason:
            result.left_alone[layer.name] = reason
            continue
        order = similarity_order(kernel, _read_by(path, len(kernel)))
        _move(layer, order)
        for step in path:
            step.move(order)
        result.orders[layer.name] = order
    return result


@dataclass(frozen=True)
class _Step:
    """A layer between units and where they are read, and how it follows their new order."""

    layer: keras.Layer
    move: Callable[[np.ndarray], None]


def _has_units(layer: keras.Layer, keras: ModuleType) -> bool:
    kinds = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D)
    return type(layer) in kinds and getattr(layer, "groups", 1) == 1


def _why_fixed(layers: list[keras.Layer], tied: set[int]) -> str:
    """Return why the weights of `layers` can't be moved, or nothing."""
    for layer in layers:
        if any(id(variable) in tied for variable in layer.variables):
            return f"a weight of {layer.name!r} is read in two places"
        plain = {"kernel", "bias"}
        if hasattr(layer, "kernel") and {v.name for v in layer.variables} - plain:
            return f"{layer.name!r} has been quantized or given LoRA"
    return ""


def _treats_each_alone(activation: object, keras: ModuleType) -> bool:
    """Whether `activation` is one that computes each unit from itself alone."""
    names = (
        "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu",
        "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "mish", "relu", "relu6", "selu",
        "sigmoid", "silu", "soft_shrink", "softplus", "softsign", "sparse_plus",
        "sparse_sigmoid", "squareplus", "tanh", "tanh_shrink", "threshold",
    )  # fmt: skip
    known = [getattr(keras.activations, name, None) for name in names]
    return activation is None or any(activation is each for each in known)


def _units_first(layer: keras.Layer) -> np.ndarray:
    kernel = np.asarray(layer.get_weights()[0])
    return kernel.reshape(-1, kernel.shape[-1]).T


def _reader_of(
    model: keras.Model, layer: keras.Layer, keras: ModuleType
) -> tuple[list[_Step], str]:
    """Return the steps to the layer that reads the units of `layer`, or why there is none."""
    if not _treats_each_alone(layer.activation, keras):
        name = getattr(layer.activation, "__name__", type(layer.activation).__name__)
        return [], f"its activation, {name}, may go over the units"
    results = {id(tensor) for tensor in model.outputs}
    # Functions of `keras.ops` stand among the operations, but aren't layers.
    operations = getattr(model, "operations", model.layers)
    steps: list[_Step] = []
    often = _called_often(model)
    at, positions = layer, 1
    while True:
        if at.name in often:
            return [], f"{at.name!r} is used more than once"
        tensor = at.output
        if id(tensor) in results:
            return [], "its units are results of the model"
        # Of a layer that is called often only the first input can be told: it may read any.
        readers = [o for o in operations if o.name in often or _reads(o, tensor)]
        if len(readers) != 1:
            return [], f"{len(readers)} layers read {at.name!r}"
        at = readers[0]
        if at.name in often:
            continue
        if _has_units(at, keras):
            if getattr(at, "data_format", "channels_last") != "channels_last":
                return [], f"{at.name!r} has its channels first"
            steps.append(_Step(at, _rows_mover(at, positions)))
            return steps, ""
        if type(at) is keras.layers.Flatten and positions == 1:
            if at.data_format != "channels_last":
                return [], f"{at.name!r} has its channels first"
            positions = int(np.prod([int(n) for n in tensor.shape[1:-1]], dtype=np.int64))
            continue
        move = _mover_through(at, keras) if positions == 1 or not at.weights else None
        if move is None:
            return [], f"{at.name!r} of type {type(at).__name__} lies behind it"
        steps.append(_Step(at, move))


def _called_often(model: keras.Model) -> set[str]:
    """Return the names of the layers that `model` calls more than once."""
    entries = model.get_config()["layers"]
    return {e["name"] for e in entries if len(e.get("inbound_nodes", ())) > 1}


def _reads(layer: keras.Layer, tensor: Tensor) -> bool:
    import keras

    return any(entry is tensor for entry in keras.tree.flatten(layer.input))


def _followers(keras: ModuleType) -> tuple[type, ...]:
    """Return the layers with weights that follow the units of another."""
    return (keras.layers.BatchNormalization, keras.layers.DepthwiseConv2D)


def _mover_through(layer: keras.Layer, keras: ModuleType) -> Callable[[np.ndarray], None] | None:
    """Return how a layer that treats each channel alone follows a new order, if it is one."""
    kinds = keras.layers
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return None
    alone = (
        kinds.ReLU, kinds.LeakyReLU, kinds.ELU, kinds.Dropout, kinds.SpatialDropout2D,
        kinds.GaussianNoise, kinds.MaxPooling1D, kinds.MaxPooling2D, kinds.AveragePooling1D,
        kinds.AveragePooling2D, kinds.GlobalAveragePooling1D, kinds.GlobalAveragePooling2D,
        kinds.GlobalMaxPooling1D, kinds.GlobalMaxPooling2D, kinds.ZeroPadding2D,
    )  # fmt: skip
    each_alone = _treats_each_alone(getattr(layer, "activation", None), keras)
    if type(layer) in alone or (type(layer) is kinds.Activation and each_alone):
        return lambda order: None
    if type(layer) is kinds.BatchNormalization and layer.axis in (-1, len(layer.input.shape) - 1):
        return lambda order: layer.set_weights([w[order] for w in layer.get_weights()])
    if type(layer) is kinds.DepthwiseConv2D and layer.depth_multiplier == 1 and each_alone:

        def move(order: np.ndarray) -> None:
            kernel, *bias = layer.get_weights()
            layer.set_weights([kernel[:, :, order], *(b[order] for b in bias)])

        return move
    return None


def _rows_mover(layer: keras.Layer, positions: int) -> Callable[[np.ndarray], None]:
    """Return how the kernel of `layer`, which reads units at `positions` places, follows them."""

    def move(order: np.ndarray) -> None:
        kernel, *rest = layer.get_weights()
        units = len(order)
        apart = kernel.reshape(-1, positions, units, kernel.shape[-1])
        layer.set_weights([apart[:, :, order].reshape(kernel.shape), *rest])

    return move


def _move(layer: keras.Layer, order: np.ndarray) -> None:
    kernel, *bias = layer.get_weights()
    layer.set_weights([kernel[..., order], *(b[order] for b in bias)])


def _read_by(path: list[_Step], units: int) -> np.ndarray:
    """Return the weights by which each unit is read, `(units, weights)`."""
    kernel = np.asarray(path[-1].layer.get_weights()[0])
    last = kernel.reshape(-1, units, kernel.shape[-1])
    return last.transpose(1, 0, 2).reshape(units, -1)
