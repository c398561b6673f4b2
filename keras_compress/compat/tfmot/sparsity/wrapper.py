"""The layer that `prune_low_magnitude` returns: tfmot's wrapper, with its attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.compat.tfmot.sparsity.impl import Pruning
from keras_compress.compat.tfmot.sparsity.registry import make_prunable, says_itself
from keras_compress.compat.tfmot.sparsity.schedules import (
    ConstantSparsity,
    PruningSchedule,
    schedule_from_config,
)
from keras_compress.compat.tfmot.wrapping import TfmotWrapper, assigns_in_call
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

_HALF = ConstantSparsity(0.5, 0)


@keras.saving.register_keras_serializable(package="keras_compress.tfmot")
class PruneLowMagnitude(TfmotWrapper):
    """Runs a layer whose weights it prunes while it trains, along a schedule.

    As in tfmot each call with `training=True` counts a step, makes the masks anew where the
    schedule asks for it and zeroes what is pruned; gradients reach pruned weights, too, so that
    one may come back when the masks are made next. (On JAX and PyTorch, and in several replicas,
    pruned weights get no gradient.)

    Args:
        layer: The layer to prune: one that tfmot knows, or one with `get_prunable_weights()`.
        pruning_schedule: A `PruningSchedule`. Defaults to `ConstantSparsity(0.5, 0)`.
        block_size: Rows and columns of the blocks pruned as a whole. Defaults to `(1, 1)`.
        block_pooling_type: `"AVG"` or `"MAX"` magnitude of a block. Defaults to `"AVG"`.
        sparsity_m_by_n: `(m, n)` for m zeros in each n consecutive inputs. Defaults to `None`.

    Raises:
        KerasCompressError: A `ValueError`, if the layer can't be pruned or an argument is wrong.
    """

    action = "pruned"
    prefix = "prune_low_magnitude"

    def __init__(
        self,
        layer: keras.Layer,
        pruning_schedule: PruningSchedule = _HALF,
        block_size: Sequence[int] = (1, 1),
        block_pooling_type: str = "AVG",
        sparsity_m_by_n: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        if block_pooling_type not in ("AVG", "MAX"):
            raise KerasCompressError(
                f"Unsupported pooling type '{block_pooling_type}'. Should be 'AVG' or 'MAX'. "
                f"Received: block_pooling_type={block_pooling_type!r}."
            )
        if len(tuple(block_size)) != 2 or min(block_size) < 1:
            raise KerasCompressError(
                "`block_size` must be two numbers of at least 1. "
                f"Received: block_size={block_size!r}."
            )
        m_by_n = _checked_m_by_n(sparsity_m_by_n)
        if not isinstance(layer, keras.Layer):
            raise KerasCompressError(
                f"A `keras.Layer` is needed to be pruned. Received: {layer!r}."
            )
        if not says_itself(layer):
            make_prunable(layer)
        # As in tfmot, whatever name was asked for.
        kwargs["name"] = f"{self.prefix}_{layer.name}"
        super().__init__(layer, **kwargs)
        self.pruning_schedule = pruning_schedule
        self.block_size = block_size
        self.block_pooling_type = block_pooling_type
        self.sparsity_m_by_n = m_by_n
        self.pruning_obj: Pruning | None = None
        self._masks: list[Any] = []
        self._thresholds: list[Any] = []
        self._first_step = -1
        self._driven = False

    def build(self, input_shape: object = None, **shapes: Any) -> None:
        super().build(input_shape, **shapes)
        self.pruning_step = self.add_weight(
            name="pruning_step",
            shape=(),
            # The default integers of JAX are of 32 bits.
            dtype="int32" if keras.backend.backend() == "jax" else "int64",
            initializer=keras.initializers.Constant(self._first_step),
            trainable=False,
            aggregation="only_first_replica",
        )
        self.pruning_obj = Pruning(
            training_step_fn=lambda: self.pruning_step,
            pruning_vars=self.pruning_vars,
            pruning_schedule=self.pruning_schedule,
            block_size=self.block_size,
            block_pooling_type=self.block_pooling_type,
            sparsity_m_by_n=self.sparsity_m_by_n,
        )

    def choose_weights(self) -> list[keras.Variable]:
        layer: Any = self.layer
        return list(layer.get_prunable_weights())

    def add_state(self, variable: keras.Variable) -> None:
        for name, shape, initializer, held in (
            ("mask", variable.shape, "ones", self._masks),
            ("threshold", (), "zeros", self._thresholds),
        ):
            weight = self.add_weight(
                name=name,
                shape=shape,
                dtype=variable.dtype,
                initializer=initializer,
                trainable=False,
                aggregation="mean",
            )
            held.append(weight)

    @property
    def prunable_weights(self) -> list[keras.Variable]:
        """The variables of the layer that are pruned."""
        return self.substituted_weights() if self.built else []

    @property
    def pruning_vars(self) -> list[tuple[Any, Any, Any]]:
        """`(weight, mask, threshold)` variables of each pruned weight."""
        if not self._masks:
            return []
        return list(zip(self.substituted_weights(), self._masks, self._thresholds, strict=True))

    def substitutes(self) -> list[tuple[keras.Variable, Tensor]]:
        return [] if self.pruning_obj is None else self.pruning_obj.masked()

    def call(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Tensor:
        pruning = self.pruning_obj
        if pruning is None:
            return self.layer(*args, **kwargs)
        if training:
            self._require_callback()
            self.pruning_step.assign(self.pruning_step + 1)
            pruning.conditional_mask_update()
        if not assigns_in_call():
            return super().call(*args, **kwargs)
        pruning.weight_mask_op()
        return self.layer(*args, **kwargs)

    @property
    def is_driven(self) -> bool:
        """Whether `UpdatePruningStep` has reached the layer."""
        return self._driven

    def begin(self) -> None:
        """Start counting at step 0, unless the layer counts already."""
        if not self.built:
            self._first_step = 0
        elif int(keras.ops.convert_to_numpy(self.pruning_step)) == -1:
            self.pruning_step.assign(0)
        self._driven = True

    def _require_callback(self) -> None:
        if self._driven:
            return
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            with tf.init_scope():
                # A loaded model goes on, or a loop of one's own has set the step.
                if int(np.min(keras.ops.convert_to_numpy(self.pruning_step))) >= 0:
                    return
        raise _missing_callback(self.name)

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            "pruning_schedule": self.pruning_schedule.get_config(),
            "block_size": self.block_size,
            "block_pooling_type": self.block_pooling_type,
            "sparsity_m_by_n": self.sparsity_m_by_n,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> PruneLowMagnitude:
        config = dict(config)
        config["layer"] = keras.saving.deserialize_keras_object(config["layer"], custom_objects)
        config["pruning_schedule"] = schedule_from_config(
            config["pruning_schedule"], custom_objects
        )
        return cls(**config)


def _checked_m_by_n(m_by_n: Sequence[int] | None) -> tuple[int, int] | None:
    if not m_by_n:
        return None
    pair = tuple(m_by_n) if isinstance(m_by_n, list | tuple) else ()
    if len(pair) != 2 or not all(isinstance(n, int) for n in pair) or not 0 < pair[0] < pair[1]:
        raise KerasCompressError(
            "`sparsity_m_by_n` must be two ints (m, n), m zeros in n values with 0 < m < n. "
            f"Received: sparsity_m_by_n={m_by_n!r}."
        )
    return pair[0], pair[1]


def _missing_callback(name: str) -> Exception:
    message = (
        "Training a pruned layer needs the callback `UpdatePruningStep`. Received: a training "
        f"step of {name!r} without it. Call `fit(..., callbacks=[UpdatePruningStep()])`; in a "
        "loop of your own call its `set_model` and `on_train_begin`, and `on_epoch_end` after "
        "each epoch."
    )
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # The type that tfmot raises.
        return tf.errors.InvalidArgumentError(None, None, message)
    return KerasCompressError(message)
