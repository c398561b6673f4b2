"""What a BatchNormalization amounts to behind a convolution: a factor and a bias a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras import ops

if TYPE_CHECKING:
    import keras

    from keras_compress.tensor import Tensor

__all__ = ["batch_statistics", "fold", "fold_moving", "moving_statistics"]

# A channel that a normalization scales by less than this tells nothing of its statistics.
_MIN_FACTOR = 1e-12


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


def batch_statistics(
    norm: keras.Layer, sums: Any, bias: Any, factor: Any = None, frozen: Any = None
) -> tuple[Tensor, Tensor]:
    """Return the mean and variance of a batch to normalize by, and move the averages.

    Args:
        norm: The `BatchNormalization`.
        sums: The sums, without a bias, channels last.
        bias: What the moving mean counts on top of them, one number a channel.
        factor: What the sums are multiplied by already, one number a channel. Defaults to `None`.
        frozen: Whether the averages stay and are what is returned, a scalar bool. Defaults to
            `None`: they don't.
    """
    moving_mean, moving_variance = moving_statistics(norm)
    mean, variance = ops.moments(sums, axes=tuple(range(len(sums.shape) - 1)))
    if factor is not None:
        told = ops.abs(factor) > _MIN_FACTOR
        factor = ops.where(told, factor, 1.0)
        mean = ops.where(told, mean / factor, moving_mean - bias)
        variance = ops.where(told, variance / ops.square(factor), moving_variance)
    keep = norm.momentum if frozen is None else ops.where(frozen, 1.0, norm.momentum)
    norm.moving_mean.assign(moving_mean + (1.0 - keep) * (mean + bias - moving_mean))
    norm.moving_variance.assign(moving_variance + (1.0 - keep) * (variance - moving_variance))
    if frozen is not None:
        mean = ops.where(frozen, moving_mean - bias, mean)
        variance = ops.where(frozen, moving_variance, variance)
    return mean, variance
