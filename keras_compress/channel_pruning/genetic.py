"""Genetic channel pruning: which channels of each layer, searched by a fitness without a net.

Hu, Sun, Li, Wang, Gu 2018, "A novel channel pruning method for deep neural network compression",
arXiv 1805.11394. What the paper calls the two-step approximation is read as follows: the loss of
the net by the error of the layer's output, and that by a quadratic form of products gathered once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.argument_checks import check_count
from keras_compress.channel_pruning.costs import ChannelCosts
from keras_compress.channel_pruning.criteria import Criterion, Data, get_criterion
from keras_compress.channel_pruning.evaluation import MaskedLoss
from keras_compress.channel_pruning.group import ChannelGroup
from keras_compress.channel_pruning.groups import ChannelGroups, Selectors
from keras_compress.channel_pruning.masking import ReadMasks
from keras_compress.channel_pruning.moments import contributions, group_moments, places_of
from keras_compress.channel_pruning.plan import ChannelPlan
from keras_compress.channel_pruning.pruning import ChannelPruned
from keras_compress.channel_pruning.reading_layers import find_readers
from keras_compress.channel_pruning.reestimation import reestimate_statistics
from keras_compress.channel_pruning.report import channel_report
from keras_compress.channel_pruning.scope import groups_to_cut
from keras_compress.channel_pruning.sensitivity import rates_within, scan_groups
from keras_compress.channel_pruning.targets import Target, get_target
from keras_compress.engine.cloning import copy_model
from keras_compress.engine.optimizer import attach_optimizer
from keras_compress.errors import KerasCompressError
from keras_compress.search import Journal, evolve_bits
from keras_compress.search.progress import Progress

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["error_matrix", "genetic"]

_SCANNED = 1024


def genetic(
    model: keras.Model,
    x: Tensor,
    y: Tensor,
    target: Target | float = 0.5,
    *,
    criterion: str | Criterion = "l1",
    layer_batches: int = 30,
    final_epochs: int = 1,
    population: int = 60,
    generations: int = 60,
    positions: int = 10,
    round_to: int = 8,
    min_channels: int = 1,
    layers: Selectors = None,
    veto: Selectors = None,
    batch_size: int = 64,
    seed: int = 0,
    journal: Journal | None = None,
    progress: Progress | None = None,
) -> ChannelPruned:
    """Remove channels layer by layer, those of each layer found by a genetic search (Hu 2018).

    How many channels each group loses follows from its sensitivity: all raise the loss alike. Which
    ones, is searched with a bit a channel: the fitness is the mean square of what the outputs of
    the layers that read the group lose, `e' K e` with e the channels left out and
    `K_ij = mean <X_i W_i, X_j W_j>`, so that no candidate needs the net. After each group the net
    is trained for a few batches, in the end distilled from `model`.

    Example:

    ```python
    pruned = channel_pruning.genetic(model, x, y, 0.5, final_epochs=10)
    ```

    Args:
        model: A built Sequential or functional model, compiled. It stays as it is.
        x: Training inputs, arrays in the structure of the model's.
        y: Targets.
        target: What may be left: a `Target`, or the share of multiply-accumulates. Defaults to
            `0.5`.
        criterion: In what order channels go while sensitivities are measured. Defaults to `"l1"`.
        layer_batches: Batches trained on after each group; 0 for no training there. Defaults to
            `30`.
        final_epochs: Epochs of the distillation in the end; with 0 only the statistics of batch
            normalization are taken anew. Defaults to `1`.
        population: Candidates in a generation. Defaults to `60`.
        generations: How many of them. Defaults to `60`.
        positions: Places drawn from each sample's image, for K. Defaults to `10`.
        round_to: As in `prune`. Defaults to `8`.
        min_channels: As in `prune`. Defaults to `1`.
        layers: As in `prune`. Defaults to `None`.
        veto: As in `prune`. Defaults to `None`.
        batch_size: Samples at a time. Defaults to `64`.
        seed: Of the search, and of the choice of samples. Defaults to `0`.
        journal: Keeps the sensitivities on the disk. Defaults to `None`.
        progress: Told how far it is. Defaults to `None`.

    Returns:
        A `ChannelPruned`.

    Raises:
        KerasCompressError: If the model isn't compiled or its graph is unknown, a number is out of
            range, no group is read by layers with known products, or the target can't be reached.
    """
    check_count("layer_batches", layer_batches, minimum=0)
    check_count("final_epochs", final_epochs, minimum=0)
    if not getattr(model, "compiled", False):
        raise KerasCompressError(
            f"The net is trained between cuts. Received: {model.name!r}, which isn't compiled. "
            "Call `model.compile(...)` first."
        )
    criterion, target = get_criterion(criterion), get_target(target)
    progress = progress or Progress()
    generator = np.random.default_rng(seed)
    net = copy_model(model)
    groups = groups_to_cut(
        net, round_to=round_to, min_channels=min_channels, layers=layers, veto=veto
    )
    few = _drawn(x, y, _SCANNED, generator)
    data = Data(*few, batch_size=batch_size)
    scores = criterion.scores(groups, data)
    others = find_readers(groups)[1]
    scores = {name: of for name, of in scores.items() if name not in others}
    loss = MaskedLoss(groups, *few, batch_size=batch_size)
    found = scan_groups(groups, scores, loss, journal=journal, progress=progress)
    costs = ChannelCosts(groups)
    rates = rates_within(groups, found, costs, target)
    reads = ReadMasks(groups.analysis, net, attach_optimizer(net))
    masks: dict[str, NDArray[np.bool_]] = {}
    cut = [name for name, mask in rates.items() if not mask.all()]
    progress.begin("Layer by layer", len(cut))
    for name in cut:
        matrix = error_matrix(groups.restrict(layers=name), data, positions, seed)[name]
        masks[name] = _chosen(
            groups[name], rates[name], matrix, population, generations, seed + len(masks)
        )
        reads.set(groups.keep_mask(masks))
        if layer_batches:
            net.fit(
                *_drawn(x, y, layer_batches * batch_size, generator),
                batch_size=batch_size,
                verbose=0,
            )
        progress.advance(detail=f"{name}: {int(masks[name].sum())} of {groups[name].size}")
    progress.end()
    plan = ChannelPlan.of(groups, masks)
    small = plan.apply(copy_model(net))
    if final_epochs:
        _distil(model, small, x, y, final_epochs, batch_size)
    again = () if final_epochs else tuple(reestimate_statistics(small, few[0]))
    whole = {name: np.ones(groups[name].size, bool) for name in scores}
    report = channel_report(
        groups,
        {**whole, **masks},
        costs,
        "layer error",
        "genetic",
        again,
    )
    return ChannelPruned(small, report, plan)


def error_matrix(
    groups: ChannelGroups, data: Data, positions: int = 10, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Return, for each group, K: `e' K e` is what its readers' outputs lose without e.

    Each reader counts by the share that it loses of its outputs' mean square.

    Args:
        groups: The groups.
        data: Samples; targets aren't looked at.
        positions: Places drawn from each sample's image. Defaults to `10`.
        seed: Of the places. Defaults to `0`.

    Raises:
        KerasCompressError: If no group is read by convolutions without groups or Dense layers
            alone.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for name, reader, moments in group_moments(groups, data, positions, seed):
        size = groups[name].size
        second = moments.covariance + np.outer(moments.mean, moments.mean)
        products = contributions(reader, second)
        places = places_of(reader, name, size)
        own = places @ products @ places.T / max(float(products.sum()), 1e-30)
        found[name] = found.get(name, np.zeros((size, size))) + own
    return found


def _chosen(
    group: ChannelGroup,
    rate: NDArray[np.bool_],
    matrix: NDArray[np.float64],
    population: int,
    generations: int,
    seed: int,
) -> NDArray[np.bool_]:
    """Return as many channels of each kind as `rate` has, without whose rest least is lost."""
    _, kinds = np.unique(group.makes, axis=1, return_inverse=True)
    kinds = kinds.reshape(-1).astype(np.int64)
    counts = {int(kind): int(rate[kinds == kind].sum()) for kind in np.unique(kinds)}

    def fitness(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        gone = (~kept).astype(np.float64)
        errors = np.einsum("ni,ij,nj->n", gone, matrix, gone, optimize=True)
        if len(group.floors):
            errors[(kept @ group.floors.T < 1).any(axis=1)] = np.inf
        return errors

    return evolve_bits(
        fitness,
        int(rate.sum()),
        group.size,
        kinds=kinds,
        counts=counts,
        start=np.stack([rate, np.argsort(np.argsort(-np.diag(matrix))) < rate.sum()]),
        population=population,
        generations=generations,
        seed=seed,
    )


def _distil(
    model: keras.Model, small: keras.Model, x: Tensor, y: Tensor, epochs: int, batch_size: int
) -> None:
    """Train a smaller model on targets and on what the whole one says, with a like optimizer."""
    from keras_compress.distillation import Distiller

    distiller = Distiller(model, small, student_loss_weight=0.5)
    optimizer = type(small.optimizer).from_config(small.optimizer.get_config())
    distiller.compile(optimizer, small.loss)
    distiller.fit(x, y, epochs=epochs, batch_size=batch_size, verbose=0)


def _drawn(
    x: Tensor, y: Tensor, count: int, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return some samples by chance, all of them if there are no more."""
    number = len(keras.tree.flatten(x)[0])
    chosen = np.sort(generator.permutation(number)[:count])
    return keras.tree.map_structure(lambda a: np.asarray(a)[chosen], (x, y))
