"""The base of the wrappers: a layer that runs another layer on substituted weights.

Keras 3 does not let a layer's kernel be replaced by a tensor, but it lets any layer run inside a
`keras.StatelessScope` with chosen values for its variables. The substitution is thus part of the
graph: gradients flow through it on every back end, under XLA and `tf.distribute`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.engine.weights import kernel_indices
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


class SubstitutedLayer(keras.layers.Wrapper):
    """Base of the wrappers: calls `layer` with the values that `substitutes()` gives.

    Args:
        layer: The layer to wrap. The wrapper takes over its name, so that `model.get_layer`
            finds it where it was.
        indices: Places in `layer.variables` of the weights to substitute. Defaults to `None`:
            the layer's kernels.

    Raises:
        KerasCompressError: If the layer is wrapped already or, when built, has no kernel.
    """

    #: The exporter refuses such layers and tells the user to call `finalize` first.
    requires_finalize = True

    #: Whether a layer without weights to substitute is refused.
    needs_kernel = True

    #: What is done to the weights, for errors.
    action = "substituted"

    def __init__(
        self, layer: keras.Layer, indices: Sequence[int] | None = None, **kwargs: Any
    ) -> None:
        if isinstance(layer, SubstitutedLayer):
            raise KerasCompressError(
                "A layer can be wrapped once. Received: "
                f"{layer.name!r}, already in {type(layer).__name__}. Call `finalize` first."
            )
        kwargs.setdefault("name", layer.name)
        # Substitutes are made from the variables as they are: under mixed precision it is the
        # wrapped layer that casts, inputs and substitutes.
        kwargs.setdefault("dtype", layer.variable_dtype)
        # Keras reads off `call` which inputs and masks a layer takes.
        self.call = _with_signature_of(layer.call, self.call)  # type: ignore[method-assign]
        super().__init__(layer, autocast=False, **kwargs)
        self.supports_masking = layer.supports_masking
        self._requested = None if indices is None else [int(i) for i in indices]

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        super().build(input_shape)
        self._requested = self.indices
        if self.needs_kernel and not self._requested:
            raise KerasCompressError(
                f"Only a layer with a kernel can be {self.action}. Received: "
                f"{self.layer.name!r} of type {type(self.layer).__name__}."
            )
        for variable in self.substituted_weights():
            self.add_state(variable)

    @property
    def indices(self) -> list[int]:
        """Places in `layer.variables` of the substituted weights."""
        if self._requested is not None:
            return list(self._requested)
        return self.choose_indices()

    def choose_indices(self) -> list[int]:
        """Return the places in `layer.variables` to substitute where none were asked for."""
        return kernel_indices(self.layer)

    def substituted_weights(self) -> list[keras.Variable]:
        """Return the variables of the wrapped layer that are substituted."""
        return [self.layer.variables[i] for i in self.indices]

    def add_state(self, variable: keras.Variable) -> None:
        """Add the weights of the wrapper that belong to `variable` of the wrapped layer."""
        raise NotImplementedError

    def substitutes(self) -> list[tuple[keras.Variable, Tensor]]:
        """Return `(variable of the wrapped layer, tensor to use instead)` pairs."""
        raise NotImplementedError

    def why_idle(self) -> str | None:
        """Return why nothing has been done to the weights so far, or `None` if it has."""
        return None

    def compute_mask(self, inputs: Tensor, previous_mask: object) -> Any:
        return self.layer.compute_mask(inputs, previous_mask)

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return self.layer.compute_output_shape(*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        # By running `call`: a shape says nothing of the type, which is the wrapped layer's.
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def call(self, *args: Any, **kwargs: Any) -> Tensor:
        # Those of the wrapper too: what it puts into the layer may read and change them.
        outer_values = [(variable, variable.value) for variable in self.variables]
        replaced = {id(variable): value for variable, value in self.substitutes()}
        mapping = [(v, replaced.get(id(v), value)) for v, value in outer_values]
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            before = {id(v): scope.get_current_value(v) for v in self.variables}
            outputs = self.layer(*args, **kwargs)
        # What was changed within (moving averages, seeds, ranges) happens after all.
        for variable in self.non_trainable_variables:
            value = scope.get_current_value(variable)
            if id(variable) not in replaced and value is not before[id(variable)]:
                variable.assign(value)
        for loss in scope.losses:
            # A tensor of its own, for Keras tells by identity whose a loss is.
            self.add_loss(keras.ops.copy(loss))
        return outputs

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "indices": self._requested}


def _with_signature_of(other: Callable[..., Any], own: Callable[..., Any]) -> Callable[..., Any]:
    """Return `own` with the parameters of `other`, and those that it names itself."""

    @functools.wraps(own)
    def call(*args: Any, **kwargs: Any) -> Tensor:
        return own(*args, **kwargs)

    signature = inspect.signature(other)
    parameters = list(signature.parameters.values())
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    added = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(own).parameters.items()
        if parameter.kind not in several and name not in signature.parameters
    ]
    end = len(parameters)
    if parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD:
        end -= 1
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*parameters[:end], *added, *parameters[end:]]
    )
    return call
