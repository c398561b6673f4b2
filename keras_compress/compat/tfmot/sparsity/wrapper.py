"""The layer that `prune_low_magnitude` returns: `pruning.Pruned` with tfmot's arguments."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_compress.compat.tfmot.sparsity.schedules import ConstantSparsity, PruningSchedule
from keras_compress.compat.tfmot.wrapping import declared_input
from keras_compress.engine.weights import iter_weights, kernel_indices, require_finite
from keras_compress.errors import KerasCompressError
from keras_compress.pruning.criteria import Magnitude
from keras_compress.pruning.patterns import Blocks, NofM, Pattern, Unstructured
from keras_compress.pruning.wrapper import Pruned

# tfmot leaves these alone: a depthwise filter has few weights and much of the accuracy.
_NEVER_PRUNED = (
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.MultiHeadAttention,
)


class PrunableLayer(metaclass=abc.ABCMeta):
    """Mixin of custom layers that say what may be pruned."""

    @abc.abstractmethod
    def get_prunable_weights(self) -> Sequence[Any]:
        """Return the variables of the built layer that may be pruned."""


@keras.saving.register_keras_serializable(package="keras_compress.tfmot")
class PruneLowMagnitude(Pruned):
    """Runs a layer on masked kernels; `UpdatePruningStep` moves the masks.

    Args:
        layer: The layer to prune: one of Keras', or one with `get_prunable_weights()`.
        pruning_schedule: A `PruningSchedule`. Defaults to `ConstantSparsity(0.5, 0)`.
        block_size: Rows and columns of the blocks pruned as a whole. Defaults to `(1, 1)`.
        block_pooling_type: `"AVG"` or `"MAX"` magnitude of a block. Defaults to `"AVG"`.
        sparsity_m_by_n: `(m, n)` for m zeros in each n consecutive inputs. Defaults to `None`.

    Raises:
        KerasCompressError: A `ValueError`, if the layer can't be pruned or an argument is wrong.
    """

    needs_kernel = False

    def __init__(
        self,
        layer: Any,
        pruning_schedule: Any = None,
        block_size: Sequence[int] = (1, 1),
        block_pooling_type: str = "AVG",
        sparsity_m_by_n: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        require_prunable(layer)
        if block_pooling_type not in ("AVG", "MAX"):
            raise KerasCompressError(
                f"`block_pooling_type` must be 'AVG' or 'MAX'. Received: {block_pooling_type!r}."
            )
        if len(tuple(block_size)) != 2 or min(block_size) < 1:
            raise KerasCompressError(
                "`block_size` must be two numbers of at least 1. "
                f"Received: block_size={block_size!r}."
            )
        super().__init__(layer, **{**declared_input(layer), **kwargs})
        self.pruning_schedule = pruning_schedule or ConstantSparsity(0.5, 0)
        self.block_size = tuple(block_size)
        self.block_pooling_type = block_pooling_type
        self.sparsity_m_by_n = _checked_m_by_n(sparsity_m_by_n)
        self.pattern = _pattern(self.sparsity_m_by_n, self.block_size, block_pooling_type)
        self._driven = False
        self._overdue = False

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        self.pruning_step = self.add_weight(
            name="pruning_step",
            shape=(),
            dtype="int32",
            initializer=keras.initializers.Constant(-1),
            trainable=False,
        )
        if isinstance(self.pattern, Blocks):
            for variable in self.substituted_weights():
                # Says so now if a weight is no matrix, not at the first step.
                _matrix(np.ones(variable.shape, np.float32))

    def choose_indices(self) -> list[int]:
        own = getattr(self.layer, "get_prunable_weights", None)
        if own is not None:
            wanted = {id(variable) for variable in own()}
            return [i for i, v in enumerate(self.layer.variables) if id(v) in wanted]
        if isinstance(self.layer, _NEVER_PRUNED):
            return []
        variables = self.layer.variables
        return [i for i in kernel_indices(self.layer) if variables[i].name != "depthwise_kernel"]

    @property
    def pruning_vars(self) -> list[tuple[Any, Any]]:
        """`(weight, mask)` for each pruned weight."""
        return self.masked_weights()

    def call(self, *args: Any, training: Any = None, **kwargs: Any) -> Any:
        inputs = keras.tree.flatten((args, kwargs))
        symbolic = any(isinstance(x, keras.KerasTensor) for x in inputs)
        if training is True and not self._driven and not symbolic:
            raise _missing_callback(self.name)
        return super().call(*args, **kwargs)

    @property
    def is_driven(self) -> bool:
        """Whether `UpdatePruningStep` has reached the layer."""
        return self._driven

    @property
    def is_overdue(self) -> bool:
        """Whether masks were due at a step that found the layer unbuilt."""
        return self._overdue

    def postpone(self, step: int) -> None:
        """Let an unbuilt layer pass `step`; what was due then is done at the next `advance`."""
        self._overdue = self._overdue or self._is_due(step)
        self._driven = True

    def advance(self, step: int) -> None:
        """Go to `step` of training: make the masks anew where the schedule says so."""
        due = self._overdue or self._is_due(step)
        self._driven, self._overdue = True, False
        if not self.masks or not due:
            return
        _, sparsity = self.pruning_schedule(step)
        share = np.float32(keras.ops.convert_to_numpy(sparsity))
        self.pruning_step.assign(step)
        refs = {id(ref.variable): ref for ref in iter_weights(self.layer)}
        masks = []
        for variable in self.substituted_weights():
            values = np.asarray(keras.ops.convert_to_numpy(variable))
            require_finite(refs[id(variable)], values)
            masks.append(self._mask(values, share))
        self.set_masks(masks)

    def remask(self) -> None:
        """Zero what momentum or weight decay moved under the masks."""
        self.set_masks([keras.ops.convert_to_numpy(mask) for mask in self.masks])

    def is_due(self, step: int) -> bool:
        """Whether `advance` has something to do at `step`."""
        return not self._driven or self._overdue or self._is_due(step)

    def _is_due(self, step: int) -> bool:
        # tfmot's m:n pattern stands from the first step on, whatever the schedule says.
        first = not self._driven and self.sparsity_m_by_n is not None
        return first or _asks_to_prune(self.pruning_schedule, step)

    def _mask(self, values: np.ndarray, share: np.float32) -> np.ndarray:
        scores = Magnitude().scores(values)
        if isinstance(self.pattern, NofM):
            return self.pattern.mask(scores, self.pattern.max_sparsity)
        if isinstance(self.pattern, Blocks):
            scores = _matrix(scores)
        units = self.pattern.pool(scores).size
        return self.pattern.mask(scores, _exact_share(units, share)).reshape(values.shape)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        # Which weights are pruned is told by the layer.
        config.pop("indices")
        return {
            **config,
            "pruning_schedule": keras.saving.serialize_keras_object(self.pruning_schedule),
            "block_size": self.block_size,
            "block_pooling_type": self.block_pooling_type,
            "sparsity_m_by_n": self.sparsity_m_by_n,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> PruneLowMagnitude:
        config = dict(config)
        for name in ("layer", "pruning_schedule"):
            config[name] = keras.saving.deserialize_keras_object(config[name], custom_objects)
        return cls(**config)


def _asks_to_prune(schedule: Any, step: int) -> bool:
    if isinstance(schedule, PruningSchedule):
        return schedule.is_due(step)
    return bool(keras.ops.convert_to_numpy(schedule(step)[0]))


def require_prunable(layer: Any) -> None:
    """Raise unless `layer` is one of Keras' layers or says itself what may be pruned."""
    own = isinstance(layer, PrunableLayer) or hasattr(layer, "get_prunable_weights")
    wrapped = isinstance(layer, Pruned)
    stock = type(layer).__module__.split(".")[0] == "keras"
    if wrapped or isinstance(layer, keras.layers.InputLayer) or not (stock or own):
        why = "it is wrapped already" if wrapped else "it does not say what may be pruned"
        why = "it has no weights" if isinstance(layer, keras.layers.InputLayer) else why
        raise KerasCompressError(
            "A layer to prune must be one of Keras' own, or define `get_prunable_weights()` "
            f"(see `PrunableLayer`). Received: {getattr(layer, 'name', layer)!r} of type "
            f"{type(layer).__name__}; {why}."
        )


