"""Channel pruning in one call: groups, scores, choice, surgery, statistics, report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.channel_pruning.compensation import compensated_copy
from keras_compress.channel_pruning.costs import ChannelCosts
from keras_compress.channel_pruning.criteria import Criterion, Data, get_criterion
from keras_compress.channel_pruning.groups import ChannelGroups, Selectors
from keras_compress.channel_pruning.plan import ChannelPlan
from keras_compress.channel_pruning.reestimation import reestimate_statistics
from keras_compress.channel_pruning.report import ChannelReport, channel_report
from keras_compress.channel_pruning.scope import groups_to_cut
from keras_compress.channel_pruning.selection import select_greedily, select_uniformly
from keras_compress.channel_pruning.targets import Target, get_target
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["ChannelPruned", "prune"]

_METHODS = ("global", "uniform")


@dataclass(frozen=True)
class ChannelPruned:
    """What `prune` returns.

    Attributes:
        model: The smaller model.
        report: What was cut, what stays and why.
        plan: The channels kept: applied to the model it gives the smaller one, statistics of batch
            normalization aside.
    """

    model: keras.Model
    report: ChannelReport
    plan: ChannelPlan


def prune(
    model: keras.Model,
    target: Target | float = 0.5,
    *,
    criterion: str | Criterion = "l1",
    method: str = "global",
    x: Tensor | None = None,
    y: Tensor | None = None,
    loss: object = None,
    round_to: int = 8,
    min_channels: int = 1,
    layers: Selectors = None,
    veto: Selectors = None,
    compensate: bool = False,
    reestimate: bool = True,
    verify: bool = False,
    batch_size: int = 32,
    input_shape: object = None,
) -> ChannelPruned:
    """Remove the channels of `model` that matter least, until it costs no more than `target`.

    Train the smaller model on afterwards; it is compiled like `model`.

    Example:

    ```python
    pruned = channel_pruning.prune(model, 0.5, criterion="group_fisher", x=x[:2048], y=y[:2048])
    print(pruned.report)
    pruned.model.fit(x, y, epochs=10)
    ```

    Args:
        model: A built Sequential or functional model. It stays as it is.
        target: What may be left: a `Target`, or the share of multiply-accumulates. Defaults to
            `0.5`.
        criterion: How channels are scored: a `Criterion`, or `"l1"`, `"l2"`, `"fpgm"`,
            `"bn_gamma"`, `"taylor"`, `"fisher"`, `"group_fisher"`, `"explained_variance"`,
            `"lasso"` or `"random"`. Defaults to
            `"l1"`.
        method: `"global"` removes the lowest scores of all groups, `"uniform"` the same share of
            each. Defaults to `"global"`.
        x: Training inputs, arrays in the structure of the model's: for criteria of gradients, for
            the statistics of batch normalization, and for `verify`. Defaults to `None`.
        y: Targets of `x`, for criteria of gradients. Defaults to `None`.
        loss: A loss, its name, or a function of targets and outputs. Defaults to `None`: the loss
            that the model is compiled with.
        round_to: The channels left in a layer are a multiple of it, or all. Defaults to `8`.
        min_channels: Fewest channels left in a layer. Defaults to `1`.
        layers: Only groups made by these layers, as in `ChannelGroups.restrict`. Defaults to
            `None`.
        veto: No groups that these layers make, read or follow. Defaults to `None`.
        compensate: Whether layers that read cut groups are fitted to what they computed before, by
            least squares on `x`, without labels. Defaults to `False`.
        reestimate: Whether the statistics of batch normalization are taken anew, if there is `x`.
            Defaults to `True`.
        verify: Whether the smaller model is checked against `model` with the channels at zero, on
            the first 32 of `x`. Defaults to `False`.
        batch_size: Samples at a time. Defaults to `32`.
        input_shape: Shape of one sample, without the batch, where the model leaves sides open.
            Defaults to `None`.

    Returns:
        A `ChannelPruned`.

    Raises:
        KerasCompressError: If the model is subclassed or unbuilt, no channel may go, the target
            can't be reached, data are missing or don't fit, or a score isn't a number.
    """
    criterion, target = get_criterion(criterion), get_target(target)
    if method not in _METHODS:
        raise KerasCompressError(
            f"`method` must be one of {', '.join(map(repr, _METHODS))}. Received: {method!r}."
        )
    groups = groups_to_cut(
        model, round_to=round_to, min_channels=min_channels, layers=layers, veto=veto
    )
    if x is not None:
        _require_fitting(model, x, y)
    for name, asked in (("verify", verify), ("compensate", compensate)):
        if asked and x is None:
            raise KerasCompressError(
                f"`{name}=True` needs samples. Received: no `x`. Pass training inputs."
            )
    costs = ChannelCosts(groups, input_shape)
    data = None if x is None else Data(x, y, loss, batch_size)
    scores = criterion.scores(groups, data)
    _require_scores(scores, groups, criterion)
    if method == "global":
        masks = select_greedily(groups, scores, costs, target, per=criterion.per)
    else:
        masks = select_uniformly(groups, scores, costs, target)
    cut = {name: mask for name, mask in masks.items() if not mask.all()}
    plan = ChannelPlan.of(groups, cut)
    samples = keras.tree.map_structure(lambda a: np.asarray(a[:32]), x) if verify else None
    fitted: list[str] = []
    source: Any = groups
    if compensate:
        source, fitted = compensated_copy(groups, cut, x)
    small = plan.apply(source, verify=samples)
    again = tuple(reestimate_statistics(small, x)) if reestimate and x is not None else ()
    report = channel_report(
        groups,
        masks,
        costs,
        type(criterion).__name__,
        method,
        again,
        tuple(fitted),
    )
    return ChannelPruned(small, report, plan)


def _require_fitting(model: keras.Model, x: Tensor, y: Tensor) -> None:
    """Raise unless the data fit the model's inputs and each other."""
    wanted = [tuple(t.shape[1:]) for t in model.inputs]
    arrays = keras.tree.flatten(x)
    shapes = [tuple(np.shape(a)) for a in arrays]
    fits = len(shapes) == len(wanted) and all(
        len(has) == len(want) + 1
        and all(b is None or a == b for a, b in zip(has[1:], want, strict=True))
        for has, want in zip(shapes, wanted, strict=False)
    )
    counts = {shape[0] if shape else 0 for shape in shapes}
    targets = {len(a) for a in keras.tree.flatten(y)} if y is not None else set()
    if not fits or len(counts | targets) != 1 or 0 in counts:
        raise KerasCompressError(
            f"`x` must be arrays of samples of the model's inputs, {wanted}, and `y` as many "
            f"targets. Received: shapes {shapes}"
            + (f" and {sorted(targets)} targets." if y is not None else ".")
        )


def _require_scores(
    scores: Mapping[str, np.ndarray], groups: ChannelGroups, criterion: Criterion
) -> None:
    for name, values in scores.items():
        size = groups[name].size if name in groups else None
        if np.shape(values) != (size,) or not np.isfinite(values).all():
            raise KerasCompressError(
                "A criterion gives each channel of a group a finite score. Received: "
                f"{type(criterion).__name__} with {np.asarray(values).size} scores for the {size} "
                f"channels of {name!r}, {int((~np.isfinite(values)).sum())} of them NaN or "
                "infinite. Check the weights: a training may have diverged."
            )
