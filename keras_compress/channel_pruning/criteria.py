"""Which channels matter: criteria, each a frozen object that scores the channels of groups."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.costs import COSTS
from keras_compress.channel_pruning.gates import channel_gradients
from keras_compress.channel_pruning.group import ChannelGroup, Member
from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = [
    "CRITERIA",
    "FPGM",
    "L1",
    "L2",
    "BatchNormGamma",
    "Criterion",
    "Fisher",
    "GroupFisher",
    "Random",
    "Taylor",
    "get_criterion",
]

Scores = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """Scores channels; those with the lowest go first.

    Derive from it, as a frozen dataclass, and write `scores`.

    Args:
        per: A cost that scores are divided by when groups are compared: `"macs"`, `"parameters"`,
            `"activations"`, or `None`. What a channel saves is counted anew as channels go.
    """

    #: Whether `scores` needs samples and their targets.
    needs_data: ClassVar[bool] = False

    per: str | None = None

    def __post_init__(self) -> None:
        if self.per is not None and self.per not in COSTS:
            raise KerasCompressError(
                f"`per` must be one of {', '.join(map(repr, COSTS))}, or None. "
                f"Received: {self.per!r}."
            )

    def scores(self, groups: ChannelGroups, data: Data | None = None) -> Scores:
        """Return a score for each channel of each group, `(size,)`, at least 0.

        Args:
            groups: The groups; their model stays as it is.
            data: Samples, targets and loss, for a criterion that needs them.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, object]:
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Criterion:
        return cls(**config)


@dataclass(frozen=True, eq=False)
class Data:
    """What a criterion may learn from.

    Attributes:
        x: Inputs, in the structure of the model's, samples first.
        y: Targets.
        loss: A loss, its name or a function; `None` for that of the compiled model.
        batch_size: Samples at a time.
    """

    x: Tensor
    y: Tensor
    loss: Any = None
    batch_size: int = 32


def _register(cls: type) -> type:
    return keras.saving.register_keras_serializable(package="keras_compress")(cls)


class _OfKernels(Criterion):
    """Scores the filters that make a channel, each layer's by its mean, averaged over layers."""

    def scores(self, groups: ChannelGroups, data: Data | None = None) -> Scores:
        layers = _layers(groups)
        found = {}
        for name, group in groups.items():
            total, number = np.zeros(group.size), np.zeros(group.size)
            for member in group.members:
                if member.role != "makes" or not _is_kernel(member):
                    continue
                values = _values(layers[member.layer], member)
                axis = member.axis % values.ndim
                filters = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
                scores = self.of_filters(filters.astype(np.float64))
                mean = scores.mean()
                total += _by_channel(scores / mean if mean > 0 else scores, member, group)
                number += _by_channel(np.ones(len(scores)), member, group)
            # A channel need not run through all layers of its group.
            found[name] = total / np.maximum(number, 1)
        return found

    def of_filters(self, filters: NDArray[np.float64]) -> NDArray[np.float64]:
        raise NotImplementedError


