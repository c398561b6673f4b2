"""Where the device puts an activation on 8 bits: the layer that knows its range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_compress.errors import KerasCompressError
from keras_compress.quantization.fused_rounding import quantize_in_training
from keras_compress.quantization.numerics import (
    activation_grid,
    activation_limits,
    quantize_affine,
    rescaled_sums,
    round_pooled,
    scale_gradient,
    short,
    step_gradient_scale,
)
from keras_compress.quantization.quantizers import ActivationQuantizer
from keras_compress.quantization.sum_rounding import added_integers

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

# As many values of a batch tell a percentile well enough, and are quickly sorted.
_MAX_SORTED = 1 << 16


@keras.saving.register_keras_serializable(package="keras_compress")
class FakeQuantize(keras.layers.Layer):
    """Rounds what it is given to the integers of its range, and returns these numbers as floats.

    Called in several places (`slots`) it has one range for all, from the least to the largest value
    of any, as what is concatenated has on the device. In training the range follows the data;
    otherwise it stays. Before it has seen any data it lets everything through.

    Args:
        quantizer: An `ActivationQuantizer`. Defaults to `None`: 8 bits, moving average.
        fixed_range: `(low, high)` where the operator on the device has a range of its own, such as
            a softmax. Defaults to `None`.
        in_training: Whether it rounds in training too. Scores that a loss takes the logarithm of
            are better left as they are. Defaults to `True`.
        freeze_after: Training steps after which the range stays. Defaults to `None`: it doesn't.
        slots: In how many places it is called, each with its number as `slot`. Defaults to `1`.

    Called with `slot=None`, it rounds averages of numbers that it has rounded before: those of a
    pooling, which has the range of its input. Called with the `terms` of a sum, two pairs of an
    activation and its step, it rounds as the device does that adds these up; with the `steps` of a
    layer's sums, one a channel, as the device that multiplies these by the quotient of two steps.

    Returns:
        The numbers, float32 of the inputs' shape, and their step, a scalar: 0 before there is one.
    """

    def __init__(
        self,
        quantizer: ActivationQuantizer | None = None,
        fixed_range: tuple[float, float] | None = None,
        freeze_after: int | None = None,
        in_training: bool = True,
        slots: int = 1,
        **kwargs: Any,
    ) -> None:
        # Integers are counted in float32, whatever the model computes in.
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.quantizer = quantizer or ActivationQuantizer()
        self.fixed_range = None if fixed_range is None else tuple(map(float, fixed_range))
        self.freeze_after = freeze_after
        self.in_training = in_training
        self.slots = slots
        self.supports_masking = True
        #: Whether calls outside of training move the range too.
        self.calibrating = False

    @property
    def is_learned(self) -> bool:
        """Whether the step is trained."""
        return self.quantizer.range == "learned" and self.fixed_range is None

    def build(self, input_shape: Any = None) -> None:
        if self.fixed_range is None:
            state = {"shape": (self.slots,), "trainable": False, "initializer": "zeros"}
            self.low = self.add_weight(name="low", aggregation="mean", **state)
            self.high = self.add_weight(name="high", aggregation="mean", **state)
            self.batches = self.add_weight(
                name="batches", dtype="int32", aggregation="only_first_replica", **state
            )
        if self.fixed_range is None and self.freeze_after is not None:
            self.steps_done = self.add_weight(
                name="steps_done", dtype="int32", aggregation="only_first_replica", **state
            )
        if self.is_learned:
            # A factor of the step that calibration found: an optimizer that moves weights by so
            # much a step, such as Adam, then suits steps of any size.
            self.factor = self.add_weight(name="factor", shape=(), initializer="ones")
        for variable in self.weights:
            # Ranges are told by the file's steps; the exporter asks.
            variable.of_training = True
        self._values_per_sample = math.prod(int(n) for n in input_shape[1:] if n is not None)
        self.built = True

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        slot: int | None = 0,
        terms: Sequence[tuple[Tensor, Tensor]] | None = None,
        steps: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        inputs = ops.cast(inputs, "float32")
        moves = training and self.quantizer.range != "learned"
        if self.fixed_range is None and slot is not None and (moves or self.calibrating):
            self._observe(inputs, slot, training)
        step, zero_point = self.grid(training)
        if training and not self.in_training:
            return inputs, ops.stop_gradient(step)
        if training and slot is not None and not self.is_learned:
            # It has seen data by now: these at least.
            quantized = quantize_in_training(inputs, step, zero_point, self.quantizer.bits)
            return quantized, ops.stop_gradient(step)
        rounds = round_pooled if slot is None else quantize_affine
        quantized = rounds(inputs, step, zero_point, self.quantizer.bits)
        if terms is not None and not training and terms[0][1] is not None:
            quantized = self._added(quantized, terms, step, zero_point)
        if steps is not None and not training:
            sums = rescaled_sums(inputs, steps, step, zero_point, self.quantizer.bits)
            quantized = ops.where(steps > 0, sums, quantized)
        if self.fixed_range is None:
            seen = ops.max(ops.convert_to_tensor(self.batches)) > 0
            quantized = ops.where(seen, quantized, inputs)
            step = ops.where(seen, step, 0.0)
        return quantized, ops.stop_gradient(step)

    def _added(
        self,
        rounded: Tensor,
        terms: Sequence[tuple[Tensor, Tensor]],
        step: Tensor,
        zero_point: Tensor,
    ) -> Tensor:
        """Return the sum of `terms` as the device rounds it; `rounded` where it does otherwise."""
        one, other = terms
        integers, covered = added_integers(one, other, step)
        lowest, largest = activation_limits(self.quantizer.bits)
        integers = ops.clip(integers, lowest - zero_point, largest - zero_point)
        return ops.where(covered, integers * step, rounded)

    def compute_output_spec(
        self,
        inputs: Tensor,
        training: bool = False,
        slot: int | None = 0,
        terms: Sequence[tuple[Tensor, Tensor]] | None = None,
        steps: Tensor | None = None,
    ) -> Any:
        return (
            keras.KerasTensor(inputs.shape, dtype="float32"),
            keras.KerasTensor((), dtype="float32"),
        )

    def compute_mask(self, inputs: Tensor, previous_mask: object = None) -> Any:
        return previous_mask, None

    def trained_range(self) -> tuple[float, float] | None:
        """Return the least and the largest number that is kept; `None` if it has seen no data."""
        if self.fixed_range is None and not ops.convert_to_numpy(self.batches).any():
            return None
        step, zero_point = (float(ops.convert_to_numpy(each)) for each in self.grid())
        lowest, largest = activation_limits(self.quantizer.bits)
        return (lowest - zero_point) * step, (largest - zero_point) * step

    def set_range(self, low: float, high: float) -> None:
        """Let the range be from `low` to `high`, as if data had been seen.

        Raises:
            KerasCompressError: If the layer has a fixed range or the numbers aren't ascending.
        """
        if self.fixed_range is not None or not low < high:
            raise KerasCompressError(
                "A range goes from a number to a larger one, where the operator leaves it open. "
                f"Received: {low!r} to {high!r} for {self.name!r}."
            )
        self.low.assign(ops.full((self.slots,), low))
        self.high.assign(ops.full((self.slots,), high))
        self.batches.assign(ops.maximum(ops.convert_to_tensor(self.batches), 1))
        if self.is_learned:
            self.factor.assign(1.0)

    def grid(self, training: bool = False) -> tuple[Tensor, Tensor]:
        """Return step and zero point of the range, as scalar tensors."""
        bits = self.quantizer.bits
        if self.fixed_range is not None:
            low, high = (ops.convert_to_tensor(end, "float32") for end in self.fixed_range)
            return activation_grid(low, high, bits)
        low, high = ops.min(self.low), ops.max(self.high)
        step, zero_point = activation_grid(low, high, bits)
        if not self.is_learned:
            return step, zero_point
        factor = ops.convert_to_tensor(self.factor)
        if training:
            # The relative change of the step is what it is in LSQ, whose update of a step is
            # divided by the step; here that of the factor is, by its square.
            limit = activation_limits(bits)[1]
            gain = step_gradient_scale(self._values_per_sample, limit)
            factor = scale_gradient(factor, ops.minimum(gain / ops.square(step), 1e6))
        return short(step * ops.maximum(factor, 1e-3)), zero_point

    def _observe(self, inputs: Tensor, slot: int, training: bool) -> None:
        low, high = self._batch_range(ops.stop_gradient(inputs))
        here = ops.equal(ops.arange(self.slots), slot)
        seen = ops.convert_to_tensor(self.batches)
        count = ops.cast(seen, "float32")
        new = 1.0 - ops.minimum(count / (count + 1.0), self.quantizer.momentum)
        if self.freeze_after is not None and training:
            done = ops.convert_to_tensor(self.steps_done)
            frozen = ops.logical_and(done >= self.freeze_after, seen > 0)
            new = ops.where(frozen, 0.0, new)
            self.steps_done.assign(done + ops.cast(here, done.dtype))
        new = ops.where(here, new, 0.0)
        for variable, value in ((self.low, low), (self.high, high)):
            before = ops.convert_to_tensor(variable)
            variable.assign(before + new * (value - before))
        self.batches.assign(seen + ops.cast(here, seen.dtype))

    def _batch_range(self, values: Tensor) -> tuple[Tensor, Tensor]:
        if self.quantizer.range != "percentile" or self.quantizer.percentile >= 100.0:
            return ops.min(values), ops.max(values)
        flat = ops.reshape(values, (-1,))
        size = self._values_per_sample * (values.shape[0] or 1)
        if size > _MAX_SORTED:
            flat = flat[:: size // _MAX_SORTED + 1]
        share = self.quantizer.percentile / 100.0
        return ops.quantile(flat, 1.0 - share), ops.quantile(flat, share)

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            "quantizer": keras.saving.serialize_keras_object(self.quantizer),
            "fixed_range": None if self.fixed_range is None else list(self.fixed_range),
            "freeze_after": self.freeze_after,
            "in_training": self.in_training,
            "slots": self.slots,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FakeQuantize:
        config = dict(config)
        config["quantizer"] = keras.saving.deserialize_keras_object(config["quantizer"])
        return cls(**config)
