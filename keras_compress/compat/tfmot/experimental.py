"""`tfmot.experimental`: schemes that keep what pruning and clustering left."""

from types import SimpleNamespace

from keras_compress.compat.tfmot.quantization.scheme import (
    Default8BitClusterPreserveQuantizeScheme,
    Default8BitPrunePreserveQuantizeScheme,
)

combine = SimpleNamespace(
    Default8BitClusterPreserveQuantizeScheme=Default8BitClusterPreserveQuantizeScheme,
    Default8BitPrunePreserveQuantizeScheme=Default8BitPrunePreserveQuantizeScheme,
)

__all__ = ["combine"]
