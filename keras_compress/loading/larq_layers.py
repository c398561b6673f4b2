"""Larq's layers and quantizers, as the binarized layers of this package."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["LARQ", "binary_layer_of"]

#: Larq's layers that compute the same as one of ours.
LARQ = {
    "QuantConv2D": "BinaryConv2D",
    "QuantDense": "BinaryDense",
    "QuantDepthwiseConv2D": "BinaryDepthwiseConv2D",
}
# By Larq's class names, lower case and without "_" or "Quantizer": our class, and how Larq calls
# its arguments.
_QUANTIZERS: dict[str, tuple[str, dict[str, str]]] = {
    "approxsign": ("ApproxSign", {}),
    "dorefa": ("DoReFa", {"k_bit": "bits", "mode": "mode"}),
    "magnitudeawaresign": ("MagnitudeAwareSign", {"clip_value": "clip_value"}),
    "steheaviside": ("Heaviside", {"clip_value": "clip_value"}),
    "stesign": ("SteSign", {"clip_value": "clip_value"}),
    "stetern": (
        "SteTern",
        {
            "threshold_value": "threshold",
            "ternary_weight_networks": "ternary_weight_networks",
            "clip_value": "clip_value",
        },
    ),
    "swishsign": ("SwishSign", {"beta": "beta"}),
}


def binary_layer_of(
    name: str, config: dict[str, Any], label: str, problems: list[str], notes: list[str]
) -> tuple[str, dict[str, Any]]:
    """Return our class for a layer of Larq and its configuration; what doesn't fit is a problem."""
    config = dict(config)
    if "depthwise_quantizer" in config:
        config["kernel_quantizer"] = config.pop("depthwise_quantizer")
    for key in ("input_quantizer", "kernel_quantizer"):
        config[key] = _quantizer(config.get(key), f"{key} of {label}", problems)
    for key in ("kernel_constraint", "depthwise_constraint"):
        constraint = config.get(key)
        if isinstance(constraint, dict) and _plain(constraint.get("class_name")) == "weightclip":
            from keras_compress.binary import WeightClip

            inside = constraint.get("config") or {}
            clip = WeightClip(float(inside.get("clip_value", 1.0)))
            config[key] = keras.saving.serialize_keras_object(clip)
    if config.pop("metrics", None):
        notes.append(f"{label}: its flip-ratio metric is left out; see `binary.FlipRatio`.")
    return LARQ[name], config


def _plain(name: object) -> str:
    return str(name).rpartition(">")[2].replace("_", "").lower()


def _quantizer(value: object, label: str, problems: list[str]) -> Any:
    if value is None:
        return None
    named = value.get("class_name") if isinstance(value, dict) else value
    config = value.get("config") if isinstance(value, dict) else {}
    known = _QUANTIZERS.get(_plain(named).removesuffix("quantizer"))
    if known is None:
        problems.append(f"{label} is {named!r}, which has no counterpart here")
        return None
    from keras_compress import binary

    ours, arguments = known
    kept = {arguments[key]: v for key, v in (config or {}).items() if key in arguments}
    return keras.saving.serialize_keras_object(getattr(binary, ours)(**kept))
