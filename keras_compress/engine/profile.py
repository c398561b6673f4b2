"""What a model holds and computes, layer by layer: parameters, bytes, multiply-accumulates."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import keras
from rich.console import Console
from rich.table import Table

from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers

__all__ = [
    "Call",
    "LayerProfile",
    "ModelProfile",
    "is_uncounted",
    "layer_calls",
    "layer_macs",
    "observed_calls",
    "own_weights",
    "profile",
    "sample_shape",
    "weight_uses",
]

#: Shapes of what a call of a layer is given and returns, without the batch: the first of each.
Call = tuple[tuple[int, ...], tuple[int, ...]]

#: Layers that look their weights up, or scale by them.
_WITHOUT_KERNELS = (
    keras.layers.AdditiveAttention,
    keras.layers.Attention,
    keras.layers.BatchNormalization,
    keras.layers.Embedding,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.PReLU,
    keras.layers.RMSNormalization,
    keras.layers.SpectralNormalization,
)


@dataclass(frozen=True)
class LayerProfile:
    """One layer in a `ModelProfile`; all figures for one sample.

    Attributes:
        layer: Path of the layer in the model.
        kind: Its class.
        output_shape: Shape of what it returns, without the batch; `None` if it ran more than once.
        parameters: Number of weights of any kind.
        bytes: Bytes of these, as the model holds them.
        macs: Multiply-accumulates by its weights, over all its calls.
        activation_bytes: Bytes of what it returns, in the dtype it computes in, over all its calls.
    """

    layer: str
    kind: str
    output_shape: tuple[int, ...] | None
    parameters: int
    bytes: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True)
class ModelProfile:
    """What `profile` counted; prints as a table.

    Attributes:
        name: Name of the model.
        layers: A row for each layer that has weights of its own.
        uncounted: Paths of layers that may multiply by their weights in a way that isn't known:
            their MACs count as none.
    """

    name: str
    layers: tuple[LayerProfile, ...]
    uncounted: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.layers)

    @property
    def bytes(self) -> int:
        return sum(row.bytes for row in self.layers)

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.layers)

    @property
    def activation_bytes(self) -> int:
        return sum(row.activation_bytes for row in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `json.dumps` takes."""
        return {
            "name": self.name,
            "parameters": self.parameters,
            "bytes": self.bytes,
            "macs": self.macs,
            "activation_bytes": self.activation_bytes,
            "uncounted": list(self.uncounted),
            "layers": [asdict(row) for row in self.layers],
        }

    def __str__(self) -> str:
        table = Table(title=self.name, show_footer=True)
        table.add_column("layer", f"{len(self.layers)} layers")
        table.add_column("output", justify="right")
        for heading, total in (
            ("parameters", self.parameters),
            ("bytes", self.bytes),
            ("MACs", self.macs),
            ("activation bytes", self.activation_bytes),
        ):
            table.add_column(heading, f"{total:,}", justify="right")
        for row in self.layers:
            shape = "-" if row.output_shape is None else "x".join(map(str, row.output_shape))
            figures = (row.parameters, row.bytes, row.macs, row.activation_bytes)
            table.add_row(f"{row.layer} ({row.kind})", shape, *(f"{n:,}" for n in figures))
        if self.uncounted:
            table.caption = f"MACs not known of {', '.join(self.uncounted)}"
        out = io.StringIO()
        Console(file=out, width=140).print(table)
        return out.getvalue()


