"""`quantize_model`, the annotations and `quantize_apply`."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import keras

from keras_compress.compat.tfmot.quantization.model import QuantizedModel
from keras_compress.compat.tfmot.quantization.quantize_config import CONFIGS, QuantizeConfig
from keras_compress.compat.tfmot.quantization.quantizers import QUANTIZERS
from keras_compress.compat.tfmot.quantization.scheme import (
    Default8BitQuantizeRegistry,
    Default8BitQuantizeScheme,
    QuantizeScheme,
)
from keras_compress.compat.tfmot.quantization.wrapper import (
    QuantizeAnnotate,
    QuantizeWrapperV2,
    require_layer,
)
from keras_compress.compat.tfmot.wrapping import declared_input, with_layers
from keras_compress.copying.graph_copy import GraphCopy, is_clonable
from keras_compress.engine.cloning import clone_layers
from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers, wrapped_layer
from keras_compress.quantization import FakeQuantize, QuantizationConfig, Quantized
from keras_compress.quantization.kernel_operators import operator_of
from keras_compress.quantization.lifecycle import simulate
from keras_compress.quantization.planning import UnsupportedLayerError


class LayerNotSupportedError(KerasCompressError, RuntimeError):
    """A layer to quantize has neither a default nor a `QuantizeConfig`."""


def quantize_model(
    to_quantize: object, quantized_layer_name_prefix: str | None = "quant_"
) -> keras.Model:
    """Return a copy of a model that trains on 8-bit integers as TFLite computes with them.

    Args:
        to_quantize: A built Sequential or functional model without models in it.
        quantized_layer_name_prefix: What the names of layers with integer weights begin with.
            Defaults to `"quant_"`.

    Raises:
        KerasCompressError: A `ValueError`, if it is no such model, and a `RuntimeError`, too, if a
            layer has no operator on integers.
    """
    _require_model("to_quantize", to_quantize)
    annotated = quantize_annotate_model(to_quantize)
    return quantize_apply(annotated, quantized_layer_name_prefix=quantized_layer_name_prefix)


def quantize_annotate_model(to_annotate: Any) -> keras.Model:
    """Return a model of the same layers, each of which says that it shall be quantized.

    Args:
        to_annotate: A Sequential or functional model without models in it.

    Raises:
        KerasCompressError: A `ValueError`, if it is no such model.
    """
    _require_model("to_annotate", to_annotate)
    for layer in to_annotate.layers:
        if isinstance(layer, keras.Model):
            raise KerasCompressError(
                "A model inside another one can't be quantized. "
                f"Received: {to_annotate.name!r} with {layer.name!r} in it. Use "
                "`keras_compress.quantization.prepare`, which takes models apart."
            )
        if isinstance(layer, keras.layers.Lambda):
            warnings.warn(
                f"The Lambda layer {layer.name!r} is not quantized, for what it computes isn't "
                "known. Write a layer with a `QuantizeConfig` instead.",
                stacklevel=3,
            )

    def annotated(layer: keras.Layer) -> keras.Layer:
        kept = QuantizeAnnotate | keras.layers.InputLayer | keras.layers.Lambda
        return layer if isinstance(layer, kept) else QuantizeAnnotate(layer)

    return with_layers("quantize_annotate_model", to_annotate, annotated)


def quantize_annotate_layer(
    to_annotate: object, quantize_config: QuantizeConfig | None = None
) -> QuantizeAnnotate:
    """Return a layer that runs another one and says that it shall be quantized.

    Args:
        to_annotate: The layer.
        quantize_config: How. Defaults to `None`: by the default of `quantize_apply`'s scheme.

    Raises:
        KerasCompressError: A `ValueError`, if an argument is of another kind.
    """
    require_layer("to_annotate", to_annotate)
    if quantize_config is not None and not isinstance(quantize_config, QuantizeConfig):
        raise KerasCompressError(
            "`quantize_config` can only be a `tfmot.quantization.keras.QuantizeConfig`. "
            f"Received: {quantize_config!r}."
        )
    return QuantizeAnnotate(to_annotate, quantize_config, **declared_input(to_annotate))


def quantize_apply(
    model: keras.Model,
    scheme: QuantizeScheme = Default8BitQuantizeScheme(),  # noqa: B008 - tfmot's default
    quantized_layer_name_prefix: str | None = "quant_",
) -> keras.Model:
    """Return a copy of an annotated model that trains on integers where it is annotated.

    Layers without a `QuantizeConfig` compute as `keras_compress.quantization` has it, which is what
    the file computes; those with one as it says. The rest stays in float. Compile it anew.

    Args:
        model: A built Sequential or functional model with annotated layers.
        scheme: Says how. Defaults to 8 bits, as TFLite computes.
        quantized_layer_name_prefix: What the names of layers with integer weights begin with.
            Defaults to `"quant_"`.

    Raises:
        KerasCompressError: A `ValueError`, if the model is of another kind, not built or without
            annotated layers, and a `RuntimeError`, too, if a layer can't be quantized.
    """
    _require_model("model", model)
    if not any(isinstance(layer, QuantizeAnnotate) for layer in model.layers):
        raise KerasCompressError(
            "`model` must contain at least one layer annotated by `quantize_annotate*`. "
            f"Received: {model.name!r} without any."
        )
    if not model.built:
        raise KerasCompressError(
            "`model` must be built. Received: "
            f"{model.name!r}, which isn't. Begin it with a `keras.Input`, or call `build`."
        )
    prefix = quantized_layer_name_prefix or ""
    bare, known = _without_annotations(model)
    bare, known = scheme.get_layout_transformer().apply(bare, known)
    registry = scheme.get_quantize_registry()
    configs = _configs(bare, known, registry)
    by_default = set(known) - set(configs)
    wrapped = _with_configs(bare, configs, prefix)
    engine = _engine_config(registry)
    whole = all(
        layer.name in by_default
        for layer in wrapped.layers
        if not isinstance(layer, keras.layers.InputLayer)
    )
    engine = replace(
        engine,
        float_layers=lambda layer: (
            layer.name not in by_default if isinstance(layer, keras.Layer) else not whole
        ),
    )
    if any(_has_weights(layer) for layer in wrapped.layers if layer.name in by_default):
        try:
            wrapped = simulate(wrapped, engine, prefix)
        except UnsupportedLayerError as error:
            raise LayerNotSupportedError(
                f"{error} Or give such a layer a `tfmot.quantization.keras.QuantizeConfig` by "
                "`quantize_annotate_layer`."
            ) from error
    return QuantizedModel(_inputs(wrapped), wrapped.outputs, name=model.name)


def quantize_scope(*args: Any) -> Any:
    """Return a scope in which quantized models load; pass a dict of classes of your own.

    Args:
        *args: Dicts of names and classes.
    """
    classes = (*CONFIGS, *QUANTIZERS, QuantizeAnnotate, QuantizeWrapperV2)
    objects = {kind.__name__: kind for kind in classes}
    for own in args:
        objects.update(own)
    return keras.saving.custom_object_scope(objects)


def _require_model(argument: str, model: keras.Model) -> None:
    sequential = isinstance(model, keras.Sequential)
    if not sequential and not (isinstance(model, keras.Model) and is_clonable(model)):
        raise KerasCompressError(
            f"`{argument}` can only be a Sequential or functional `keras.Model`. "
            f"Received: {model!r} of type {type(model).__name__}."
        )
    for _, layer in iter_layers(model):
        if isinstance(layer, Quantized | FakeQuantize):
            raise KerasCompressError(
                f"`{argument}` must be a float model. Received: {model.name!r}, which is quantized "
                "already."
            )
        if wrapped_layer(layer) is not None and not isinstance(layer, QuantizeAnnotate):
            raise LayerNotSupportedError(
                f"`{argument}` must be in stock layers. Received: {model.name!r} with "
                f"{layer.name!r} of type {type(layer).__name__}. Call `strip_pruning` or "
                "`strip_clustering` first."
            )


def _without_annotations(model: keras.Model) -> tuple[Any, dict[str, Any]]:
    """Return a copy without annotations, and what they say of each layer, by its name."""
    known: dict[str, Any] = {}

    def put(layer: keras.Layer, copied: Any) -> keras.Layer:
        if isinstance(layer, QuantizeAnnotate):
            known[copied.copy.name] = {"quantize_config": layer.quantize_config}
        return copied.copy

    return GraphCopy(model, put, bare=True).copy(), known


def _configs(model: keras.Model, known: dict[str, Any], registry: Any) -> dict[str, QuantizeConfig]:
    """Return the configs of layers that have one of their own, or by a registry of one's own."""
    configs = {
        name: about["quantize_config"]
        for name, about in known.items()
        if about.get("quantize_config") is not None
    }
    if _is_default(registry):
        return configs
    for layer in model.layers:
        if layer.name in known and layer.name not in configs:
            supports = getattr(registry, "supports", None)
            config = None
            if supports is None or supports(layer):
                config = registry.get_quantize_config(layer)
            if config is None:
                raise LayerNotSupportedError(
                    f"Layer {layer.name}:{type(layer)} is not supported. Received: an annotation "
                    "of it. You can quantize it by passing a "
                    "`tfmot.quantization.keras.QuantizeConfig` to `quantize_annotate_layer`."
                )
            configs[layer.name] = config
    return configs


def _is_default(registry: object) -> bool:
    own = getattr(type(registry), "get_quantize_config", None)
    return own is Default8BitQuantizeRegistry.get_quantize_config


def _engine_config(registry: Any) -> QuantizationConfig:
    return registry.engine_config() if _is_default(registry) else QuantizationConfig()


def _with_configs(
    model: keras.Model, configs: dict[str, QuantizeConfig], prefix: str
) -> keras.Model:
    if not configs:
        return model

    def put(copy: object) -> keras.Layer:
        config = configs.get(copy.name) if isinstance(copy, keras.Layer) else None
        return copy if config is None else QuantizeWrapperV2(copy, config, prefix)

    return clone_layers(model, put, lambda: None)


def _has_weights(layer: keras.Layer) -> bool:
    return operator_of(layer) is not None or bool(layer.weights)


def _inputs(model: keras.Model) -> Any:
    return model.inputs if isinstance(model, keras.Sequential) else model.input
