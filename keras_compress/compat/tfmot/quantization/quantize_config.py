"""`QuantizeConfig`: what of a layer is quantized and how; and those of the 8-bit default."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import keras

from keras_compress.compat.tfmot.quantization.quantizers import (
    FixedQuantizer,
    LastValueQuantizer,
    MovingAverageQuantizer,
    Quantizer,
)
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

Pairs = Sequence[tuple[Any, Quantizer]]


class QuantizeConfig(metaclass=abc.ABCMeta):
    """What of a layer is quantized, and how.

    The setters assign what they are given to the layer's attributes, as they would in Keras 2; here
    the layer then runs on these without being changed.
    """

    @abc.abstractmethod
    def get_weights_and_quantizers(self, layer: keras.Layer) -> Pairs:
        """Return pairs of a weight of `layer` and its quantizer."""

    @abc.abstractmethod
    def get_activations_and_quantizers(self, layer: keras.Layer) -> Pairs:
        """Return pairs of an activation of `layer` and its quantizer."""

    @abc.abstractmethod
    def set_quantize_weights(self, layer: keras.Layer, quantize_weights: Sequence[object]) -> None:
        """Assign quantized weights to the attributes of `layer`, in the order of the getter."""

    @abc.abstractmethod
    def set_quantize_activations(
        self, layer: keras.Layer, quantize_activations: Sequence[object]
    ) -> None:
        """Assign quantized activations to the attributes of `layer`."""

    @abc.abstractmethod
    def get_output_quantizers(self, layer: keras.Layer) -> Sequence[Quantizer]:
        """Return the quantizer of the result in a list, or an empty one."""

    @abc.abstractmethod
    def get_config(self) -> dict[str, object]:
        """Return the arguments of the constructor."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


class Default8BitQuantizeConfig(QuantizeConfig):
    """Weights and activations named by attribute, in 8 bits.

    Args:
        weight_attrs: Attributes of the weights.
        activation_attrs: Attributes of the activations.
        quantize_output: Whether the result is quantized.
    """

    per_axis = False

    def __init__(
        self, weight_attrs: list[str], activation_attrs: list[str], quantize_output: bool
    ) -> None:
        self.weight_attrs = weight_attrs
        self.activation_attrs = activation_attrs
        self.quantize_output = quantize_output
        self.weight_quantizer = LastValueQuantizer(8, self.per_axis, True, True)
        self.activation_quantizer = MovingAverageQuantizer(8, False, False, False)

    def get_weights_and_quantizers(self, layer: keras.Layer) -> Pairs:
        return [(getattr(layer, name), self.weight_quantizer) for name in self.weight_attrs]

    def get_activations_and_quantizers(self, layer: keras.Layer) -> Pairs:
        return [(getattr(layer, name), self.activation_quantizer) for name in self.activation_attrs]

    def set_quantize_weights(self, layer: keras.Layer, quantize_weights: Sequence[object]) -> None:
        self._assign(layer, "weight", self.weight_attrs, quantize_weights)

    def set_quantize_activations(
        self, layer: keras.Layer, quantize_activations: Sequence[object]
    ) -> None:
        self._assign(layer, "activation", self.activation_attrs, quantize_activations)

    def get_output_quantizers(self, layer: keras.Layer) -> Sequence[Quantizer]:
        return [self.activation_quantizer] if self.quantize_output else []

    def get_config(self) -> dict[str, object]:
        return {
            "weight_attrs": self.weight_attrs,
            "activation_attrs": self.activation_attrs,
            "quantize_output": self.quantize_output,
        }

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash(type(self))

    def _assign(
        self, layer: keras.Layer, kind: str, names: list[str], values: Sequence[Tensor]
    ) -> None:
        if len(names) != len(values):
            raise KerasCompressError(
                f"As many {kind}s must be set as the layer has. Received: {len(values)} for "
                f"{layer.name!r}, which has {len(names)}."
            )
        for name, value in zip(names, values, strict=True):
            shape = getattr(getattr(layer, name), "shape", None)
            if kind == "weight" and tuple(shape or ()) != tuple(value.shape):
                raise KerasCompressError(
                    f"A quantized weight has the shape of the weight. Received: {value.shape} for "
                    f"{name!r} of {layer.name!r}, which has {shape}."
                )
            setattr(layer, name, value)


