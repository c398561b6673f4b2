"""`prune_low_magnitude`, `strip_pruning` and `prune_scope`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_compress.compat.tfmot.sparsity.policies import PruningPolicy
from keras_compress.compat.tfmot.sparsity.schedules import (
    ConstantSparsity,
    PolynomialDecay,
    PruningSchedule,
)
from keras_compress.compat.tfmot.sparsity.wrapper import PruneLowMagnitude
from keras_compress.compat.tfmot.wrapping import strip, wrap


def prune_low_magnitude(
    to_prune: Any,
    pruning_schedule: PruningSchedule = ConstantSparsity(0.5, 0),  # noqa: B008 - tfmot's default
    block_size: Sequence[int] = (1, 1),
    block_pooling_type: str = "AVG",
    pruning_policy: PruningPolicy | None = None,
    sparsity_m_by_n: Sequence[int] | None = None,
    **kwargs: Any,
) -> Any:
    """Return `to_prune` in layers that are pruned while they train.

    A model is copied, with its weights; a layer is wrapped itself, so that its weights are
    trained on. Train with the callback `UpdatePruningStep`, then call `strip_pruning`.

    Args:
        to_prune: A layer, a list of layers, or a Sequential or functional model, nested or not.
        pruning_schedule: How far and when. Defaults to half the weights, from step 0.
        block_size: Rows and columns of blocks to prune as a whole, in 2-dimensional weights.
            Defaults to `(1, 1)`.
        block_pooling_type: `"AVG"` or `"MAX"`. Defaults to `"AVG"`.
        pruning_policy: A `PruningPolicy` for the layers of a model. Defaults to `None`.
        sparsity_m_by_n: `(2, 4)` for 2 zeros in each 4 consecutive inputs. Defaults to `None`.
        **kwargs: Arguments of the wrapper as a Keras layer, such as `input_shape`.

    Raises:
        KerasCompressError: A `ValueError`, if it can't be pruned or an argument is wrong.
    """

    def around(layer: Any) -> Any:
        return PruneLowMagnitude(
            layer,
            pruning_schedule=pruning_schedule,
            block_size=block_size,
            block_pooling_type=block_pooling_type,
            sparsity_m_by_n=sparsity_m_by_n,
            **kwargs,
        )

    def allowed(layer: Any) -> bool:
        return pruning_policy is None or pruning_policy.allow_pruning(layer)

    if pruning_policy is not None and isinstance(to_prune, keras.Model):
        pruning_policy.ensure_model_supports_pruning(to_prune)
    return wrap("prune_low_magnitude", to_prune, PruneLowMagnitude, around, allowed)


def strip_pruning(model: Any) -> Any:
    """Return a copy of `model` in stock layers, pruned weights exactly zero.

    Raises:
        KerasCompressError: A `ValueError`, if `model` is no model.
    """
    return strip("strip_pruning", model)


def prune_scope() -> Any:
    """Return a scope in which pruned models load. (They load outside of it, too.)"""
    classes = (PruneLowMagnitude, ConstantSparsity, PolynomialDecay)
    return keras.saving.custom_object_scope({each.__name__: each for each in classes})
