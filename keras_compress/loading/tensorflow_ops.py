"""TensorFlow functions that Keras 2 wrote into a functional graph, as layers and `keras.ops`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["FUNCTIONS", "OPERATION_LAYERS"]

#: Classes of Keras 2's nodes that hold a TensorFlow function.
OPERATION_LAYERS = {"ClassMethod", "SlicingOpLambda", "TFOpLambda"}


def _activation(name: str) -> Callable[..., Any]:
    return lambda x, name_of_layer: layers.Activation(name, name=name_of_layer)(x)


def _binary(function: Callable[..., Any], merging: Any = None) -> Callable[..., Any]:
    def compute(x: Any, y: Any, *, name_of_layer: str) -> Tensor:
        both = keras.utils.is_keras_tensor(x) and keras.utils.is_keras_tensor(y)
        # A layer where there is one, for the names of operations may be those of layers.
        if both and merging is not None and len(x.shape) == len(y.shape):
            return merging(name=name_of_layer)([x, y])
        return function(x, y)

    return compute


def _shifted(sign: float) -> Callable[..., Any]:
    by_layer = _binary(
        ops.add if sign > 0 else ops.subtract, layers.Add if sign > 0 else layers.Subtract
    )

    def compute(x: Tensor, y: Tensor, *, name_of_layer: str) -> Tensor:
        if isinstance(y, int | float):
            return layers.Rescaling(1.0, sign * y, name=name_of_layer)(x)
        if isinstance(x, int | float):
            return layers.Rescaling(sign, x, name=name_of_layer)(y)
        return by_layer(x, y, name_of_layer=name_of_layer)

    return compute


def _scaled(x: Tensor, y: Tensor, *, name_of_layer: str) -> Tensor:
    if isinstance(y, int | float):
        return layers.Rescaling(y, name=name_of_layer)(x)
    if isinstance(x, int | float):
        return layers.Rescaling(x, name=name_of_layer)(y)
    return _binary(ops.multiply, layers.Multiply)(x, y, name_of_layer=name_of_layer)


def _unary(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, name_of_layer: function(x)


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(
        input_tensor: Tensor, axis: object = None, keepdims: bool = False, *, name_of_layer: str
    ) -> Tensor:
        axis = tuple(axis) if isinstance(axis, list) else axis
        return function(input_tensor, axis=axis, keepdims=bool(keepdims))

    return reduce


def _concat(values: Any, axis: int = -1, *, name_of_layer: str) -> Tensor:
    if all(keras.utils.is_keras_tensor(each) for each in values):
        return layers.Concatenate(axis=axis, name=name_of_layer)(values)
    return ops.concatenate(values, axis=axis)


def _item(tensor: Tensor, slice_spec: object, *, name_of_layer: str) -> Tensor:
    def part(each: object) -> Any:
        if isinstance(each, dict):
            return slice(each.get("start"), each.get("stop"), each.get("step"))
        return Ellipsis if each == "Ellipsis" else each

    spec = slice_spec if isinstance(slice_spec, list) else [slice_spec]
    # Keras 2 writes `x[..., None]` as a name too.
    return tensor[tuple(None if each == "tf.newaxis" else part(each) for each in spec)]


def _pad(tensor: Tensor, paddings: object, mode: str = "CONSTANT", constant_values: Tensor = 0, *,
         name_of_layer: str) -> Tensor:  # fmt: skip
    values = constant_values if mode.lower() == "constant" else None
    return ops.pad(tensor, paddings, mode=mode.lower(), constant_values=values)


def _resize(images: Any, size: Any, method: str = "bilinear", *, name_of_layer: str,
            **others: Any) -> Tensor:  # fmt: skip
    unusual = {key: value for key, value in others.items() if value}
    if unusual:
        raise NotImplementedError(f"tf.image.resize with {unusual}")
    return layers.Resizing(*size, interpolation=method, name=name_of_layer)(images)


def _split(value: Tensor, num_or_size_splits: Any, axis: int = 0, *, name_of_layer: str) -> Tensor:
    if isinstance(num_or_size_splits, int):
        return ops.split(value, num_or_size_splits, axis=axis)
    ends = [sum(num_or_size_splits[: i + 1]) for i in range(len(num_or_size_splits) - 1)]
    return ops.split(value, ends, axis=axis)


def _squeeze(input: Tensor, axis: object = None, *, name_of_layer: str) -> Tensor:
    axis = tuple(axis) if isinstance(axis, list) else axis
    return ops.squeeze(input, axis=axis)


def _stack(values: Tensor, axis: int = 0, *, name_of_layer: str) -> Tensor:
    return ops.stack(values, axis=axis)


def _depth_to_space(input: Any, block_size: int, *, name_of_layer: str) -> Tensor:
    _, height, width, channels = input.shape
    out = channels // block_size**2
    x = ops.reshape(input, (-1, height, width, block_size, block_size, out))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, height * block_size, width * block_size, out))


def _clip(
    t: Tensor, clip_value_min: Tensor, clip_value_max: Tensor, *, name_of_layer: str
) -> Tensor:
    return ops.clip(t, clip_value_min, clip_value_max)


def _cast(x: Tensor, dtype: str, *, name_of_layer: str) -> Tensor:
    return ops.cast(x, dtype)


def _matmul(a: Tensor, b: Tensor, transpose_a: bool = False, transpose_b: bool = False, *,
            name_of_layer: str) -> Tensor:  # fmt: skip
    a = ops.swapaxes(a, -1, -2) if transpose_a else a
    return ops.matmul(a, ops.swapaxes(b, -1, -2) if transpose_b else b)


def _reshape(tensor: Any, shape: Any, *, name_of_layer: str) -> Tensor:
    sizes = [*shape[1:], *tensor.shape[1:]]
    known = shape and shape[0] == -1 and all(isinstance(n, int) and n > 0 for n in sizes)
    # Else samples are put together, or taken apart.
    if known and math.prod(shape[1:]) == math.prod(tensor.shape[1:]):
        return layers.Reshape(shape[1:], name=name_of_layer)(tensor)
    return ops.reshape(tensor, shape)


def _transpose(a: Any, perm: Any = None, *, name_of_layer: str) -> Tensor:
    if perm is not None and perm[0] == 0:
        return layers.Permute(perm[1:], name=name_of_layer)(a)
    return ops.transpose(a, perm)


def _relu(features: Tensor, *, name_of_layer: str) -> Tensor:
    return layers.ReLU(name=name_of_layer)(features)


def _relu6(features: Tensor, *, name_of_layer: str) -> Tensor:
    return layers.ReLU(6.0, name=name_of_layer)(features)


def _leaky_relu(features: Tensor, alpha: float = 0.2, *, name_of_layer: str) -> Tensor:
    return layers.LeakyReLU(negative_slope=alpha, name=name_of_layer)(features)


def _softmax(logits: Tensor, axis: int = -1, *, name_of_layer: str) -> Tensor:
    return layers.Softmax(axis=axis, name=name_of_layer)(logits)


def _identity(input: Tensor, *, name_of_layer: str) -> Tensor:
    return layers.Identity(name=name_of_layer)(input)


def _expand(input: Tensor, axis: int, *, name_of_layer: str) -> Tensor:
    return ops.expand_dims(input, axis)


_ADD, _SUB, _MUL = _shifted(1.0), _shifted(-1.0), _scaled
_DIV, _POW = _binary(ops.true_divide), _binary(ops.power)

#: By the name in the file ("math.add" of `tf.math.add`): a function of the same arguments as
#: TensorFlow's, and of the name that a layer made for it shall have.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "__operators__.add": _ADD,
    "__operators__.getitem": _item,
    "cast": _cast,
    "clip_by_value": _clip,
    "compat.v1.transpose": _transpose,
    "concat": _concat,
    "expand_dims": _expand,
    "identity": _identity,
    "image.resize": _resize,
    "linalg.matmul": _matmul,
    "math.abs": _unary(ops.abs),
    "math.add": _ADD,
    "math.divide": _DIV,
    "math.exp": _unary(ops.exp),
    "math.log": _unary(ops.log),
    "math.maximum": _binary(ops.maximum, layers.Maximum),
    "math.minimum": _binary(ops.minimum, layers.Minimum),
    "math.multiply": _MUL,
    "math.negative": _unary(ops.negative),
    "math.pow": _POW,
    "math.reduce_max": _reduction(ops.max),
    "math.reduce_mean": _reduction(ops.mean),
    "math.reduce_min": _reduction(ops.min),
    "math.reduce_sum": _reduction(ops.sum),
    "math.rsqrt": _unary(ops.rsqrt),
    "math.sigmoid": _activation("sigmoid"),
    "math.softplus": _activation("softplus"),
    "math.sqrt": _unary(ops.sqrt),
    "math.square": _unary(ops.square),
    "math.subtract": _SUB,
    "math.tanh": _activation("tanh"),
    "math.truediv": _DIV,
    "nn.depth_to_space": _depth_to_space,
    "nn.elu": lambda features, name_of_layer: layers.ELU(name=name_of_layer)(features),
    "nn.leaky_relu": _leaky_relu,
    "nn.relu": _relu,
    "nn.relu6": _relu6,
    "nn.selu": lambda features, name_of_layer: _activation("selu")(features, name_of_layer),
    "nn.sigmoid": _activation("sigmoid"),
    "nn.softmax": _softmax,
    "nn.swish": lambda features, name_of_layer, beta=1.0: _swish(features, beta, name_of_layer),
    "nn.silu": lambda features, name_of_layer, beta=1.0: _swish(features, beta, name_of_layer),
    "nn.tanh": _activation("tanh"),
    "pad": _pad,
    "reshape": _reshape,
    "split": _split,
    "squeeze": _squeeze,
    "stack": _stack,
    "tile": lambda input, multiples, name_of_layer: ops.tile(input, multiples),
    "transpose": _transpose,
}


def _swish(features: Tensor, beta: float, name: str) -> Tensor:
    if beta == 1.0:
        return layers.Activation("silu", name=name)(features)
    return ops.multiply(features, ops.sigmoid(ops.multiply(features, beta)))
