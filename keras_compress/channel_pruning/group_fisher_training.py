"""Group Fisher pruning: channels go one after the other while training goes on.

Liu, Zhang, Kuang et al. 2021, "Group Fisher Pruning for Practical Network Compression", ICML.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.argument_checks import check_count
from keras_compress.channel_pruning.costs import COSTS, ChannelCosts
from keras_compress.channel_pruning.factors import SharedFactors
from keras_compress.channel_pruning.groups import ChannelGroups, Selectors
from keras_compress.channel_pruning.masking import ReadMasks
from keras_compress.channel_pruning.plan import ChannelPlan
from keras_compress.channel_pruning.pruning import ChannelPruned
from keras_compress.channel_pruning.report import channel_report
from keras_compress.channel_pruning.scope import groups_to_cut
from keras_compress.channel_pruning.selection import least_step, require_reachable
from keras_compress.channel_pruning.targets import Target, get_target
from keras_compress.engine.cloning import copy_model
from keras_compress.engine.optimizer import attach_optimizer
from keras_compress.engine.projection import Projection
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keras_compress.tensor import Tensor

__all__ = ["GroupFisherTrainer", "Removal", "prune_while_training"]


@dataclass(frozen=True)
class Removal:
    """One step of a `GroupFisherTrainer`.

    Attributes:
        batch: Batches trained on before it.
        group: Name of the group.
        channels: Which of its channels went.
        score: Their score for each unit of cost saved: the least of all groups.
    """

    batch: int
    group: str
    channels: tuple[int, ...]
    score: float


class _FisherInformation(Projection):
    """Sums the squares of what the factors' gradients are, and keeps the factors at 1."""

    kind = "fisher"

    def create_state(self, optimizer: keras.Optimizer) -> list[keras.Variable]:
        return [optimizer.add_variable((self.variable.shape[1],), name="fisher")]

    def prepare_gradient(self, gradient: Tensor) -> Tensor:
        squares = keras.ops.sum(keras.ops.square(keras.ops.cast(gradient, "float32")), axis=0)
        self.state[0].assign_add(squares)
        return keras.ops.zeros_like(gradient)

    def project(self, weight: Tensor, state: object) -> Tensor:
        return keras.ops.ones_like(weight)

    def nearest(self, values: NDArray[Any]) -> NDArray[Any]:
        return np.ones_like(values)


class _Choice:
    """What a trainer chooses from, and what is left; no layer, so that Keras tracks none of it."""

    def __init__(
        self, groups: ChannelGroups, target: Target, per: str | None, shape: object
    ) -> None:
        self.groups = groups
        self.per = per
        self.costs = ChannelCosts(groups, shape)
        self.limits = target.limits(self.costs.full)
        self.masks: dict[str, NDArray[np.bool_]] = {}
        self.removals: list[Removal] = []

    def reached(self) -> bool:
        total = self.costs.total(self.masks)
        return all(total[cost] <= limit for cost, limit in self.limits.items())