def _pattern(m_by_n: tuple[int, int] | None, block_size: tuple[int, ...], pooling: str) -> Pattern:
    if m_by_n is not None:
        zeros, group = m_by_n
        # tfmot takes the second last axis for the inputs, whatever the layer is.
        return NofM(group - zeros, group, axis=-2)
    height, width = block_size
    if (height, width) == (1, 1):
        return Unstructured()
    return Blocks((height, width), "average" if pooling == "AVG" else "max")


def _matrix(values: np.ndarray) -> np.ndarray:
    """Return `values` as the matrix on which tfmot lays blocks: without axes of size 1."""
    matrix = values.squeeze() if values.ndim > 2 else values
    if matrix.ndim != 2:
        raise KerasCompressError(
            "Block sparsity can only be used for 2-dimensional weights. "
            f"Received: a weight of shape {values.shape}."
        )
    return matrix


def _exact_share(size: int, share: np.float32) -> float:
    # Rounded in float32 and with one value kept at least, as tfmot does.
    kept = max(int(np.round(np.float32(size) * (np.float32(1) - share))), 1)
    return (size - kept) / size


def _checked_m_by_n(m_by_n: Sequence[int] | None) -> tuple[int, int] | None:
    if m_by_n is None:
        return None
    pair = tuple(m_by_n) if isinstance(m_by_n, list | tuple) else ()
    if len(pair) != 2 or not all(isinstance(n, int) for n in pair) or not 0 < pair[0] < pair[1]:
        raise KerasCompressError(
            "`sparsity_m_by_n` must be two ints (m, n), m zeros in n values with 0 < m < n. "
            f"Received: sparsity_m_by_n={m_by_n!r}."
        )
    return pair


def _missing_callback(name: str) -> Exception:
    message = (
        "Training a pruned layer needs the callback `UpdatePruningStep`. Received: a training "
        f"step of {name!r} without it. Call `fit(..., callbacks=[UpdatePruningStep()])`; in a "
        "loop of your own call its `set_model`, `on_train_begin` and `on_train_batch_begin`."
    )
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # The type that tfmot raises.
        return tf.errors.InvalidArgumentError(None, None, message)
    return KerasCompressError(message)
