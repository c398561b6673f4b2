"""Layers of Keras 2 that Keras 3 has under another name, or can say with another layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras import layers

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["MERGED", "REPLACED"]

_Config = dict[str, Any]


def _own(config: _Config, **arguments: Any) -> _Config:
    kept: _Config = {k: v for k, v in config.items() if k in ("name", "trainable", "dtype")}
    return {**kept, **arguments}


def _thresholded(config: _Config) -> tuple[str, _Config]:
    return "ReLU", _own(config, threshold=float(config.get("theta", 1.0)))


def _layer_scale(config: _Config) -> tuple[str, _Config]:
    # ConvNeXt's factor for each channel (arXiv 2201.03545): one einsum with a vector.
    channels = int(config["projection_dim"])
    return "EinsumDense", _own(
        config, equation="bhwc,c->bhwc", output_shape=[None, None, channels], bias_axes=None
    )


def _stochastic_depth(config: _Config) -> tuple[str, _Config]:
    # Whole samples are dropped (arXiv 1603.09382).
    rate = float(config.get("drop_path_rate", 0.0))
    return "Dropout", _own(config, rate=rate, noise_shape=[None, 1, 1, 1])


#: By the class in the file: from its configuration to a stock layer of the same weights.
REPLACED: dict[str, Callable[[_Config], tuple[str, _Config]]] = {
    "LayerScale": _layer_scale,
    "StochasticDepth": _stochastic_depth,
    "ThresholdedReLU": _thresholded,
}


def _scaled_sum(inputs: Tensor, config: _Config, name: str) -> Tensor:
    # Inception-ResNet's residual scaling (arXiv 1602.07261, section 3.3).
    scaled = layers.Rescaling(float(config["scale"]), name=f"{name}_scale")(inputs[1])
    return layers.Add(name=name)([inputs[0], scaled])


#: Layers without weights that become several: from inputs, configuration and name to the output.
MERGED: dict[str, Callable[[Any, _Config, str], Any]] = {"CustomScaleLayer": _scaled_sum}
