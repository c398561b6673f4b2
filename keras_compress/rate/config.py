"""How strongly bits are paid for, from when on, and on which grid the weights lie."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras

from keras_compress.engine.technique import TechniqueConfig
from keras_compress.engine.weights import Selection, Selectors, iter_weights
from keras_compress.errors import KerasCompressError

# Where the price rises by 1 %, bytes fall by some 0.4 %: within an epoch at a high learning rate,
# over fifteen at a low one. The first gain, for what bytes changed by, keeps the second, for how
# far they are from the target, from swinging about it at a low rate; times 0.4 it must stay under
# 1, or it swings itself at a high one.
_GAIN_OF_CHANGE = 1.5
_GAIN_OF_DISTANCE = 0.4


@keras.saving.register_keras_serializable(package="keras_compress")
@dataclass(frozen=True)
class RateConfig(TechniqueConfig):
    """Settings of rate-aware training, the same for `prepare` and `RateCallback`.

    The loss that is minimised is `task loss + rate_weight * bits`, the Lagrangian of rate and
    distortion. `rate_weight` is the one knob: twice as much gives a smaller file and a higher
    task loss. For a mean cross-entropy in nats, 1e-7 touches a net of some 100,000 weights
    little and 1e-5 leaves one weight in a hundred.

    Example:

    ```python
    config = RateConfig(rate_weight=1e-5, ramp_steps=2000)
    ```

    Args:
        rate_weight: What one bit costs, in units of the loss (lambda). Defaults to `1e-6`.
        begin_step: Training step at which bits begin to cost. Defaults to `0`.
        ramp_steps: Steps over which the price grows from nothing to `rate_weight`, in a straight
            line. Defaults to `0` (the whole price at once).
        initial_step_size: Distance of neighbouring values at first, in standard deviations of
            each weight. It is trained from there. Defaults to `0.5`.
        step_digits: Significant binary digits of a step size, 1 to 24; few of them make the
            codebook cheaper to store. Defaults to `4`.
        biases: Whether the biases of the chosen layers are on a grid, and paid for, too.
            Defaults to `True`.
        layers: Which layers: name, path, wildcard, class or predicate, or a list of these.
            Defaults to `None`: every layer with a kernel.
        target_bytes: What the rounded weights shall take, in bytes by `estimated_bits`. With it
            `rate_weight` is only the price to begin with: from the end of the ramp on it is
            raised at the begin of every epoch with more bytes and lowered with fewer, to between a
            thousandth and a thousand times. Give it some thirty epochs after the ramp, and begin
            within three times of the right price. Defaults to `None` (the price stays).

    Raises:
        KerasCompressError: If an argument is out of range.
    """

    rate_weight: float = 1e-6
    begin_step: int = 0
    ramp_steps: int = 0
    initial_step_size: float = 0.5
    step_digits: int = 4
    biases: bool = True
    layers: Selectors = None
    target_bytes: int | None = None

    def __post_init__(self) -> None:
        if not (_is_number(self.rate_weight) and self.rate_weight >= 0):
            raise KerasCompressError(
                "`rate_weight` must be a finite number, 0 or more. "
                f"Received: rate_weight={self.rate_weight!r}."
            )
        for name in ("begin_step", "ramp_steps"):
            steps = getattr(self, name)
            if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
                raise KerasCompressError(
                    f"`{name}` must be an int, 0 or more. Received: {name}={steps!r}."
                )
        if not (_is_number(self.initial_step_size) and self.initial_step_size > 0):
            raise KerasCompressError(
                "`initial_step_size` must be a finite number above 0. "
                f"Received: initial_step_size={self.initial_step_size!r}."
            )
        check_step_digits(self.step_digits)
        target = self.target_bytes
        if target is None:
            return
        if isinstance(target, bool) or not isinstance(target, int) or target < 1:
            raise KerasCompressError(
                "`target_bytes` must be an int above 0, or None. "
                f"Received: target_bytes={target!r}."
            )
        if self.rate_weight == 0:
            raise KerasCompressError(
                "With `target_bytes` a `rate_weight` above 0 is needed, the price to begin with. "
                "Received: rate_weight=0."
            )

    def select(self, model: keras.Model) -> Selection:
        """Return the weights of `model` to round, and why each other one is left alone.

        Raises:
            KerasCompressError: If the model is unbuilt, or `layers` matches nothing.
        """
        selection = super().select(model)
        if not self.biases:
            return selection
        owners = {id(ref.owners[-1]) for ref in selection.chosen if ref.owners}
        chosen = {id(ref.variable) for ref in selection.chosen}
        added = {
            id(ref.variable)
            for ref, _ in selection.left_alone
            if ref.name == "bias" and ref.variable.trainable and id(ref.owners[-1]) in owners
        }
        left_alone = tuple(
            pair for pair in selection.left_alone if id(pair[0].variable) not in added
        )
        # In the order of the model.
        both = tuple(ref for ref in iter_weights(model) if id(ref.variable) in chosen | added)
        return Selection(both, left_alone)

    def strength(self, step: int) -> float:
        """Return the price of a bit after `step` training steps."""
        if step < self.begin_step:
            return 0.0
        if step >= self.begin_step + self.ramp_steps:
            return float(self.rate_weight)
        return float(self.rate_weight) * (step - self.begin_step) / self.ramp_steps

    def priced(self, step: int) -> bool:
        """Return whether the ramp has ended after `step` training steps."""
        return step >= self.begin_step + self.ramp_steps

    def corrected(self, price: float, size: float, before: float | None = None) -> float:
        """Return the price of a bit after an epoch at `price` from `before` to `size` bytes."""
        if self.target_bytes is None:
            return price
        change = _bounded((size / self.target_bytes) ** _GAIN_OF_DISTANCE)
        if before:
            # Bounded by itself: where bytes swing widely, its ups and downs cancel.
            change *= _bounded((size / before) ** _GAIN_OF_CHANGE)
        return min(max(price * change, self.rate_weight / 1000), self.rate_weight * 1000)


def _bounded(change: float) -> float:
    return min(max(change, 0.8), 1.25)


def check_step_digits(step_digits: int) -> None:
    """Raise unless `step_digits` is an int from 1 to 24.

    Raises:
        KerasCompressError: If it isn't.
    """
    is_int = isinstance(step_digits, int) and not isinstance(step_digits, bool)
    if not is_int or not 1 <= step_digits <= 24:
        raise KerasCompressError(
            "`step_digits` must be an int from 1 to 24, the digits of a float32. "
            f"Received: step_digits={step_digits!r}."
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
