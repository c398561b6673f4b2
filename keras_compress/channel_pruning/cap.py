"""CaP: how much each layer can lose, found by compensation and a floor of accuracy.

Xie, Dong, Cheng, Liu: "Pruning with Compensation", arXiv 2108.13728.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.channel_pruning.compensation import Compensation
from keras_compress.channel_pruning.costs import ChannelCosts
from keras_compress.channel_pruning.criteria import Criterion, Data, get_criterion
from keras_compress.channel_pruning.groups import Selectors
from keras_compress.channel_pruning.plan import ChannelPlan
from keras_compress.channel_pruning.pruning import ChannelPruned
from keras_compress.channel_pruning.report import channel_report
from keras_compress.channel_pruning.scope import groups_to_cut
from keras_compress.channel_pruning.selection import removal_steps
from keras_compress.errors import KerasCompressError
from keras_compress.search.bisection import bisect

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from keras_compress.tensor import Tensor

__all__ = ["cap"]


def cap(
    model: keras.Model,
    x: Tensor,
    evaluate: Callable[[Any], float],
    *,
    max_drop: float = 0.02,
    criterion: str | Criterion = "explained_variance",
    round_to: int = 8,
    min_channels: int = 1,
    layers: Selectors = None,
    veto: Selectors = None,
    positions: int = 20,
    rescale: bool = True,
    batch_size: int = 64,
    progress: Callable[[str, int, float], None] | None = None,
) -> ChannelPruned:
    """Remove what can be removed at a drop of accuracy, without any training.

    Group by group, from the input on, the fewest channels are found by bisection at which the
    model, compensated, is still as good as a floor. The floor falls by the same step from group to
    group, from what the model reaches to `max_drop` below.

    Example:

    ```python
    def accuracy(net):
        return float((net.predict(x_held_out, verbose=0).argmax(1) == y_held_out).mean())

    pruned = channel_pruning.cap(model, x[:1000], accuracy, max_drop=0.02)
    ```

    Args:
        model: A built Sequential or functional model. It stays as it is.
        x: Training inputs to fit on, arrays in the structure of the model's.
        evaluate: Takes a model, returns its score on data that aren't the test set; more is better.
        max_drop: How far the score may fall, in its own units. Defaults to `0.02`.
        criterion: The order in which channels go. Defaults to `"explained_variance"`.
        round_to: As in `prune`. Defaults to `8`.
        min_channels: As in `prune`. Defaults to `1`.
        layers: As in `prune`. Defaults to `None`.
        veto: As in `prune`. Defaults to `None`.
        positions: Places drawn from each sample's image. Defaults to `20`.
        rescale: Whether fitted outputs are scaled to the variance they had. Defaults to `True`.
        batch_size: Samples at a time. Defaults to `64`.
        progress: Called with each group, the channels kept of it and the score with them. Defaults
            to `None`.

    Returns:
        A `ChannelPruned`.

    Raises:
        KerasCompressError: If the model's graph is unknown, no group is read by layers that can be
            fitted, or a score isn't finite.
    """
    criterion = get_criterion(criterion)
    groups = groups_to_cut(
        model, round_to=round_to, min_channels=min_channels, layers=layers, veto=veto
    )
    if not max_drop >= 0:
        raise KerasCompressError(f"`max_drop` must be at least 0. Received: {max_drop!r}.")
    scores = criterion.scores(groups, Data(x, None, batch_size=batch_size))
    base = _score(evaluate, model)
    fitting = Compensation(groups, x, positions=positions, batch_size=batch_size, rescale=rescale)
    masks: dict[str, np.ndarray] = {}
    names = [name for name in groups if name in scores]
    for number, name in enumerate(names, 1):
        floor = base - max_drop * number / len(names)
        steps = removal_steps(groups[name], scores[name])
        kept, score = _cut_group(fitting, evaluate, masks, name, steps, floor, base)
        if kept:
            masks[name] = steps[kept]
        if progress is not None:
            progress(name, int(steps[kept].sum()), score)
    plan = ChannelPlan.of(groups, masks)
    costs = ChannelCosts(groups)
    report = channel_report(
        groups,
        {name: masks.get(name, np.ones(groups[name].size, bool)) for name in names},
        costs,
        type(criterion).__name__,
        "cap",
        (),
        tuple(fitting.fitted(masks)),
    )
    return ChannelPruned(plan.apply(fitting.model), report, plan)


def _cut_group(
    fitting: Compensation,
    evaluate: Callable[[Any], float],
    masks: dict[str, np.ndarray],
    name: str,
    steps: list[NDArray[np.bool_]],
    floor: float,
    score: float,
) -> tuple[int, float]:
    """Fit the readers of a group cut as far as `floor` allows; return the step, and the score."""
    best = score, fitting.weights([name])

    def keeps_score(places: list[float]) -> list[bool]:
        nonlocal best
        fitting.fit({**masks, name: steps[int(places[0])]}, [name])
        score = _score(evaluate, fitting.model)
        if score >= floor:
            best = score, fitting.weights([name])
        return [score >= floor]

    # The first step, the whole group, needs no trial; behind the last there is none.
    rounds = len(steps).bit_length()
    kept = int(bisect(keeps_score, 0, len(steps), rounds=rounds, scale="integer").met)
    for variable, values in best[1]:
        variable.assign(values)
    return kept, best[0]


def _score(evaluate: Callable[[Any], float], model: keras.Model) -> float:
    score = float(evaluate(model))
    if not np.isfinite(score):
        raise KerasCompressError(
            f"A score must be finite. Received: {score} from `evaluate`. Check what it returns."
        )
    return score
