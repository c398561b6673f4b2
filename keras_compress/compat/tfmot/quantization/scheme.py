"""Schemes: the layout and the registry by which annotated layers are quantized."""

from __future__ import annotations

import abc
from typing import Any

import keras

from keras_compress.compat.tfmot.quantization.quantize_config import (
    Default8BitConvQuantizeConfig,
    Default8BitOutputQuantizeConfig,
    Default8BitQuantizeConfig,
    NoOpQuantizeConfig,
    QuantizeConfig,
)
from keras_compress.errors import KerasCompressError
from keras_compress.quantization import ActivationQuantizer, QuantizationConfig, WeightQuantizer

layers = keras.layers


class QuantizeLayoutTransform(metaclass=abc.ABCMeta):
    """Changes a model before its layers are quantized."""

    @abc.abstractmethod
    def apply(
        self, model: keras.Model, layer_quantize_map: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Return another model and map: for each layer to quantize, by name, what is known."""


class QuantizeRegistry(metaclass=abc.ABCMeta):
    """Says how layers are quantized."""

    @abc.abstractmethod
    def get_quantize_config(self, layer: keras.Layer) -> QuantizeConfig:
        """Return the `QuantizeConfig` of `layer`."""


class QuantizeScheme(metaclass=abc.ABCMeta):
    """A layout and a registry."""

    @abc.abstractmethod
    def get_layout_transformer(self) -> QuantizeLayoutTransform:
        """Return the layout."""

    @abc.abstractmethod
    def get_quantize_registry(self) -> QuantizeRegistry:
        """Return the registry."""


class Default8BitQuantizeLayoutTransform(QuantizeLayoutTransform):
    """The layout of TFLite in 8 bits.

    The engine lays operators out as it simulates them: normalizations and ReLUs are folded there,
    concatenated results have one range, and separable convolutions are two. So the model stays.
    """

    def apply(
        self, model: keras.Model, layer_quantize_map: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        return model, layer_quantize_map


_NOT: tuple[list[str], list[str], bool] = ([], [], False)
_RESULT: tuple[list[str], list[str], bool] = ([], [], True)
_KINDS: dict[Any, tuple[list[str], list[str], bool]] = {
    layers.ReLU: _RESULT,
    layers.Softmax: _NOT,
    layers.LeakyReLU: _RESULT,
    layers.Concatenate: _RESULT,
    layers.Cropping2D: _NOT,
    layers.UpSampling2D: _RESULT,
    layers.ZeroPadding2D: _NOT,
    layers.ActivityRegularization: _NOT,
    layers.Dense: (["kernel"], ["activation"], False),
    layers.Dropout: _NOT,
    layers.Flatten: _NOT,
    layers.Permute: _NOT,
    layers.Reshape: _NOT,
    layers.SpatialDropout2D: _NOT,
    layers.AveragePooling2D: _RESULT,
    layers.GlobalAveragePooling2D: _RESULT,
    layers.GlobalMaxPooling2D: _NOT,
    layers.MaxPooling2D: _NOT,
    layers.Add: _RESULT,
    layers.Conv2D: (["kernel"], ["activation"], False),
    layers.DepthwiseConv2D: (["kernel"], ["activation"], False),
    layers.Conv2DTranspose: (["kernel"], ["activation"], False),
}


class Default8BitQuantizeRegistry(QuantizeRegistry):
    """How Keras' layers are quantized in 8 bits.

    Args:
        disable_per_axis: Whether kernels of convolutions have one range instead of one a channel.
            Defaults to `False`.
    """

    def __init__(self, disable_per_axis: bool = False) -> None:
        self._per_axis = not disable_per_axis

    def supports(self, layer: keras.Layer) -> bool:
        """Whether `layer` is one of those."""
        return type(layer) in _KINDS or type(layer) is layers.Activation

    def get_quantize_config(self, layer: keras.Layer) -> QuantizeConfig:
        """Return the config of a layer, for which its class counts alone.

        Raises:
            KerasCompressError: A `ValueError`, if the layer isn't supported.
        """
        if not self.supports(layer):
            raise KerasCompressError(
                "`get_quantize_config` is called on a layer that `supports` is true of. "
                f"Received: {getattr(layer, 'name', layer)!r} of type {type(layer).__name__}. "
                "Give it a `QuantizeConfig` of its own."
            )
        if type(layer) is layers.Activation:
            own = layer.activation.__name__ in ("relu", "relu6", "silu", "swish", "gelu")
            return Default8BitOutputQuantizeConfig(own)
        settings = _KINDS[type(layer)]
        if settings == _NOT:
            return NoOpQuantizeConfig()
        convolves = isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D)
        kind = Default8BitConvQuantizeConfig if convolves and self._per_axis else None
        return (kind or Default8BitQuantizeConfig)(*settings)

    def engine_config(self) -> QuantizationConfig:
        """Return the settings of `keras_compress.quantization` that do the same."""
        return QuantizationConfig(weights=WeightQuantizer(per_channel=self._per_axis))


class _PreservingRegistry(Default8BitQuantizeRegistry):
    def __init__(self, zeros: bool, clusters: bool) -> None:
        super().__init__()
        self._zeros, self._clusters = zeros, clusters

    def engine_config(self) -> QuantizationConfig:
        return QuantizationConfig(preserve_sparsity=self._zeros, preserve_clusters=self._clusters)


class Default8BitQuantizeScheme(QuantizeScheme):
    """8 bits, as TFLite computes.

    Args:
        disable_per_axis: Whether kernels of convolutions have one range instead of one a channel.
            Defaults to `False`.
    """

    def __init__(self, disable_per_axis: bool = False) -> None:
        self._disable_per_axis = disable_per_axis

    def get_layout_transformer(self) -> QuantizeLayoutTransform:
        return Default8BitQuantizeLayoutTransform()

    def get_quantize_registry(self) -> QuantizeRegistry:
        return Default8BitQuantizeRegistry(self._disable_per_axis)


class Default8BitPrunePreserveQuantizeScheme(Default8BitQuantizeScheme):
    """8 bits, and weights that are zero stay so."""

    def get_quantize_registry(self) -> QuantizeRegistry:
        return _PreservingRegistry(zeros=True, clusters=False)


class Default8BitClusterPreserveQuantizeScheme(Default8BitQuantizeScheme):
    """8 bits, and weights that are equal stay so.

    Args:
        preserve_sparsity: Whether those that are zero stay zero as well. Defaults to `True`.
    """

    def __init__(self, preserve_sparsity: bool = True) -> None:
        super().__init__()
        self.preserve_sparsity = preserve_sparsity

    def get_quantize_registry(self) -> QuantizeRegistry:
        return _PreservingRegistry(self.preserve_sparsity, clusters=True)


class DefaultNBitQuantizeLayoutTransform(Default8BitQuantizeLayoutTransform):
    """The layout of TFLite with weights of other widths.

    Args:
        num_bits_weight: Bits of a weight. Defaults to `8`.
        num_bits_activation: Bits of an activation. Defaults to `8`.
    """

    def __init__(self, num_bits_weight: int = 8, num_bits_activation: int = 8) -> None:
        _with_bits(True, num_bits_weight, num_bits_activation)  # The error comes at once.


class DefaultNBitQuantizeRegistry(Default8BitQuantizeRegistry):
    """How Keras' layers are quantized with weights of other widths.

    Args:
        disable_per_axis: As in `Default8BitQuantizeRegistry`. Defaults to `False`.
        num_bits_weight: Bits of a weight. Defaults to `8`.
        num_bits_activation: Bits of an activation. Defaults to `8`.
    """

    def __init__(
        self,
        disable_per_axis: bool = False,
        num_bits_weight: int = 8,
        num_bits_activation: int = 8,
    ) -> None:
        super().__init__(disable_per_axis)
        self._config = _with_bits(not disable_per_axis, num_bits_weight, num_bits_activation)

    def engine_config(self) -> QuantizationConfig:
        return self._config


class DefaultNBitQuantizeScheme(QuantizeScheme):
    """Weights of 2 to 8 bits.

    Args:
        disable_per_axis: As in `Default8BitQuantizeScheme`. Defaults to `False`.
        num_bits_weight: Bits of a weight. Defaults to `8`.
        num_bits_activation: Bits of an activation. Defaults to `8`.
    """

    def __init__(
        self,
        disable_per_axis: bool = False,
        num_bits_weight: int = 8,
        num_bits_activation: int = 8,
    ) -> None:
        self._arguments = (disable_per_axis, num_bits_weight, num_bits_activation)
        _with_bits(not disable_per_axis, num_bits_weight, num_bits_activation)

    def get_layout_transformer(self) -> QuantizeLayoutTransform:
        return DefaultNBitQuantizeLayoutTransform(*self._arguments[1:])

    def get_quantize_registry(self) -> QuantizeRegistry:
        return DefaultNBitQuantizeRegistry(*self._arguments)


def _with_bits(per_channel: bool, of_weight: int, of_activation: int) -> QuantizationConfig:
    return QuantizationConfig(
        weights=WeightQuantizer(bits=of_weight, per_channel=per_channel),
        activations=ActivationQuantizer(bits=of_activation),
    )
