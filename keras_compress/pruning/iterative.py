"""Han's iterative pruning: prune a little, retrain, prune further, while the accuracy holds.

Han, Pool, Tran and Dally (arXiv 1506.02626, sections 3 and 3.4): pruning in rounds with
retraining in between reaches rates that a single round doesn't, and the threshold of a layer is
a quality factor times the standard deviation of its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_compress.engine.report import values_of
from keras_compress.engine.weights import Selectors, require_finite, select_weights
from keras_compress.errors import KerasCompressError
from keras_compress.pruning.callback import PruningCallback
from keras_compress.pruning.config import PruningConfig
from keras_compress.pruning.schedules import ConstantSparsity, Schedule, check_sparsity

#: Sparsity of everything, or a sparsity for each layer by its path.
Rates = float | Mapping[str, float]


@dataclass(frozen=True)
class PruningRound:
    """One round of `prune_iteratively`.

    Attributes:
        rates: The sparsity asked for, by layer path, or of everything under `"*"`.
        sparsity: The sparsity of the pruned weights as a whole.
        score: What `evaluate` returned after retraining.
        accepted: Whether the score reached the floor.
    """

    rates: dict[str, float]
    sparsity: float
    score: float
    accepted: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def prune_iteratively(
    model: keras.Model,
    rounds: Sequence[Rates],
    train: Callable[[Any, list[Any]], Any],
    evaluate: Callable[[Any], float],
    *,
    floor: float,
    config: PruningConfig | None = None,
    patience: int = 0,
) -> list[PruningRound]:
    """Prune `model` in rounds, with retraining in each, for as long as it stays good enough.

    The model is trained in place, as by `fit`; at the end it has the weights of the last
    accepted round, or its first ones if there was none. `pruning.finalize(model)` then gives
    the result.

    Example:

    ```python
    rounds = prune_iteratively(
        model,
        [0.5, 0.7, 0.8, 0.9, 0.95],
        lambda model, callbacks: model.fit(x, y, epochs=3, callbacks=callbacks),
        lambda model: model.evaluate(x_test, y_test)[1],
        floor=0.98,
    )
    ```

    Args:
        model: A built, compiled model.
        rounds: The sparsity of each round: a number for all, or a mapping from layer path to
            number (such as `Sensitivity.propose` returns); layers that it leaves out are left
            alone.
        train: Called with the model and a list of callbacks to pass to `fit`.
        evaluate: Returns a score, greater being better.
        floor: The least score to accept.
        config: What else to prune by: pattern, criterion, scope, frequency and, where a round is
            a number, layers. Defaults to `None` (the defaults of `PruningConfig`).
        patience: Further rounds to try after one below the floor, as retraining at a higher
            sparsity sometimes recovers. Defaults to `0`.

    Returns:
        The rounds done, the last accepted one being what `model` holds.

    Raises:
        KerasCompressError: If there are no rounds, a rate is no sparsity, or a score or a weight
            is not finite.
    """
    if not rounds:
        raise KerasCompressError("There must be at least one round. Received: rounds=[].")
    plans = [_as_configs(rates, config or PruningConfig()) for rates in rounds]
    best = model.get_weights()
    done: list[PruningRound] = []
    failures = 0
    for rates, configs in zip(rounds, plans, strict=True):
        callbacks = [PruningCallback(config) for config in configs]
        train(model, list(callbacks))
        score = float(evaluate(model))
        # A score of NaN is below any floor: training has diverged.
        accepted = score >= floor
        named = dict(rates) if isinstance(rates, Mapping) else {"*": float(rates)}
        done.append(PruningRound(named, _sparsity(model, configs), score, accepted))
        if accepted:
            best, failures = model.get_weights(), 0
            continue
        failures += 1
        if failures > patience or not np.isfinite(score):
            break
    model.set_weights(best)
    return done


def threshold_rates(
    model: keras.Model, quality: float, layers: Selectors = None
) -> dict[str, float]:
    """Return the sparsity of each layer at Han's threshold, `quality` standard deviations.

    Layers whose weights crowd around zero are pruned further than others, without a rate for
    each having to be found.

    Args:
        model: A built model.
        quality: The factor, above 0; about 0.5 to 2 in practice.
        layers: Which layers, as in `PruningConfig`. Defaults to `None`.

    Returns:
        Sparsity by layer path, for `prune_iteratively` or `layer_configs`.

    Raises:
        KerasCompressError: If the factor is not above 0 or a weight is not finite.
    """
    if not float(quality) > 0:
        raise KerasCompressError(f"`quality` must be above 0. Received: quality={quality!r}.")
    below: dict[str, int] = {}
    size: dict[str, int] = {}
    for ref in select_weights(model, layers).chosen:
        values = values_of(ref.variable)
        require_finite(ref, values)
        count = int(np.count_nonzero(np.abs(values) < quality * values.std()))
        below[ref.path] = below.get(ref.path, 0) + count
        size[ref.path] = size.get(ref.path, 0) + values.size
    return {path: min(below[path], size[path] - 1) / size[path] for path in size}


def layer_configs(
    rates: Mapping[str, float],
    schedule: Callable[[float], Schedule] = ConstantSparsity,
    config: PruningConfig | None = None,
) -> list[PruningConfig]:
    """Return a `PruningConfig` for each layer.

    Example:

    ```python
    configs = layer_configs(rates, lambda rate: PolynomialDecay(0.0, rate, 0, 1000))
    model.fit(x, y, callbacks=[PruningCallback(config) for config in configs])
    ```

    Args:
        rates: Sparsity by layer path.
        schedule: Makes a schedule of a sparsity. Defaults to `ConstantSparsity`.
        config: What else to prune by: pattern, criterion, scope and frequency. Defaults to
            `None` (the defaults of `PruningConfig`).
    """
    config = config or PruningConfig()
    return [
        replace(config, schedule=schedule(check_sparsity(f"rates[{path!r}]", rate)), layers=path)
        for path, rate in rates.items()
        if rate > 0
    ]


def _as_configs(rates: Rates, config: PruningConfig) -> list[PruningConfig]:
    if isinstance(rates, Mapping):
        return layer_configs(rates, config=config)
    return [replace(config, schedule=ConstantSparsity(check_sparsity("rounds", rates)))]


def _sparsity(model: keras.Model, configs: Sequence[PruningConfig]) -> float:
    chosen = {id(ref.variable): ref for config in configs for ref in config.select(model).chosen}
    values = [values_of(ref.variable) for ref in chosen.values()]
    size = sum(value.size for value in values)
    return 1.0 - sum(int(np.count_nonzero(value)) for value in values) / size if size else 0.0
