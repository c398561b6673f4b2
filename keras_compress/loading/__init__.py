"""Opening models from elsewhere: files of Keras 2 and TF-Keras, SavedModels, nets of Larq."""

from __future__ import annotations

from keras_compress.loading.deep_compressed import (
    load_deep_compressed,
    save_deep_compressed,
)
from keras_compress.loading.load import LoadedModel, load_model, load_weights, open_model

__all__ = [
    "LoadedModel",
    "load_deep_compressed",
    "load_model",
    "load_weights",
    "open_model",
    "save_deep_compressed",
]
