"""What a BatchNormalization amounts to behind a convolution: a factor and a bias a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras import ops

if TYPE_CHECKING:
    import keras

    from keras_compress.tensor import Tensor

__all__ = ["fold", "fold_moving", "moving_statistics"]


def fold(norm: keras.Layer, mean: Any, variance: object, offset: Any) -> tuple[Tensor, Tensor]:
    """Return factor and bias that a normalization by `mean` and `variance` amounts to.

    Args:
        norm: The `BatchNormalization`.
        mean: Mean of each channel, of shape `(channels,)`.
        variance: Its variance.
        offset: What the sums are larger by than those that the factor is for, such as a bias.
    """
    factor = ops.rsqrt(variance + norm.epsilon)
    if norm.scale:
        factor = factor * ops.convert_to_tensor(norm.gamma)
    folded = (offset - mean) * factor
    if norm.center:
        folded = folded + ops.convert_to_tensor(norm.beta)
    return factor, folded


def moving_statistics(norm: keras.Layer) -> tuple[Tensor, Tensor]:
    """Return the moving averages of mean and variance, as tensors."""
    return ops.convert_to_tensor(norm.moving_mean), ops.convert_to_tensor(norm.moving_variance)


def fold_moving(norm: keras.Layer, bias: object) -> tuple[Tensor, Tensor]:
    """Return factor and bias of a normalization by its moving averages, of sums with `bias`."""
    return fold(norm, *moving_statistics(norm), bias)