def profile(model: keras.Model, input_shape: object = None) -> ModelProfile:
    """Count what `model` holds and computes for one sample.

    The model is run once on zeros, so that nested, shared and subclassed models count right.
    Products of activations with each other, as in attention, aren't counted; layers of whose MACs
    nothing is known are named.

    Args:
        model: A built `keras.Model` with one input.
        input_shape: Shape of one sample, without the batch. Defaults to `None`: the model's own.

    Raises:
        KerasCompressError: If the model is unbuilt, has several inputs, or its input has an unknown
            side and `input_shape` is `None`.
    """
    calls = layer_calls(model, sample_shape(model, input_shape))
    rows, uncounted = [], []
    for ancestors, layer in iter_layers(model):
        own = own_weights(layer)
        if not own:
            continue
        path = "/".join(part.name for part in (*ancestors, layer))
        of = calls.get(id(layer), [])
        if is_uncounted(layer, of):
            uncounted.append(path)
        width = keras.backend.standardize_dtype(layer.compute_dtype or "float32")
        rows.append(
            LayerProfile(
                layer=path,
                kind=type(layer).__name__,
                output_shape=of[0][1] if len(of) == 1 else None,
                parameters=sum(math.prod(v.shape) for v in own),
                bytes=sum(math.prod(v.shape) * _width(v.dtype) for v in own),
                macs=layer_macs(layer, of),
                activation_bytes=sum(math.prod(made) for _, made in of) * _width(width),
            )
        )
    return ModelProfile(model.name, tuple(rows), tuple(uncounted))


def sample_shape(model: keras.Model, input_shape: Any = None) -> tuple[int, ...]:
    """Return the shape of one sample, without the batch.

    Raises:
        KerasCompressError: If `model` isn't built, has several inputs, or the shape isn't known.
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise KerasCompressError(f"`model` must be a built `keras.Model`. Received: {model!r}.")
    if input_shape is not None:
        return tuple(input_shape)
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or not all(isinstance(side, int) for side in shape[1:]):
        raise KerasCompressError(
            "MACs depend on the size of the input: pass `input_shape`, without the batch axis. "
            f"Received: {model.name!r} with input shape {shape}."
        )
    return shape[1:]


def own_weights(layer: keras.Layer) -> list[keras.Variable]:
    """Return the weights of a layer that aren't those of a layer within it."""
    below = {id(v) for _, child in iter_layers(layer) for v in child.weights}
    return [variable for variable in layer.weights if id(variable) not in below]


def layer_calls(model: keras.Model, shape: tuple[int, ...]) -> dict[int, list[Call]]:
    """Run `model` on zeros and return the shapes of each layer's calls, by the layer's `id`.

    What a recurrent layer or `TimeDistributed` holds is called once a step, whether the back end
    runs the steps one by one or not.

    Args:
        model: A built model with one input.
        shape: Shape of one sample, without the batch.
    """
    with observed_calls(model) as found:
        model(keras.ops.zeros((1, *shape), dtype=model.compute_dtype), training=False)
    return found


