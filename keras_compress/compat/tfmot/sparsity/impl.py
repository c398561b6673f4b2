"""When masks are made, and how they are put in force: what a pruned layer does in each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.compat.tfmot.sparsity.masks import block_mask, m_by_n_mask, magnitude_mask
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

#: The threshold that tfmot writes down where the m by n pattern has none.
_NO_THRESHOLD = 999.0


class Pruning:
    """Magnitude-based pruning of the weights of one layer.

    Args:
        training_step_fn: Returns the step, an integer tensor or variable.
        pruning_vars: `(weight, mask, threshold)` variables.
        pruning_schedule: A `PruningSchedule`.
        block_size: Rows and columns of a block.
        block_pooling_type: `"AVG"` or `"MAX"`.
        sparsity_m_by_n: `(m, n)`, or `None`. Defaults to `None`.

    Raises:
        KerasCompressError: If blocks are asked for and a weight is no matrix.
    """

    def __init__(
        self,
        training_step_fn: Callable[[], Any],
        pruning_vars: Sequence[tuple[Any, Any, Any]],
        pruning_schedule: Any,
        block_size: Sequence[int],
        block_pooling_type: str,
        sparsity_m_by_n: tuple[int, int] | None = None,
    ) -> None:
        self._step_fn = training_step_fn
        self._pruning_vars = list(pruning_vars)
        self._pruning_schedule = pruning_schedule
        self._block_size = tuple(block_size)
        self._block_pooling_type = block_pooling_type
        self._sparsity_m_by_n = sparsity_m_by_n
        if self._block_size == (1, 1):
            return
        for weight, _, _ in self._pruning_vars:
            if len(weight.shape) != 2:
                raise KerasCompressError(
                    "Block sparsity can only be used for layers which have 2-dimensional weights. "
                    f"Received: block_size={self._block_size} for {weight.path} of shape "
                    f"{tuple(weight.shape)}."
                )

    def conditional_mask_update(self) -> None:
        """Make the masks anew if the schedule asks for it at the present step.

        The m by n pattern is laid once, at step 1, whatever the schedule says.
        """
        ops = keras.ops
        if not self._pruning_vars:
            return
        step = ops.convert_to_tensor(self._step_fn())
        due, sparsity = self._pruning_schedule(step)
        if self._sparsity_m_by_n is not None:
            due = ops.equal(step, 1)

        def made() -> list[tuple[Tensor, Tensor]]:
            return [self._made(weight, mask, sparsity) for weight, mask, _ in self._pruning_vars]

        def kept() -> list[Any]:
            return [
                (ops.convert_to_tensor(threshold), ops.convert_to_tensor(mask))
                for _, mask, threshold in self._pruning_vars
            ]

        # Assigned outside of the condition, within which no replica may wait for the others.
        found = ops.cond(due, made, kept)
        for (_, mask, threshold), (its_threshold, its_mask) in zip(
            self._pruning_vars, found, strict=True
        ):
            threshold.assign(its_threshold)
            mask.assign(its_mask)

    def masked(self) -> list[tuple[keras.Variable, Tensor]]:
        """Return `(weight, its value under the mask)` for each pruned weight."""
        return [(weight, _under(weight, mask)) for weight, mask, _ in self._pruning_vars]

    def weight_mask_op(self) -> None:
        """Zero what is pruned: `weight <- weight * mask`."""
        for weight, value in self.masked():
            weight.assign(value)

    def add_pruning_summaries(self) -> None:
        """Write sparsities and thresholds to the `tf.summary` writer in force."""
        import tensorflow as tf

        step = keras.ops.convert_to_numpy(self._step_fn())
        sparsity = keras.ops.convert_to_numpy(self._pruning_schedule(self._step_fn())[1])
        tf.summary.scalar("sparsity", sparsity, step=step)
        for name, value in summaries_of(self._pruning_vars).items():
            tf.summary.scalar(name, value, step=step)

    def _made(self, weight: keras.Variable, mask: Tensor, sparsity: Any) -> tuple[Tensor, Tensor]:
        ops = keras.ops
        values = ops.convert_to_tensor(weight)
        if keras.backend.backend() != "tensorflow":
            # There no gradient reaches what is pruned, so its value is of an earlier step.
            values = values * ops.cast(mask, values.dtype)
        if self._sparsity_m_by_n is not None:
            threshold, made = _NO_THRESHOLD, m_by_n_mask(values, self._sparsity_m_by_n)
        elif self._block_size == (1, 1):
            threshold, made = magnitude_mask(values, sparsity)
        else:
            threshold, made = block_mask(
                values, sparsity, self._block_size, self._block_pooling_type
            )
        return ops.cast(threshold, mask.dtype), ops.cast(made, mask.dtype)


def _under(weight: keras.Variable, mask: Tensor) -> Tensor:
    """Return `weight` under `mask`; plus zero where pruned, whatever the sign of the weight."""
    ops = keras.ops
    values = ops.convert_to_tensor(weight)
    kept = ops.cast(ops.convert_to_tensor(mask), "bool")
    return ops.where(kept, values, ops.zeros_like(values))


def summaries_of(pruning_vars: Sequence[tuple[Any, Any, Any]]) -> dict[str, float]:
    """Return tag -> value of the sparsity and the threshold of each pruned weight."""
    found = {}
    for _, mask, threshold in pruning_vars:
        kept = keras.ops.convert_to_numpy(mask)
        found[f"{mask.path}/sparsity"] = float(1.0 - kept.mean(dtype="float64"))
        found[f"{threshold.path}/threshold"] = float(keras.ops.convert_to_numpy(threshold))
    return found
