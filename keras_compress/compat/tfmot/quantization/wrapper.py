"""The wrappers: a layer that shall be quantized, and one that is as its `QuantizeConfig` says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.compat.tfmot.quantization.activation import QuantizedActivation
from keras_compress.compat.tfmot.quantization.quantize_config import QuantizeConfig
from keras_compress.engine.wrapper import SubstitutedLayer
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


class _ConfiguredLayer(SubstitutedLayer):
    """A wrapper with a `QuantizeConfig`, which says what is substituted."""

    needs_kernel = False
    action = "quantized"

    def __init__(self, layer: keras.Layer, quantize_config: Any, **kwargs: Any) -> None:
        require_layer("layer", layer)
        super().__init__(layer, **kwargs)
        self.quantize_config = quantize_config

    def choose_indices(self) -> list[int]:
        return []

    def substitutes(self) -> list[tuple[keras.Variable, Tensor]]:
        return []

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("indices")
        return {
            **config,
            "quantize_config": keras.saving.serialize_keras_object(self.quantize_config),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Any:
        config = dict(config)
        for name in ("layer", "quantize_config"):
            config[name] = keras.saving.deserialize_keras_object(config[name], custom_objects)
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_compress.tfmot")
class QuantizeAnnotate(_ConfiguredLayer):
    """Runs a layer as it is and says that it shall be quantized.

    Args:
        layer: The layer.
        quantize_config: How, or `None` for the default. Defaults to `None`.
    """

    def __init__(
        self, layer: keras.Layer, quantize_config: QuantizeConfig | None = None, **kwargs: Any
    ) -> None:
        super().__init__(layer, quantize_config, **kwargs)


@keras.saving.register_keras_serializable(package="keras_compress.tfmot")
class QuantizeWrapperV2(_ConfiguredLayer):
    """Runs a layer on weights and activations that its `QuantizeConfig` quantizes.

    Layers without a config of their own become layers of `keras_compress.quantization` instead.

    Args:
        layer: The layer.
        quantize_config: The `QuantizeConfig`.
        name_prefix: What the wrapper's name begins with, before that of the layer. Defaults to
            `"quant_"`.

    Raises:
        KerasCompressError: A `ValueError`, if an argument is of the wrong kind, or the config sets
            an attribute that is no weight of the layer.
    """

    # Its weights and activations are marked for TFLite's converter.
    requires_finalize = False

    def __init__(
        self,
        layer: keras.Layer,
        quantize_config: QuantizeConfig,
        name_prefix: str | None = "quant_",
        **kwargs: Any,
    ) -> None:
        require_layer("layer", layer)
        if quantize_config is None:
            raise KerasCompressError(
                "`quantize_config` says how a layer is quantized. Received: None. Pass a "
                "`QuantizeConfig`."
            )
        kwargs.setdefault("name", f"{name_prefix or ''}{layer.name}")
        super().__init__(layer, quantize_config, **kwargs)

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        config = self.quantize_config
        weights = [
            _Quantized(weight, quantizer, quantizer.build(weight.shape, weight.name, self))
            for weight, quantizer in config.get_weights_and_quantizers(self.layer)
        ]
        activations = [
            QuantizedActivation(function, quantizer, self)
            for function, quantizer in config.get_activations_and_quantizers(self.layer)
        ]
        outputs = []
        for quantizer in config.get_output_quantizers(self.layer):
            shape = self.layer.compute_output_shape(input_shape)
            outputs.append(_Quantized(None, quantizer, quantizer.build(shape, "output", self)))
        # An object of which Keras doesn't know: the weights are those of the layer within.
        self._parts = _Parts(weights, activations, outputs)
        self.built = True

    def add_weight(self, *args: Any, **kwargs: Any) -> keras.Variable:
        """Return a new weight; the name may come first, as in Keras 2."""
        if args and isinstance(args[0], str):
            kwargs["name"], args = args[0], args[1:]
        if not args:
            kwargs["shape"] = kwargs.get("shape") or ()
        return super().add_weight(*args, **kwargs)

    def substitutes(self) -> list[tuple[keras.Variable, Tensor]]:
        return self._parts.substitutes

    def call(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Tensor:
        parts, config, training = self._parts, self.quantize_config, bool(training)
        weights = [
            part.quantizer(keras.ops.convert_to_tensor(part.weight), training, weights=part.state)
            for part in parts.weights
        ]
        recorder = _Recorder(self.layer)
        config.set_quantize_weights(recorder, weights)
        substitutes = self._as_substitutes(recorder.assigned)
        recorder = _Recorder(self.layer)
        functions = [part.in_mode(training) for part in parts.activations]
        config.set_quantize_activations(recorder, functions)
        before = {name: getattr(self.layer, name) for name in recorder.assigned}
        try:
            parts.substitutes = substitutes
            for name, function in recorder.assigned.items():
                setattr(self.layer, name, function)
            outputs = super().call(*args, **kwargs)
        finally:
            parts.substitutes = []
            for name, function in before.items():
                setattr(self.layer, name, function)
        if not parts.outputs:
            return outputs
        if isinstance(outputs, list | tuple):
            raise RuntimeError(
                "A layer whose result is quantized must have one. "
                f"Received: {len(outputs)} of {self.layer.name!r}."
            )
        (part, *_) = parts.outputs
        return part.quantizer(outputs, training, weights=part.state)

    def _as_substitutes(self, assigned: dict[str, Any]) -> list[tuple[keras.Variable, Tensor]]:
        own = {id(variable) for variable in self.layer.variables}
        found = []
        for name, value in assigned.items():
            variable = getattr(self.layer, name)
            if id(variable) not in own:
                raise KerasCompressError(
                    "`set_quantize_weights` assigns to attributes that hold a weight. "
                    f"Received: {name!r} of {self.layer.name!r}, which is {variable!r}."
                )
            found.append((variable, value))
        return found


@dataclass(frozen=True)
class _Quantized:
    """A weight, or the result, with its quantizer and the variables of that."""

    weight: keras.Variable
    quantizer: Any
    state: Any


@dataclass
class _Parts:
    """What of a layer is quantized, and by what its weights are replaced during a call."""

    weights: list[Any]
    activations: list[Any]
    outputs: list[Tensor]
    substitutes: list[tuple[Any, Any]] = field(default_factory=list)


class _Recorder:
    """Stands for a layer while a config sets attributes of it, and takes them down.

    Keras 3 refuses a tensor in the place of a weight.
    """

    def __init__(self, layer: keras.Layer) -> None:
        self.__dict__.update(layer=layer, assigned={})

    def __getattr__(self, name: str) -> Any:
        return self.assigned.get(name, getattr(self.layer, name))

    def __setattr__(self, name: str, value: Tensor) -> None:
        self.assigned[name] = value


def require_layer(argument: str, layer: keras.Layer) -> None:
    """Raise unless `layer` is a layer that is no model."""
    if not isinstance(layer, keras.Layer) or isinstance(layer, keras.Model):
        raise KerasCompressError(
            f"`{argument}` can only be a `keras.layers.Layer` that is no model. "
            f"Received: {layer!r} of type {type(layer).__name__}."
        )
