"""`Quantizer` and those that come with tfmot: how a tensor is put on a grid, and by which range."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, Self

import keras
from keras import ops

from keras_compress.compat.tfmot.quantization.fake_quant import fake_quant

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

_DECAY = 0.999


class Quantizer(metaclass=abc.ABCMeta):
    """How a tensor is quantized; a subclass of yours may do it in another way.

    `build` makes the variables that it needs, as weights of the layer, and returns them by name;
    a call gets them as `weights`.
    """

    @abc.abstractmethod
    def build(self, tensor_shape: object, name: str, layer: keras.Layer) -> dict[str, Any] | None:
        """Return the quantizer's variables, made by `layer.add_weight`."""

    @abc.abstractmethod
    def __call__(self, inputs: Tensor, training: bool, weights: object, **kwargs: Any) -> Tensor:
        """Return `inputs` quantized."""

    @abc.abstractmethod
    def get_config(self) -> dict[str, object]:
        """Return the arguments of the constructor."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


class _RangeQuantizer(Quantizer):
    """Quantizes to a range that two variables hold.

    Args:
        num_bits: Bits of a value, 2 to 16.
        per_axis: Whether each index of the last axis has a range of its own.
        symmetric: Whether a range reaches as far below 0 as above.
        narrow_range: Whether the lowest integer is left out, so that 0 is in the middle.
    """

    _initial = (-6.0, 6.0)

    def __init__(self, num_bits: int, per_axis: bool, symmetric: bool, narrow_range: bool) -> None:
        self.num_bits = num_bits
        self.per_axis = per_axis
        self.symmetric = symmetric
        self.narrow_range = narrow_range

    def build(self, tensor_shape: object, name: str, layer: keras.Layer) -> dict[str, Any]:
        return self._range_weights(layer, name, ())

    def __call__(self, inputs: Tensor, training: bool, weights: Any, **kwargs: Any) -> Tensor:
        low = ops.convert_to_tensor(weights["min_var"])
        high = ops.convert_to_tensor(weights["max_var"])
        if training:
            low, high = self._moved(low, high, *self._batch_range(inputs))
            weights["min_var"].assign(low)
            weights["max_var"].assign(high)
        return fake_quant(inputs, low, high, self.num_bits, self.narrow_range)

    def _range_weights(
        self, layer: keras.Layer, name: str, shape: tuple[int, ...]
    ) -> dict[str, Any]:
        return {
            f"{end}_var": layer.add_weight(
                name=f"{name}_{end}",
                shape=shape,
                initializer=keras.initializers.Constant(value),
                trainable=False,
            )
            for end, value in zip(("min", "max"), self._initial, strict=True)
        }

    def _batch_range(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        values = ops.stop_gradient(inputs)
        axes = self._axes(inputs)
        low, high = ops.min(values, axis=axes), ops.max(values, axis=axes)
        if not self.symmetric:
            return ops.minimum(low, 0.0), ops.maximum(high, 0.0)
        # The range that holds both with 0 in its middle, or half a step beside it.
        ratio = -1.0 if self.narrow_range else -(2.0**self.num_bits - 2) / 2.0**self.num_bits
        low = ops.minimum(low, high / ratio)
        return low, ops.maximum(high, low * ratio)

    def _axes(self, inputs: Tensor) -> tuple[int, ...] | None:
        """Return the axes over which a range goes."""
        return tuple(range(len(inputs.shape) - 1)) if self.per_axis else None

    def _moved(
        self, low: Tensor, high: Tensor, batch_low: Tensor, batch_high: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the range after a batch."""
        raise NotImplementedError

    def get_config(self) -> dict[str, object]:
        return {
            "num_bits": self.num_bits,
            "per_axis": self.per_axis,
            "symmetric": self.symmetric,
            "narrow_range": self.narrow_range,
        }

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((type(self), *self.get_config().values()))


class LastValueQuantizer(_RangeQuantizer):
    """Quantizes to the range of the last batch, as suits weights."""

    def build(self, tensor_shape: Any, name: str, layer: keras.Layer) -> dict[str, Any]:
        shape = (int(tensor_shape[-1]),) if self.per_axis and tensor_shape is not None else ()
        return self._range_weights(layer, name, shape)

    def _moved(
        self, low: Tensor, high: Tensor, batch_low: Tensor, batch_high: Tensor
    ) -> tuple[Tensor, Tensor]:
        return batch_low, batch_high


class MovingAverageQuantizer(_RangeQuantizer):
    """Quantizes to a moving average of the batches' ranges, as suits activations."""

    def _moved(
        self, low: Tensor, high: Tensor, batch_low: Tensor, batch_high: Tensor
    ) -> tuple[Tensor, Tensor]:
        new = 1.0 - _DECAY
        return low - (low - batch_low) * new, high - (high - batch_high) * new


class AllValuesQuantizer(_RangeQuantizer):
    """Quantizes to the range of all that was seen."""

    _initial = (0.0, 0.0)

    def _axes(self, inputs: Tensor) -> None:
        # One range for all axes, whatever `per_axis` says: tfmot has it so.
        return None

    def _moved(
        self, low: Tensor, high: Tensor, batch_low: Tensor, batch_high: Tensor
    ) -> tuple[Tensor, Tensor]:
        return ops.minimum(low, batch_low), ops.maximum(high, batch_high)


class FixedQuantizer(Quantizer):
    """Quantizes to a range that stays.

    Args:
        num_bits: Bits of a value.
        init_min: The lower end.
        init_max: The upper end.
        narrow_range: Whether the lowest integer is left out.
    """

    def __init__(self, num_bits: int, init_min: float, init_max: float, narrow_range: bool) -> None:
        self.num_bits = num_bits
        self.init_min = init_min
        self.init_max = init_max
        self.narrow_range = narrow_range

    def build(self, tensor_shape: object, name: str, layer: keras.Layer) -> None:
        return None

    def __call__(self, inputs: Tensor, training: bool, weights: object, **kwargs: Any) -> Tensor:
        low = ops.convert_to_tensor(self.init_min, "float32")
        high = ops.convert_to_tensor(self.init_max, "float32")
        return fake_quant(inputs, low, high, self.num_bits, self.narrow_range)

    def get_config(self) -> dict[str, object]:
        return {
            "num_bits": self.num_bits,
            "init_min": self.init_min,
            "init_max": self.init_max,
            "narrow_range": self.narrow_range,
        }

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((type(self), *self.get_config().values()))


QUANTIZERS = (AllValuesQuantizer, FixedQuantizer, LastValueQuantizer, MovingAverageQuantizer)

for _kind in QUANTIZERS:
    keras.saving.register_keras_serializable(package="keras_compress.tfmot")(_kind)
