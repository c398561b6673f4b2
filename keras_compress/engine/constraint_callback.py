"""What the callbacks share that keep weights on constraints by way of the optimizer."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_compress.engine.callback import StepCallback
from keras_compress.engine.optimizer import ProjectedOptimizer
from keras_compress.engine.projection import Projection
from keras_compress.engine.report import values_of
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    import keras


class ConstraintWatch:
    """Tells whether weights are kept on their constraints, by looking at the weights.

    Args:
        optimizer: The optimizer that is to keep them there.
        projections: The constraints to look at.
    """

    def __init__(self, optimizer: ProjectedOptimizer, projections: Sequence[Projection]) -> None:
        self.optimizer = optimizer
        self.projections = list(projections)
        self._used = False
        self._updates = optimizer.updates
        self.begin()

    def begin(self) -> None:
        """Begin to watch from the weights as they are now."""
        self._note_use()
        if not self._used:
            self._updates = self.optimizer.updates
            self._sums = [_checksum(projection) for projection in self.projections]

    def holds(self) -> bool:
        """Whether all weights are on their constraints."""
        return all(projection.holds() for projection in self.projections)

    def require_applied(self, model: keras.Model) -> None:
        """Raise if weights were changed without the optimizer that keeps the constraints.

        Raises:
            KerasCompressError: If a weight is off its constraint, or changed though no update
                went through the optimizer.
        """
        off = [each for each in self.projections if not each.holds()]
        # Before a schedule begins every weight is on its constraint, and yet it can be told.
        self._note_use()
        if not off and not self._used:
            pairs = zip(self.projections, self._sums, strict=True)
            off = [projection for projection, before in pairs if _checksum(projection) != before]
        if off:
            names = ", ".join(projection.variable.path for projection in off)
            raise KerasCompressError(
                f"A callback keeps the zeros and clusters of a model through the optimizer that "
                f"it is compiled with. Received: a training of {model.name!r} in which something "
                f"else changed {names}. If a `train_step` updates by optimizers of its own, put "
                "`pruning.Pruner(model, config, optimizer=...).optimizer` or that of a "
                "`clustering.Clusterer` in their place and leave out the callback, or train what "
                "`prepare(model, config)` returns; other callbacks may load weights between "
                "epochs, not within one."
            )

    def _note_use(self) -> None:
        self._used = self._used or self.optimizer.updates != self._updates


def _checksum(projection: Projection) -> int:
    return zlib.crc32(values_of(projection.variable).tobytes())


class ConstraintCallback(StepCallback):
    """A `StepCallback` that looks, once an epoch, whether its constraints are kept.

    Weights that were replaced between two epochs (by a callback that loads a checkpoint, say)
    are taken as they are: masks and clusters are derived from them anew.
    """

    def forget(self) -> None:
        super().forget()
        self._watch: ConstraintWatch | None = None
        self._looked = False

    def watch(self, optimizer: keras.Optimizer, projections: Sequence[Projection]) -> None:
        """Look after `projections` from now on; behind wrappers there are none."""
        self._watch = ConstraintWatch(optimizer, projections) if projections else None

    def weights_changed(self) -> None:
        """To be called after the callback itself has changed weights."""
        if self._watch is not None:
            self._watch.begin()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        super().on_train_begin(logs)
        # Of a training that was broken off nobody moves a mask any more; who does says so later.
        optimizer = getattr(self.model, "optimizer", None)
        if isinstance(optimizer, ProjectedOptimizer):
            for projection in optimizer.projections:
                projection.settled = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._looked = False
        if self._watch is not None and not self._watch.holds():
            self.attach_now()
        self.weights_changed()

    def on_last_step(self) -> None:
        self._looked = True
        # Reading `self.model` hands the JAX trainer's state back to the variables.
        if self._watch is not None and self.model is not None:
            self._watch.require_applied(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if not self._looked:
            self.on_last_step()
