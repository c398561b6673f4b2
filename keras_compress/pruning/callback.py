"""The callback of pruning: an untouched model, pruned while it trains."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.engine.constraint_callback import ConstraintCallback
from keras_compress.engine.optimizer import attach_optimizer
from keras_compress.pruning.config import PruningConfig
from keras_compress.pruning.criteria import get_criterion
from keras_compress.pruning.pruner import Pruner, pruned_layers


class PruningCallback(ConstraintCallback):
    """Prunes a model during `fit`.

    On an untouched model, Sequential, functional or subclassed, the masks are applied in the
    training graph, after each update of the optimizer; on a model from `pruning.prepare` they
    are those of its `Pruned` layers. The masks stay in force after `fit`, for further training,
    until `pruning.finalize(model)` or the next `compile`. The sparsity reached is logged as
    `sparsity` at the end of each epoch.

    Example:

    ```python
    schedule = PolynomialDecay(0.0, 0.9, begin_step=0, end_step=2000)
    model.fit(x, y, epochs=5, callbacks=[PruningCallback(PruningConfig(schedule))])
    small = pruning.finalize(model)
    ```

    Use several callbacks, each with its own `layers`, for different sparsities in one model.

    Args:
        config: A `PruningConfig`, or what its `schedule` takes.
        initial_step: Training steps done before the first `fit`, for data sets of unknown
            length only. Defaults to `None`.
    """

    def __init__(self, config: PruningConfig | Any, initial_step: int | None = None) -> None:
        super().__init__(initial_step)
        self.config = config if isinstance(config, PruningConfig) else PruningConfig(config)

    def forget(self) -> None:
        super().forget()
        self.pruner: Pruner | None = None

    def attach(self, model: keras.Model, step: int) -> bool:
        criterion = get_criterion(self.config.criterion)
        through_optimizer = criterion.needs_gradients or not pruned_layers(model)
        optimizer = attach_optimizer(model) if through_optimizer else None
        self.pruner = Pruner(model, self.config, optimizer=optimizer)
        self.pruner.update(step)
        self.watch(self.pruner.optimizer, self.pruner.projections)
        return self.pruner.changed_graph

    def on_step(self, step: int) -> None:
        # Reading `self.model` hands the JAX trainer's state back to the variables: only when due.
        if self.pruner is not None and self.pruner.is_due(step) and self.model is not None:
            self.pruner.update(step)
            self.weights_changed()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        if logs is not None and self.pruner is not None and self.model is not None:
            logs["sparsity"] = self.pruner.sparsity()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        if self.pruner is not None:
            self.pruner.release()
