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
from keras_compress.compat.tfmot.wrapping import is_graph, with_layers
from keras_compress.errors import KerasCompressError


def prune_low_magnitude(
    to_prune: object,
    pruning_schedule: PruningSchedule = ConstantSparsity(0.5, 0),  # noqa: B008 - tfmot's default
    block_size: Sequence[int] = (1, 1),
    block_pooling_type: str = "AVG",
    pruning_policy: PruningPolicy | None = None,
    sparsity_m_by_n: Sequence[int] | None = None,
    **kwargs: Any,
) -> Any:
    """Return `to_prune` in layers that are pruned while they train.

    As in tfmot the layers within are those of `to_prune` themselves, so that the original is
    trained and pruned too, and the result has no optimizer. Train with the callback
    `UpdatePruningStep`, then call `strip_pruning`.

    Args:
        to_prune: A layer, a list of layers, or a Sequential or functional model, nested or not.
        pruning_schedule: How far and when. Defaults to half the weights, from step 0.
        block_size: Rows and columns of blocks to prune as a whole, in 2-dimensional weights.
            Defaults to `(1, 1)`.
        block_pooling_type: `"AVG"` or `"MAX"`. Defaults to `"AVG"`.
        pruning_policy: A `PruningPolicy` for the layers of a model. Defaults to `None`.
        sparsity_m_by_n: `(2, 4)` for 2 zeros in each 4 consecutive inputs. Defaults to `None`.
        **kwargs: Arguments of the wrapper as a Keras layer, such as `input_shape`; unused unless
            `to_prune` is a layer.

    Raises:
        KerasCompressError: A `ValueError`, if it can't be pruned or an argument is wrong.
    """
    arguments: dict[str, Any] = {
        "pruning_schedule": pruning_schedule,
        "block_size": block_size,
        "block_pooling_type": block_pooling_type,
        "sparsity_m_by_n": sparsity_m_by_n,
    }

    def put(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, PruneLowMagnitude):
            return layer
        if pruning_policy is not None and not pruning_policy.allow_pruning(layer):
            return layer
        return PruneLowMagnitude(layer, **arguments)

    if isinstance(to_prune, list):
        return [_pruned_or_input(layer, arguments) for layer in to_prune]
    if is_graph(to_prune):
        if pruning_policy is not None:
            pruning_policy.ensure_model_supports_pruning(to_prune)
        return with_layers("prune_low_magnitude", to_prune, put)
    if isinstance(to_prune, keras.Layer) and not isinstance(to_prune, keras.Model):
        return PruneLowMagnitude(to_prune, **{**arguments, **kwargs})
    # tfmot's own words, which scripts compare.
    raise KerasCompressError(
        "`prune_low_magnitude` can only prune an object of the following types: "
        "keras.models.Sequential, keras functional model, keras.layers.Layer, list of "
        f"keras.layers.Layer. You passed an object of type: {type(to_prune).__name__}."
    )


def _pruned_or_input(layer: keras.Layer, arguments: dict[str, Any]) -> keras.Layer:
    if isinstance(layer, PruneLowMagnitude):
        return layer
    if isinstance(layer, keras.layers.InputLayer):
        return type(layer).from_config(layer.get_config())
    return PruneLowMagnitude(layer, **arguments)


def strip_pruning(model: keras.Model) -> keras.Model:
    """Return a model of the layers within the wrappers of `model`, what is pruned exactly zero.

    Raises:
        KerasCompressError: A `ValueError`, if `model` is no Sequential or functional model.
    """
    if not isinstance(model, keras.Model):
        raise KerasCompressError(
            "Expected model to be a `keras.Model` instance but got something else. "
            f"Received: {model!r} of type {type(model).__name__}."
        )

    def put(layer: keras.Layer) -> keras.Layer:
        if not isinstance(layer, PruneLowMagnitude):
            return layer
        if layer.pruning_obj is not None:
            layer.pruning_obj.weight_mask_op()
        return layer.layer

    return with_layers("strip_pruning", model, put)


def prune_scope() -> Any:
    """Return a scope in which pruned models load. (They load outside of it, too.)"""
    classes = (PruneLowMagnitude, ConstantSparsity, PolynomialDecay)
    return keras.saving.custom_object_scope({each.__name__: each for each in classes})
