"""`prepare` and `report` of rate-aware training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_compress.engine.cloning import wrap_layers
from keras_compress.engine.effects import technique_report
from keras_compress.engine.preparation import weights_to_wrap
from keras_compress.engine.report import Report, values_of
from keras_compress.engine.technique import Technique, register_technique
from keras_compress.engine.weights import WeightRef
from keras_compress.layers import iter_layers
from keras_compress.rate.config import RateConfig
from keras_compress.rate.wrapper import RateAware, initial_step_size

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


def prepare(model: keras.Model, config: RateConfig | None = None) -> keras.Model:
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
    selection = config.select(model)
    chosen = weights_to_wrap(model, selection, rate_aware_layers(model), "rate", "round")
    wrapped: list[tuple[RateAware, list[float]]] = []

    def wrap(layer: keras.Layer, indices: list[int], refs: list[WeightRef]) -> RateAware:
        wrapper = RateAware(layer, config.step_digits, indices)
        sizes = [initial_step_size(values_of(r.variable), config.initial_step_size) for r in refs]
        wrapped.append((wrapper, sizes))
        return wrapper

    def fill() -> None:
        for wrapper, step_sizes in wrapped:
            wrapper.set_step_sizes(step_sizes)

    return wrap_layers(model, chosen, wrap, fill)


def report(model: keras.Model, config: RateConfig | None = None) -> Report:
    """Return per weight how many zeros and distinct values there are, or why it was left alone.

    Args:
        model: A model from `prepare`, or what `finalize` made of it.
        config: The `RateConfig` it was prepared with; its `layers` and `biases` say what was
            chosen. Defaults to `None` (kernels and biases of every layer with a kernel).
    """
    selection = (config or RateConfig()).select(model)

    def why_not(values: np.ndarray) -> str | None:
        each_another = values.size > 2 and np.unique(values).size == values.size
        return "every value is another" if each_another else None

    return technique_report("rate", "rounded", model, selection, why_not)


def estimated_bits(model: keras.Model) -> Tensor:
    """Return the bits of all rounded weights of `model` by `code_length`, a float32 scalar.

    Args:
        model: A model from `prepare`.
    """
    return sum(layer.bits() for layer in rate_aware_layers(model))


def rate_aware_layers(model: keras.Model) -> list[RateAware]:
    """Return the `RateAware` layers of `model`, nested ones included."""
    return [layer for _, layer in iter_layers(model) if isinstance(layer, RateAware)]


register_technique(RateConfig, Technique("rate", prepare, report))
