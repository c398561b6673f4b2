"""What every technique refuses before it takes hold of a model's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_compress.engine.report import values_of
from keras_compress.engine.weights import Selection, WeightRef, require_finite
from keras_compress.engine.wrapper import SubstitutedLayer
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    import keras


def require_chosen(model: keras.Model, selection: Selection, verb: str) -> None:
    """Raise if `selection` holds no weight to `verb`, and say why each was left alone."""
    if not selection.chosen:
        reasons = sorted({reason for _, reason in selection.left_alone})
        why = f", where every weight is left alone ({'; '.join(reasons)})" if reasons else ""
        raise KerasCompressError(
            f"There must be at least one weight to {verb}. Received: {model.name!r}{why}."
        )


def require_effective(chosen: Sequence[WeightRef], verb: str, *, zeros_only: bool) -> None:
    """Raise if a layer runs on other values than those that a callback would constrain.

    Args:
        chosen: The weights to constrain.
        verb: What is to be done to them.
        zeros_only: Whether wrappers that keep zeros (`keeps_zeros`) are good enough.
    """
    for ref in chosen:
        for owner in ref.owners:
            wrapper = isinstance(owner, SubstitutedLayer)
            if wrapper and not (zeros_only and getattr(owner, "keeps_zeros", False)):
                raise KerasCompressError(
                    f"A callback can {verb} weights that a layer runs on as they are. Received: "
                    f"{ref.label}, in the place of which `{type(owner).__name__}` puts others. "
                    "Call `finalize(model)` of its technique first, or give the untouched model "
                    "the callbacks of both."
                )


def weights_to_wrap(
    model: keras.Model, selection: Selection, wrappers: Sequence[object], technique: str, verb: str
) -> tuple[WeightRef, ...]:
    """Return the finite weights that a first `prepare` of `model` is to wrap, at least one.

    Args:
        model: The model.
        selection: Its weights, as `select_weights` chose them.
        wrappers: The technique's wrappers that it has already.
        technique: The subpackage whose `finalize` takes these off.
        verb: What the technique does to a weight.
    """
    if wrappers:
        raise KerasCompressError(
            f"A model can be prepared once. Received: {model.name!r}, which has "
            f"`{type(wrappers[0]).__name__}` layers. Call `{technique}.finalize(model)` first."
        )
    require_chosen(model, selection, verb)
    for ref in selection.chosen:
        require_finite(ref, values_of(ref.variable))
    return selection.chosen