class Default8BitConvQuantizeConfig(Default8BitQuantizeConfig):
    """The same with a range for each output channel of a kernel."""

    per_axis = True


class NoOpQuantizeConfig(QuantizeConfig):
    """Nothing of a layer is quantized."""

    def get_weights_and_quantizers(self, layer: keras.Layer) -> Pairs:
        return []

    def get_activations_and_quantizers(self, layer: keras.Layer) -> Pairs:
        return []

    def set_quantize_weights(self, layer: keras.Layer, quantize_weights: Sequence[object]) -> None:
        """Set nothing, for there is nothing to."""

    def set_quantize_activations(
        self, layer: keras.Layer, quantize_activations: Sequence[object]
    ) -> None:
        """Set nothing, for there is nothing to."""

    def get_output_quantizers(self, layer: keras.Layer) -> Sequence[Quantizer]:
        return []

    def get_config(self) -> dict[str, object]:
        return {}


class Default8BitOutputQuantizeConfig(NoOpQuantizeConfig):
    """The result of a layer is quantized, in 8 bits.

    Args:
        quantize_output: Whether it is. Defaults to `True`.
    """

    def __init__(self, quantize_output: bool = True) -> None:
        self.quantize_output = quantize_output

    def get_output_quantizers(self, layer: keras.Layer) -> Sequence[Quantizer]:
        return [MovingAverageQuantizer(8, False, False, False)] if self.quantize_output else []

    def get_config(self) -> dict[str, object]:
        return {"quantize_output": self.quantize_output}


class FixedQuantizeConfig(QuantizeConfig):
    """Another config with a range that stays for what it says of activations and the result.

    Args:
        config: The other config.
        num_bits: Bits of a value.
        init_min: The lower end.
        init_max: The upper end.
        narrow_range: Whether the lowest integer is left out.
    """

    def __init__(
        self,
        config: QuantizeConfig,
        num_bits: int,
        init_min: float,
        init_max: float,
        narrow_range: bool,
    ) -> None:
        self.config = config
        self.fixed_quantizer = FixedQuantizer(num_bits, init_min, init_max, narrow_range)

    def get_weights_and_quantizers(self, layer: keras.Layer) -> Pairs:
        return self.config.get_weights_and_quantizers(layer)

    def get_activations_and_quantizers(self, layer: keras.Layer) -> Pairs:
        found = self.config.get_activations_and_quantizers(layer)
        return [(activation, self.fixed_quantizer) for activation, _ in found]

    def set_quantize_weights(self, layer: keras.Layer, quantize_weights: Sequence[object]) -> None:
        self.config.set_quantize_weights(layer, quantize_weights)

    def set_quantize_activations(
        self, layer: keras.Layer, quantize_activations: Sequence[object]
    ) -> None:
        self.config.set_quantize_activations(layer, quantize_activations)

    def get_output_quantizers(self, layer: keras.Layer) -> Sequence[Quantizer]:
        return [self.fixed_quantizer for _ in self.config.get_output_quantizers(layer)]

    def get_config(self) -> dict[str, object]:
        config = keras.saving.serialize_keras_object(self.config)
        return {"config": config, **self.fixed_quantizer.get_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        inner = keras.saving.deserialize_keras_object(config["config"])
        return cls(**{**config, "config": inner})


CONFIGS = (
    Default8BitConvQuantizeConfig,
    Default8BitOutputQuantizeConfig,
    Default8BitQuantizeConfig,
    FixedQuantizeConfig,
    NoOpQuantizeConfig,
)

for _kind in CONFIGS:
    keras.saving.register_keras_serializable(package="keras_compress.tfmot")(_kind)
