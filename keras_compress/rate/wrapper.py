"""A layer that runs on rounded weights and adds to the loss what their bits cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.engine.wrapper import SubstitutedLayer
from keras_compress.errors import KerasCompressError
from keras_compress.rate.code_length import code_length
from keras_compress.rate.config import check_step_digits

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

# The trained number is log(step size) / _GAIN: under Adam a step size moves by some 0.5 % while
# a weight moves by 0.001.
_GAIN = 5.0
# Of more distinct magnitudes it is not tried to find a common step, nor one of which the smallest
# is more multiples: by chance three numbers or more lie on such a grid once in ten thousand times.
_MAX_GRID_VALUES = 64
_MAX_DIVISOR = 16


@keras.saving.register_keras_serializable(package="keras_compress")
class RateAware(SubstitutedLayer):
    """Runs a layer with its weights rounded to multiples of a trained step size.

    Each weight has one step size, of few binary digits, that is trained with it. Rounding passes
    gradients straight through, to the weight and to the step size (Esser et al., Learned Step
    Size Quantization, arXiv 1902.08153, section 2). What the layer adds to the loss is
    `strength` times the bits of `code_length`; `RateCallback` sets `strength`, which is 0 until
    then.

    Args:
        layer: The layer to wrap.
        step_digits: Significant binary digits of a step size, 1 to 24. Defaults to `4`.
        indices: Places in `layer.variables` of the weights to round. Defaults to `None`: the
            layer's kernels.

    Raises:
        KerasCompressError: If the layer is wrapped already or has no kernel, or `step_digits` is
            out of range.
    """

    action = "rounded"

    #: What is zero stays so when it is rounded, so that masks may lie beneath.
    keeps_zeros = True

    def __init__(
        self,
        layer: keras.Layer,
        step_digits: int = 4,
        indices: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(layer, indices, **kwargs)
        check_step_digits(step_digits)
        self.step_digits = step_digits
        self.log_steps: list[Any] = []
        self.strength: Any = None
        self.bits_before: Any = None

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        super().build(input_shape)
        self.strength = self.add_weight(
            name="strength", shape=(), dtype="float32", initializer="zeros", trainable=False
        )
        # An epoch ago, for a price that is moved: saved, so that training goes on exactly.
        self.bits_before = self.add_weight(
            name="bits_before", shape=(), dtype="float32", initializer="zeros", trainable=False
        )

    def add_state(self, variable: keras.Variable) -> None:
        self.log_steps.append(
            self.add_weight(
                name=f"{variable.name}_log_step",
                shape=(),
                dtype="float32",
                initializer=keras.initializers.Constant(math.log(0.05) / _GAIN),
            )
        )

    def set_step_sizes(self, step_sizes: Sequence[float]) -> None:
        """Start from `step_sizes`, one above 0 for each of `substituted_weights()`."""
        for variable, step_size in zip(self.log_steps, step_sizes, strict=True):
            variable.assign(math.log(step_size) / _GAIN)

    def step_sizes(self) -> list[Tensor]:
        """Return the step size of each of `substituted_weights()`, float32 scalars."""
        return [self._step_size(variable) for variable in self.log_steps]

    def bits(self) -> Tensor:
        """Return the bits that the rounded weights take by `code_length`, a float32 scalar."""
        ops = keras.ops
        pairs = zip(self.substituted_weights(), self.log_steps, strict=True)
        return sum(code_length(ops.round(self._scaled(*pair))) for pair in pairs)

    def substitutes(self) -> list[tuple[Any, Any]]:
        ops = keras.ops
        pairs = []
        for variable, log_step in zip(self.substituted_weights(), self.log_steps, strict=True):
            step = self._step_size(log_step)
            scaled = self._scaled(variable, log_step)
            rounded = ops.stop_gradient(ops.round(scaled))
            passing = (scaled + (rounded - ops.stop_gradient(scaled))) * step
            # The value is the product itself, to the last bit; adding 0 turns -0 into 0.
            exact = ops.stop_gradient(rounded * step) + 0.0
            value = exact + (passing - ops.stop_gradient(passing))
            pairs.append((variable, ops.cast(value, variable.dtype)))
        return pairs

    def call(self, *args: Any, **kwargs: Any) -> Tensor:
        outputs = super().call(*args, **kwargs)
        pairs = zip(self.substituted_weights(), self.log_steps, strict=True)
        bits = sum(code_length(self._scaled(*pair)) for pair in pairs)
        self.add_loss(keras.ops.convert_to_tensor(self.strength) * bits)
        return outputs

    def _scaled(self, variable: keras.Variable, log_step: object) -> Tensor:
        return keras.ops.cast(variable, "float32") / self._step_size(log_step)

    def _step_size(self, log_step: object) -> Tensor:
        ops = keras.ops
        exponent = ops.convert_to_tensor(log_step)
        if keras.backend.standardize_dtype(exponent.dtype) != "float32":
            raise KerasCompressError(
                "`RateAware` rounds weights in their own precision, which a layer of mixed "
                f"precision around it doesn't leave them. Received: {self.name!r} within one. "
                "Wrap the outer layer: `RateAware(TimeDistributed(layer))`."
            )
        step = ops.exp(_GAIN * exponent)
        unit = 2.0 ** (ops.floor(ops.log2(ops.stop_gradient(step))) + (1.0 - self.step_digits))
        short = ops.round(step / unit) * unit
        return ops.stop_gradient(short) + (step - ops.stop_gradient(step))

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "step_digits": self.step_digits}


def initial_step_size(values: np.ndarray, deviations: float) -> float:
    """Return the step size of the grid that `values` lie on, else `deviations` deviations of them.

    The deviation is taken about zero, for zero is the value that costs least.
    """
    step = _grid_step(values)
    if step:
        return step
    spread = float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0
    return max(deviations * (spread or 0.1), 1e-12)


def _grid_step(values: np.ndarray) -> float:
    """Return the step of which all of `values` are multiples; 0 if there's none, or many differ."""
    magnitudes = np.unique(np.abs(values.astype(np.float64)))
    magnitudes = magnitudes[magnitudes > 0]
    if not 0 < magnitudes.size <= _MAX_GRID_VALUES:
        return 0.0
    for divisor in range(1, _MAX_DIVISOR + 1):
        step = float(magnitudes[0]) / divisor
        multiples = magnitudes / step
        if np.all(np.abs(multiples - np.round(multiples)) < 1e-3):
            return step
    return 0.0
