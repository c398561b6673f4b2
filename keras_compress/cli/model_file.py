"""Opening the model that a command is given."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

__all__ = ["MODEL_HELP", "open_for_command"]

MODEL_HELP = "a saved model, .keras, or .h5 or a SavedModel's folder of Keras 2"


def open_for_command(path: str) -> keras.Model:
    """Return the model in `path`; what was left out of an old file is told on stderr."""
    from keras_compress.loading import open_model

    opened = open_model(path)
    for note in opened.notes:
        print(f"note: {note}", file=sys.stderr)
    return opened.model
