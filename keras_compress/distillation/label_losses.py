"""What the loss on the labels says of an output: what it holds, and whether as logits."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import keras

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

_CLASSES = (
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
    "categorical_focal_crossentropy",
    "kl_divergence",
)
_BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
_REGRESSION = (
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
    "cosine_similarity",
    "poisson",
)
_KINDS = {
    **dict.fromkeys(_CLASSES, "softmax"),
    **dict.fromkeys(_BINARY, "sigmoid"),
    **dict.fromkeys(_REGRESSION, "regression"),
}
_FUNCTIONS = {getattr(keras.losses, name): kind for name, kind in _KINDS.items()}
_LOSSES = keras.losses
_TYPES = {
    _LOSSES.CategoricalCrossentropy: "softmax",
    _LOSSES.SparseCategoricalCrossentropy: "softmax",
    _LOSSES.CategoricalFocalCrossentropy: "softmax",
    _LOSSES.KLDivergence: "softmax",
    _LOSSES.BinaryCrossentropy: "sigmoid",
    _LOSSES.BinaryFocalCrossentropy: "sigmoid",
    _LOSSES.MeanSquaredError: "regression",
    _LOSSES.MeanAbsoluteError: "regression",
    _LOSSES.MeanAbsolutePercentageError: "regression",
    _LOSSES.MeanSquaredLogarithmicError: "regression",
    _LOSSES.Huber: "regression",
    _LOSSES.LogCosh: "regression",
    _LOSSES.CosineSimilarity: "regression",
    _LOSSES.Poisson: "regression",
}


class Told(NamedTuple):
    """What a loss tells of the outputs it is taken on.

    Attributes:
        kind: `"softmax"`, `"sigmoid"`, `"regression"`, or `None` where it tells nothing.
        from_logits: Whether it takes logits; `None` where it doesn't tell.
    """

    kind: str | None = None
    from_logits: bool | None = None


def told_by(loss: Any, units: int | None) -> Told:
    """Return what `loss` tells of an output.

    Args:
        loss: Anything that `compile` takes for one output.
        units: Size of the output's last axis.
    """
    if isinstance(loss, str) and loss.lower() in ("crossentropy", "ce"):
        return Told("sigmoid" if units == 1 else "softmax", False)
    arguments: dict[str, Any] = {}
    if isinstance(loss, functools.partial):
        loss, arguments = loss.func, loss.keywords
    if isinstance(loss, str | dict):
        loss = keras.losses.get(loss)
    kind: str | None = None
    if isinstance(loss, keras.losses.Loss):
        kind = next((_TYPES[base] for base in type(loss).__mro__ if base in _TYPES), None)
        arguments = loss.get_config() if kind else {}
    elif callable(loss):
        kind = next((each for function, each in _FUNCTIONS.items() if function is loss), None)
    if kind in (None, "regression"):
        return Told(kind)
    return Told(kind, bool(arguments.get("from_logits", False)))


def per_output(
    value: Tensor, outputs: Tensor, names: Any = None, missing: Any = None
) -> list | None:
    """Return an argument spread over the outputs, flattened, as `compile` spreads losses.

    Args:
        value: One for all outputs, or a list, dict or nested structure of them.
        outputs: The outputs, in their structure.
        names: Names of the outputs, flattened, as a functional model has. Defaults to `None`.
        missing: What stands for outputs that a dict leaves out. Defaults to `None`.

    Returns:
        One for each output, or `None` where the structures don't fit.
    """
    count = len(keras.tree.flatten(outputs))
    if not keras.tree.is_nested(value):
        return [value] * count
    if isinstance(value, dict):
        for keys in (_keys(outputs), names):
            if keys and len(keys) == count and set(value) <= set(keys):
                return [value.get(key, missing) for key in keys]
    elif len(value) == count and not any(map(keras.tree.is_nested, value)):
        return list(value)
    try:
        keras.tree.assert_same_paths(value, outputs)
    except ValueError:
        return None
    return list(keras.tree.flatten(value))


def _keys(outputs: Tensor) -> list[Any] | None:
    if not isinstance(outputs, dict):
        return None
    return [path[0] for path, _ in keras.tree.flatten_with_path(outputs) if len(path) == 1]