class GroupFisherTrainer(keras.Model):
    """Trains a copy of a model and removes, every few steps, the channels that matter least.

    The score of a channel is half its Fisher information over the batches since the last removal,
    `1 / 2N * sum_n (sum_x dL_n/dm_x) ** 2`: gradients by a factor of 1 before the channel are
    summed over all layers x that read it, squared, and averaged over samples. They come with the
    training step's own backward pass. Scores are divided by what the removal saves, counted anew
    each time.

    A `keras.Model`, so that `fit`, callbacks and metrics are Keras' own. It is compiled like
    `model`; call `compile` for another optimizer or loss. `fit` ends once the target is reached.

    Example:

    ```python
    trainer = channel_pruning.GroupFisherTrainer(model, 0.5, interval=25)
    trainer.fit(x, y, epochs=20)
    pruned = trainer.finalize()
    pruned.model.fit(x, y, epochs=20)  # fine-tuning
    ```

    Args:
        model: A built Sequential or functional model. It stays as it is.
        target: What may be left: a `Target`, or the share of multiply-accumulates. Defaults to
            `0.5`.
        interval: Batches from one removal to the next. Defaults to `25`, as in the paper for
            classification; 10 there for detection.
        per: The cost that scores are divided by: `"activations"` (memory, which the paper finds
            best), `"macs"`, `"parameters"`, or `None`. Defaults to `"activations"`.
        batch_size: Most samples of a batch. Defaults to `32`.
        round_to: As in `prune`; one step takes as many channels of one group. The paper's is 1.
            Defaults to `8`.
        min_channels: As in `prune`. Defaults to `1`.
        layers: As in `prune`. Defaults to `None`.
        veto: As in `prune`. Defaults to `None`.
        input_shape: As in `prune`. Defaults to `None`.
        name: Name of the trainer. Defaults to `"group_fisher"`.

    Attributes:
        net: The copy that is trained, all channels still there.
        removals: What was removed so far, a `Removal` each.

    Raises:
        KerasCompressError: If the model is subclassed or unbuilt, no channel may go, a number is
            out of range, or the target can't be reached.
    """

    def __init__(
        self,
        model: keras.Model,
        target: Target | float = 0.5,
        *,
        interval: int = 25,
        per: str | None = "activations",
        batch_size: int = 32,
        round_to: int = 8,
        min_channels: int = 1,
        layers: Selectors = None,
        veto: Selectors = None,
        input_shape: object = None,
        name: str = "group_fisher",
    ) -> None:
        check_count("interval", interval)
        check_count("batch_size", batch_size)
        if per is not None and per not in COSTS:
            raise KerasCompressError(
                f"`per` must be one of {', '.join(map(repr, COSTS))}, or None. Received: {per!r}."
            )
        groups = groups_to_cut(
            model, round_to=round_to, min_channels=min_channels, layers=layers, veto=veto
        )
        super().__init__(name=name, dtype=model.dtype_policy, autocast=False)
        self.net = copy_model(model)
        self.interval = interval
        factors = SharedFactors(groups, self.net)
        if not factors.names:
            raise KerasCompressError(
                "Some group must be read by another layer than makes it, for a factor to stand "
                f"between. Received: {model.name!r} with {', '.join(groups)}, read within layers."
            )
        choice = _Choice(groups, get_target(target), per, input_shape)
        require_reachable(groups, factors.names, choice.costs, choice.limits)
        self._choice, self._factors = choice, factors
        self._fisher: _FisherInformation | None = None
        # Factors and the number of samples, since the last removal.
        self.factors = self.add_weight(
            name="factors", shape=(batch_size, factors.count), initializer="ones"
        )
        self.samples = self.add_weight(
            name="samples", shape=(), initializer="zeros", trainable=False
        )
        self.built = True
        if getattr(model, "compiled", False):
            self.compile(**keras.saving.deserialize_keras_object(model.get_compile_config()))

    def compile(self, *args: Any, **kwargs: Any) -> None:
        super().compile(*args, **kwargs)
        optimizer = attach_optimizer(self)
        self._fisher = _FisherInformation(self.factors)
        optimizer.add_projection(self._fisher)
        self._reads = ReadMasks(self._choice.groups.analysis, self.net, optimizer)
        self._reads.set(self._choice.groups.keep_mask(self._choice.masks))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if not training:
            return self.net(inputs, training=False)
        count = keras.ops.shape(keras.tree.flatten(inputs)[0])[0]
        self.samples.assign_add(keras.ops.cast(count, "float32"))
        with self._factors.watching(keras.ops.convert_to_tensor(self.factors)):
            return self.net(inputs, training=True)

    def fit(self, *args: Any, callbacks: Any = None, **kwargs: Any) -> Any:
        size = kwargs.get("batch_size")
        if size is not None and size > self.factors.shape[0]:
            raise KerasCompressError(
                f"A batch may have at most {self.factors.shape[0]} samples. Received: "
                f"batch_size={size}. Make the trainer with `batch_size={size}`."
            )
        return super().fit(*args, callbacks=[_Remover(self), *(callbacks or ())], **kwargs)

    @property
    def removals(self) -> tuple[Removal, ...]:
        return tuple(self._choice.removals)

    @property
    def reached(self) -> bool:
        """Whether no more than the target is left."""
        return self._choice.reached()

    def scores(self) -> dict[str, NDArray[np.float64]]:
        """Return the score of each channel of each group, over the batches since the last removal.

        Raises:
            KerasCompressError: If the trainer isn't compiled, or a score isn't finite.
        """
        if self._fisher is None:
            raise KerasCompressError(
                f"Scores are gathered in training. Received: {self.name!r}, which isn't compiled. "
                "Call `compile` on it."
            )
        samples = max(float(keras.ops.convert_to_numpy(self.samples)), 1.0)
        fisher = keras.ops.convert_to_numpy(self._fisher.state[0]).astype(np.float64)
        if not np.isfinite(fisher).all():
            raise KerasCompressError(
                "Scores must be finite. Received: NaN or infinity. Check the samples and the "
                "learning rate: the training may have diverged."
            )
        found = fisher / (2 * samples)
        return {name: self._factors.of_group(name, found) for name in self._factors.names}

    def remove(self, batch: int = 0) -> Removal | None:
        """Remove what matters least, and begin to gather scores anew.

        Args:
            batch: Batches trained on, to write down. Defaults to `0`.

        Returns:
            What went, or `None` if nothing may go any more.
        """
        choice = self._choice
        choice.costs.reset(choice.masks)
        scores = self.scores()
        masks = {n: choice.masks.get(n, np.ones(len(s), bool)) for n, s in scores.items()}
        found = least_step(choice.groups, scores, masks, choice.costs, choice.per)
        assert self._fisher is not None  # noqa: S101 (or there were no scores)
        self._fisher.state[0].assign(np.zeros(self._factors.count, "float32"))
        self.samples.assign(0.0)
        if found is None:
            return None
        name, channels, merit = found
        masks[name][channels] = False
        choice.masks[name] = masks[name]
        self._reads.set(choice.groups.keep_mask(choice.masks))
        removal = Removal(batch, name, tuple(channels.tolist()), merit)
        choice.removals.append(removal)
        return removal

    def finalize(self) -> ChannelPruned:
        """Return the smaller model, trained so far, without the channels that were removed."""
        choice = self._choice
        plan = ChannelPlan.of(choice.groups, choice.masks)
        masks = {
            n: choice.masks.get(n, np.ones(choice.groups[n].size, bool))
            for n in self._factors.names
        }
        report = channel_report(choice.groups, masks, choice.costs, "GroupFisher", "while training")
        return ChannelPruned(plan.apply(self.net), report, plan)


