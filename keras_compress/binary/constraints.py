"""Keeping latent weights where the straight-through estimator still lets them learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import ops

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["WeightClip"]


@keras.saving.register_keras_serializable(package="keras_compress")
class WeightClip(keras.constraints.Constraint):
    """Clips weights to `[-clip_value, clip_value]` after each update.

    Beyond 1 a latent weight gets no gradient through the sign (BinaryConnect, arXiv 1511.00363,
    section 2.4), so it would keep its sign for ever.

    Args:
        clip_value: A positive number. Defaults to `1.0`.
    """

    def __init__(self, clip_value: float = 1.0) -> None:
        if isinstance(clip_value, bool) or not clip_value > 0:
            raise KerasCompressError(
                f"`clip_value` must be a positive number. Received: clip_value={clip_value!r}."
            )
        self.clip_value = float(clip_value)

    def __call__(self, w: Tensor) -> Tensor:
        return ops.clip(w, -self.clip_value, self.clip_value)

    def get_config(self) -> dict[str, object]:
        return {"clip_value": self.clip_value}