@_register
@dataclass(frozen=True, kw_only=True)
class L1(_OfKernels):
    """The sum of a filter's magnitudes (Li et al. 2017, arXiv 1608.08710, section 3.1)."""

    def of_filters(self, filters: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.abs(filters).sum(axis=1)


@_register
@dataclass(frozen=True, kw_only=True)
class L2(_OfKernels):
    """The Euclidean norm of a filter."""

    def of_filters(self, filters: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sqrt(np.square(filters).sum(axis=1))


@_register
@dataclass(frozen=True, kw_only=True)
class FPGM(_OfKernels):
    """How far a filter is from the others, summed: what is near their median can be replaced.

    He et al. 2019, arXiv 1811.00250, equation 7.
    """

    def of_filters(self, filters: NDArray[np.float64]) -> NDArray[np.float64]:
        squares = np.square(filters).sum(axis=1)
        products = squares[:, None] + squares[None] - 2 * filters @ filters.T
        return np.sqrt(np.maximum(products, 0)).sum(axis=1)


@_register
@dataclass(frozen=True, kw_only=True)
class BatchNormGamma(Criterion):
    """The factor that batch normalization scales a channel by (Liu et al. 2017, arXiv 1708.06519).

    Averaged over the normalizations of a group. A group without any isn't cut.
    """

    def scores(self, groups: ChannelGroups, data: Data | None = None) -> Scores:
        layers = _layers(groups)
        found = {}
        for name, group in groups.items():
            norms = [
                member
                for member in group.members
                if isinstance(layers[member.layer], keras.layers.BatchNormalization)
                and member.weight == "gamma"
            ]
            if norms:
                factors = [np.abs(_values(layers[m.layer], m)).astype(np.float64) for m in norms]
                parts = zip(factors, norms, strict=True)
                total, number = np.zeros(group.size), np.zeros(group.size)
                for values, member in parts:
                    total += _by_channel(values, member, group)
                    number += _by_channel(np.ones(len(values)), member, group)
                found[name] = total / np.maximum(number, 1)
        if not found:
            raise KerasCompressError(
                "Batch normalization must have factors to tell channels by. Received: "
                f"{groups.model.name!r}, in which none scales a group. Use another criterion, such "
                "as 'l1'."
            )
        return found


@_register
@dataclass(frozen=True, kw_only=True)
class Random(Criterion):
    """By chance: what any other criterion is to be compared with.

    Args:
        seed: Of the generator. Defaults to `0`.
    """

    seed: int = 0

    def scores(self, groups: ChannelGroups, data: Data | None = None) -> Scores:
        generator = np.random.default_rng(self.seed)
        return {name: generator.random(group.size) for name, group in groups.items()}


class _OfGradients(Criterion):
    """Scores channels by gradients of the loss by factors before them."""

    needs_data: ClassVar[bool] = True

    def scores(self, groups: ChannelGroups, data: Data | None = None) -> Scores:
        if data is None or data.y is None:
            raise KerasCompressError(
                f"{type(self).__name__} takes gradients of a loss. Received: no samples with "
                "targets. Pass them, or use a criterion of the weights, such as 'l1'."
            )
        of = groups.analysis.components.of
        totals = np.zeros(int(of.max(initial=-1)) + 1)
        samples = 0
        batches = channel_gradients(
            groups, data.x, data.y, loss=data.loss, batch_size=data.batch_size
        )
        for batch in batches:
            samples += len(batch.values)
            totals += self.of_batch(batch.values, batch.components, len(totals))
        return {name: totals[group.components] / samples for name, group in groups.items()}

    def of_batch(
        self, values: NDArray[np.float64], components: NDArray[np.int64], count: int
    ) -> NDArray[np.float64]:
        raise NotImplementedError


@_register
@dataclass(frozen=True, kw_only=True)
class GroupFisher(_OfGradients):
    """Half the Fisher information of a factor on all that is coupled (Liu et al. 2021, section 3).

    The gradients of a sample are summed over the places where the channel is read, then squared
    and averaged over samples: `1 / 2N * sum_n (sum_x dL_n/dm_x) ** 2`.

    Args:
        per: Defaults to `"activations"`, the memory that the paper finds best.
    """

    per: str | None = "activations"

    def of_batch(
        self, values: NDArray[np.float64], components: NDArray[np.int64], count: int
    ) -> NDArray[np.float64]:
        return np.square(_summed(values, components, count)).sum(axis=0) / 2


@_register
@dataclass(frozen=True, kw_only=True)
class Fisher(_OfGradients):
    """Half the Fisher information of each place where a channel is read, summed afterwards.

    Theis et al. 2018, arXiv 1801.05787, equation 6: `1 / 2N * sum_x sum_n (dL_n/dm_x) ** 2`.
    """

    def of_batch(
        self, values: NDArray[np.float64], components: NDArray[np.int64], count: int
    ) -> NDArray[np.float64]:
        return np.bincount(components, np.square(values).sum(axis=0), count) / 2


@_register
@dataclass(frozen=True, kw_only=True)
class Taylor(_OfGradients):
    """The first-order change of the loss, squared batch by batch.

    Molchanov et al. 2019, arXiv 1906.10771, equation 8 with a factor before each channel: the
    gradients of a batch are averaged, summed over what is coupled, and squared.
    """

    def of_batch(
        self, values: NDArray[np.float64], components: NDArray[np.int64], count: int
    ) -> NDArray[np.float64]:
        mean = _summed(values.mean(axis=0, keepdims=True), components, count)[0]
        return np.square(mean) * len(values)


#: Criteria by name; a file with one of its own adds it.
CRITERIA: dict[str, type[Criterion]] = {
    "l1": L1,
    "l2": L2,
    "fpgm": FPGM,
    "bn_gamma": BatchNormGamma,
    "taylor": Taylor,
    "fisher": Fisher,
    "group_fisher": GroupFisher,
    "random": Random,
}


def get_criterion(criterion: str | Criterion) -> Criterion:
    """Return a criterion by its name, or as it is.

    Raises:
        KerasCompressError: If there is none of that name.
    """
    if isinstance(criterion, Criterion):
        return criterion
    if criterion not in CRITERIA:
        raise KerasCompressError(
            f"A criterion is a `Criterion` or one of {', '.join(map(repr, CRITERIA))}. "
            f"Received: {criterion!r}."
        )
    return CRITERIA[criterion]()


def _summed(
    values: NDArray[np.float64], components: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    """Return columns of one component summed, `(samples, count)`."""
    from scipy.sparse import csr_matrix

    places = np.arange(len(components))
    sums = csr_matrix((np.ones(len(places)), (places, components)), (len(places), count))
    return np.asarray(values @ sums)


def _layers(groups: ChannelGroups) -> dict[str, Any]:
    return {record.path: record.operation for record in groups.analysis.records.values()}


def _is_kernel(member: Member) -> bool:
    return "kernel" in member.weight or member.weight == "embeddings"


def _values(layer: keras.Layer, member: Member) -> NDArray[Any]:
    variable = layer.variables[member.place]
    return np.asarray(keras.ops.convert_to_numpy(variable))


def _by_channel(
    scores: NDArray[np.float64], member: Member, group: ChannelGroup
) -> NDArray[np.float64]:
    """Return what indices along an axis score, summed by the channel of the group."""
    own = member.channels >= 0
    return np.bincount(member.channels[own], scores[own], group.size).astype(np.float64)
