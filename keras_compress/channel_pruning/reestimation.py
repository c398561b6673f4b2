"""Batch normalization's statistics, taken anew once channels are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.channel_pruning.verification import batches_of
from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["reestimate_statistics"]


def reestimate_statistics(model: keras.Model, x: Tensor, *, batch_size: int = 64) -> list[str]:
    """Set the moving averages of all batch normalizations to averages over `x`; in place.

    A layer that lost inputs has others to normalize than it was trained on: their mean and variance
    are most of what a cut costs in accuracy, and need no labels. All else in the model runs as in
    inference. A frozen normalization (`trainable=False`) is left as it is.

    Args:
        model: A built model.
        x: Training inputs, arrays in the structure of the model's; a few thousand are enough.
        batch_size: Samples at a time. Defaults to `64`.

    Returns:
        Names of the layers whose statistics were taken anew.

    Raises:
        KerasCompressError: If a statistic isn't finite.
    """
    norms = [
        layer
        for _, layer in iter_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if not norms:
        return []
    momenta = [layer.momentum for layer in norms]
    before = [layer.__dict__.get("call") for layer in norms]

    def training(call: Any) -> Any:
        def in_training(inputs: Tensor, training: bool | None = None, **kwargs: Any) -> Any:
            return call(inputs, training=True, **kwargs)

        return in_training

    try:
        for layer in norms:
            layer.__dict__["call"] = training(layer.call)
        for number, batch in enumerate(batches_of(x, batch_size)):
            for layer in norms:
                # The running mean of all batches so far.
                layer.momentum = number / (number + 1)
            model(batch, training=False)
    finally:
        for layer, momentum, call in zip(norms, momenta, before, strict=True):
            layer.momentum = momentum
            layer.__dict__.pop("call", None)
            if call is not None:
                layer.__dict__["call"] = call
    for layer in norms:
        for variable in (layer.moving_mean, layer.moving_variance):
            if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
                raise KerasCompressError(
                    "Statistics of batch normalization must be finite. Received: NaN or infinity "
                    f"in {variable.path!r}. Check the samples."
                )
    return [layer.name for layer in norms]