class _Remover(keras.callbacks.Callback):
    """Removes channels every few batches, and ends the training at the target."""

    def __init__(self, trainer: GroupFisherTrainer) -> None:
        super().__init__()
        self._trainer = trainer
        self._since = 0
        self._batches = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._last = -1

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        trained, self._last = batch - self._last, batch
        self._since += trained
        self._batches += trained
        if self._since < self._trainer.interval:
            return
        self._since = 0
        # Reading `self.model` hands the JAX trainer's state back to the variables.
        model = self.model
        if model.reached or model.remove(self._batches) is None or model.reached:
            model.stop_training = True

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._trainer.reached:
            self._trainer.stop_training = True


def prune_while_training(
    model: keras.Model,
    x: Tensor,
    y: Tensor | None = None,
    target: Target | float = 0.5,
    *,
    interval: int = 25,
    per: str | None = "activations",
    batch_size: int = 32,
    round_to: int = 8,
    min_channels: int = 1,
    layers: Selectors = None,
    veto: Selectors = None,
    **fit_arguments: Any,
) -> ChannelPruned:
    """Train `model` and remove channels until it costs no more than `target` (Liu et al. 2021).

    As many epochs as that takes; train the smaller model on afterwards.

    Example:

    ```python
    pruned = channel_pruning.prune_while_training(model, x, y, 0.5)
    pruned.model.fit(x, y, epochs=20)
    ```

    Args:
        model: A built Sequential or functional model, compiled. It stays as it is.
        x: Training data, in any form that `fit` takes.
        y: Targets, likewise. Defaults to `None`.
        target: As of `GroupFisherTrainer`.
        interval: As of `GroupFisherTrainer`.
        per: As of `GroupFisherTrainer`.
        batch_size: As of `GroupFisherTrainer`; arrays are cut into batches of it.
        round_to: As of `GroupFisherTrainer`.
        min_channels: As of `GroupFisherTrainer`.
        layers: As of `GroupFisherTrainer`.
        veto: As of `GroupFisherTrainer`.
        **fit_arguments: Further arguments of `fit`, such as `verbose` and `callbacks`.

    Returns:
        A `ChannelPruned`.

    Raises:
        KerasCompressError: If the model isn't compiled, or as for `GroupFisherTrainer`.
    """
    if not getattr(model, "compiled", False):
        raise KerasCompressError(
            f"Pruning while training needs a loss and an optimizer. Received: {model.name!r}, "
            "which isn't compiled. Call `model.compile(...)` first."
        )
    trainer = GroupFisherTrainer(
        model,
        target,
        interval=interval,
        per=per,
        batch_size=batch_size,
        round_to=round_to,
        min_channels=min_channels,
        layers=layers,
        veto=veto,
    )
    sized = (
        {"batch_size": batch_size} if keras.ops.is_tensor(x) or isinstance(x, np.ndarray) else {}
    )
    # Each interval takes a step, so that there is an end.
    fit_arguments = {"epochs": 10**6, **sized, **fit_arguments}
    trainer.fit(x, y, **fit_arguments)
    return trainer.finalize()
