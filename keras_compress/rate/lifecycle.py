"""`prepare`, `finalize` and `report` of rate-aware training."""

from __future__ import annotations

from typing import Any

from keras_compress.engine.cloning import unwrap_layers, wrap_layers
from keras_compress.engine.preparation import weights_to_wrap
from keras_compress.engine.report import Report, left_alone_rows, values_of, weight_report
from keras_compress.engine.weights import (
    Selection,
    Selectors,
    WeightRef,
    iter_weights,
    select_weights,
)
from keras_compress.layers import iter_layers
from keras_compress.rate.config import RateConfig
from keras_compress.rate.wrapper import RateAware, initial_step_size


def prepare(model: Any, config: RateConfig | None = None) -> Any:
    """Return a copy of `model` whose chosen layers are `RateAware`.

    The copy computes with rounded weights from the start and, if `model` is compiled, has the
    same compilation. Train it with `RateCallback(config)`; `finalize` gives stock layers back.
    Start from a trained model: what a bit costs is small against the loss of an untrained one.
    Weights that lie on a grid already, as those of a model from `finalize`, keep its step size: so
    a net can be settled at a low learning rate after it was trained at a high one.

    Args:
        model: A built Sequential or functional model, nested or not.
        config: The `RateConfig`. Defaults to `None` (its defaults).

    Raises:
        KerasCompressError: If the model is unbuilt, subclassed, prepared already or has nothing
            to round, or if a weight is NaN or infinite.
    """
    config = config or RateConfig()
    selection = _select(model, config.layers, config.biases)
    chosen = weights_to_wrap(model, selection, rate_aware_layers(model), "rate", "round")
    wrapped: list[tuple[RateAware, list[float]]] = []

    def wrap(layer: Any, indices: list[int], refs: list[WeightRef]) -> RateAware:
        wrapper = RateAware(layer, config.step_digits, indices)
        sizes = [initial_step_size(values_of(r.variable), config.initial_step_size) for r in refs]
        wrapped.append((wrapper, sizes))
        return wrapper

    def fill() -> None:
        for wrapper, step_sizes in wrapped:
            wrapper.set_step_sizes(step_sizes)

    return wrap_layers(model, chosen, wrap, fill)


def finalize(model: Any) -> Any:
    """Return a copy of a model from `prepare` in stock layers, its weights rounded.

    Args:
        model: A model from `prepare`, trained or not.

    Returns:
        A plain Keras model, compiled like `model` with an optimizer of the user's own kind.
    """
    return unwrap_layers(model)


def report(model: Any, layers: Selectors = None, biases: bool = True) -> Report:
    """Return per weight how many zeros and distinct values there are, or why it was left alone.

    Args:
        model: A model from `prepare`, or what `finalize` made of it.
        layers: The selection, as in `RateConfig`. Defaults to `None`.
        biases: Whether biases were chosen too, as in `RateConfig`. Defaults to `True`.
    """
    plain = unwrap_layers(model) if rate_aware_layers(model) else model
    selection = _select(plain, layers, biases)
    rows = []
    for ref in selection.chosen:
        row = weight_report(ref, values_of(ref.variable), "rounded")
        if row.size > 2 and row.distinct == row.size:
            row = weight_report(
                ref, values_of(ref.variable), "left alone", "every value is another"
            )
        rows.append(row)
    return Report("rate", (*rows, *left_alone_rows(selection.left_alone)))


def estimated_bits(model: Any) -> Any:
    """Return the bits of all rounded weights of `model` by `code_length`, a float32 scalar.

    Args:
        model: A model from `prepare`.
    """
    return sum(layer.bits() for layer in rate_aware_layers(model))


def rate_aware_layers(model: Any) -> list[RateAware]:
    """Return the `RateAware` layers of `model`, nested ones included."""
    return [layer for _, layer in iter_layers(model) if isinstance(layer, RateAware)]


def _select(model: Any, layers: Selectors, biases: bool) -> Selection:
    selection = select_weights(model, layers)
    if not biases:
        return selection
    owners = {id(ref.owners[-1]) for ref in selection.chosen if ref.owners}
    chosen = {id(ref.variable) for ref in selection.chosen}
    added = {
        id(ref.variable)
        for ref, _ in selection.left_alone
        if ref.name == "bias" and ref.variable.trainable and id(ref.owners[-1]) in owners
    }
    left_alone = tuple(pair for pair in selection.left_alone if id(pair[0].variable) not in added)
    # In the order of the model.
    both = tuple(ref for ref in iter_weights(model) if id(ref.variable) in chosen | added)
    return Selection(both, left_alone)