@contextmanager
def observed_calls(root: keras.Layer) -> Iterator[dict[int, list[Call]]]:
    """Note the shapes of the calls of `root` and of all layers under it, by the layer's `id`.

    Every layer's `call` is shadowed on the instance for that time; states that layers keep from
    batch to batch are put back.
    """
    found: dict[int, list[Call]] = {}
    layers = [root, *(layer for _, layer in iter_layers(root))]

    def shadow(layer: keras.Layer, call: Callable[..., Any]) -> Callable[..., Any]:
        inner = _called_each_step(layer)
        below = [] if inner is None else [inner, *(each for _, each in iter_layers(inner))]

        def observed(*args: Any, **kwargs: Any) -> Any:
            before = [len(found.get(id(each), ())) for each in below]
            result = call(*args, **kwargs)
            given = [x for x in keras.tree.flatten((args, kwargs)) if hasattr(x, "shape")]
            sides = [
                tuple(int(side) for side in x.shape[1:])
                for x in (given[0], keras.tree.flatten(result)[0])
            ]
            found.setdefault(id(layer), []).append((sides[0], sides[1]))
            if below:
                noted = len(found.get(id(inner), ())) - before[0]
                if not noted:
                    # An operator of the device takes all steps at once, as cuDNN's LSTM does.
                    found.setdefault(id(inner), []).append((sides[0][1:], sides[1][-1:]))
                    noted = 1
                for each, start in zip(below, before, strict=True):
                    of = found.get(id(each), [])
                    of[start:] = of[start : start + (len(of) - start) // noted] * sides[0][0]
            return result

        return observed

    kept = [
        (v, keras.ops.convert_to_numpy(v))
        for layer in layers
        if getattr(layer, "stateful", False)
        for v in layer.non_trainable_variables
    ]
    before = {id(layer): layer.__dict__.get("call") for layer in layers}
    try:
        for layer in layers:
            layer.__dict__["call"] = shadow(layer, layer.call)
        yield found
    finally:
        for layer in layers:
            layer.__dict__.pop("call", None)
            if before[id(layer)] is not None:
                layer.__dict__["call"] = before[id(layer)]
        for variable, value in kept:
            variable.assign(value)


def _called_each_step(layer: keras.Layer) -> keras.Layer | None:
    """Return what a layer calls once for each index of the first axis, or `None`."""
    if isinstance(layer, keras.layers.RNN):
        return layer.cell
    return layer.layer if isinstance(layer, keras.layers.TimeDistributed) else None


def layer_macs(layer: keras.Layer, calls: list[Call]) -> int:
    """Return the multiply-accumulates of a layer's own weights, for one sample, over its calls."""
    total = 0
    for given, made in calls:
        for variable, times in weight_uses(layer, given, made):
            total += times * math.prod(variable.shape)
    return total


def weight_uses(
    layer: keras.Layer, given: tuple[int, ...], made: tuple[int, ...]
) -> list[tuple[Any, int]]:
    """Return the kernels of a layer, and how often a call multiplies by each of their values.

    Args:
        layer: The layer; of one that isn't known nothing is returned.
        given: Shape of what it is given, without the batch.
        made: Shape of what it returns.
    """
    kinds = keras.layers
    if isinstance(layer, kinds.Conv1DTranspose | kinds.Conv2DTranspose | kinds.Conv3DTranspose):
        return [(layer.kernel, _places(layer, given))]
    convolutions = kinds.Conv1D | kinds.Conv2D | kinds.Conv3D
    if isinstance(layer, kinds.SeparableConv1D | kinds.SeparableConv2D):
        kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
        return [(kernel, _places(layer, made)) for kernel in kernels]
    if isinstance(layer, convolutions | kinds.DepthwiseConv1D | kinds.DepthwiseConv2D):
        return [(layer.kernel, _places(layer, made))]
    if isinstance(layer, kinds.Dense):
        return [(layer.kernel, math.prod(made[:-1]))]
    if isinstance(layer, kinds.EinsumDense):
        terms, rest = layer.equation.replace(" ", "").split(",")
        terms = terms.replace("...", "") if "..." in terms else terms[1:]
        kernel = rest.split("->")[0]
        read = {len(given) - len(terms) + i for i, term in enumerate(terms) if term in kernel}
        return [(layer.kernel, math.prod(n for i, n in enumerate(given) if i not in read))]
    if isinstance(layer, kinds.LSTMCell | kinds.GRUCell | kinds.SimpleRNNCell):
        return [(layer.kernel, 1), (layer.recurrent_kernel, 1)]
    if type(layer).__name__ == "ConvLSTMCell" and type(layer).__module__.startswith("keras."):
        # No public class. Its kernels go over as many places as its states have.
        return [(kernel, _places(layer, made)) for kernel in (layer.kernel, layer.recurrent_kernel)]
    return []


def is_uncounted(layer: keras.Layer, calls: list[Call]) -> bool:
    """Whether a layer may multiply by weights of its own in a way that isn't known here."""
    if isinstance(layer, _WITHOUT_KERNELS):
        return False
    matrices = any(len(variable.shape) > 1 for variable in own_weights(layer))
    return matrices and any(not weight_uses(layer, *call) for call in calls)


def _places(layer: keras.Layer, shape: tuple[int, ...]) -> int:
    first = getattr(layer, "data_format", "channels_last") == "channels_first"
    return math.prod(shape[1:] if first else shape[:-1])


def _width(dtype: object) -> int:
    """Return the bytes of a value."""
    name = keras.backend.standardize_dtype(dtype)
    bits = "".join(c for c in name.split("_")[0] if c.isdigit())
    return 1 if name == "bool" or not bits else max(1, int(bits) // 8)
