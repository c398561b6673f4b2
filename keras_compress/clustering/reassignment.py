"""Codebooks whose assignments go on moving during training, drawn by what they cost to write.

Behind each shared value the weight itself is trained on, by the gradient of its value; now and
then every weight is assigned anew, to the centroid that minimises distortion plus rate under the
trained centroids and the statistics of the moment. Training so lowers the very entropy that the
packer's coder then finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.argument_checks import check_count
from keras_compress.clustering.channels import channel_axis
from keras_compress.clustering.clusterer import clustered_layers, wrap_with_codebooks
from keras_compress.clustering.codebook import Codebook
from keras_compress.clustering.config import ClusteringConfig
from keras_compress.clustering.entropy_constrained import (
    assign_entropy_constrained,
    code_lengths,
    codebook_entropy,
)
from keras_compress.clustering.importance import importance_for
from keras_compress.clustering.wrapper import Clustered
from keras_compress.engine.callback import StepCallback
from keras_compress.engine.report import values_of
from keras_compress.engine.weights import WeightRef, iter_weights, require_finite
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


@keras.saving.register_keras_serializable(package="keras_compress")
class Reassigned(Clustered):
    """A `Clustered` layer that trains the weights behind the shared values too.

    The kernel of the wrapped layer stays trainable and gets the gradient of the value it is
    assigned to, as in training with quantized weights; `ReassignmentCallback` moves the
    assignments. Weights that were zero when it was prepared stay zero.

    Args: as for `Clustered`.
    """

    def __init__(self, layer: keras.Layer, *args: Any, **kwargs: Any) -> None:
        super().__init__(layer, *args, **kwargs)
        #: Where a weight is pruned for good.
        self.pruned: list[Any] = []

    def add_state(self, variable: keras.Variable) -> None:
        super().add_state(variable)
        self.pruned.append(
            self.add_weight(
                name=f"{variable.name}_pruned",
                shape=variable.shape,
                dtype="bool",
                initializer="zeros",
                trainable=False,
            )
        )

    def set_codebooks(self, codebooks: Sequence[Codebook]) -> None:
        super().set_codebooks(codebooks)
        places = zip(self.substituted_weights(), self.pruned, codebooks, strict=True)
        for variable, pruned, codebook in places:
            # Members of a fixed zero, of which a codebook by channels has several.
            fixed = codebook.free()[codebook.assignment] == 0
            pruned.assign(fixed & (values_of(variable) == 0))

    def substitutes(self) -> list[tuple[keras.Variable, Tensor]]:
        ops = keras.ops
        pairs = []
        for (variable, shared), pruned in zip(super().substitutes(), self.pruned, strict=False):
            weight = ops.convert_to_tensor(variable)
            # No change in value; the gradient of the value, for the weight behind it.
            behind = weight - ops.stop_gradient(weight)
            gone = ops.convert_to_tensor(pruned)
            pairs.append((variable, shared + ops.where(gone, ops.zeros_like(behind), behind)))
        return pairs

    def _freeze_kernels(self) -> None:
        """Leave them trainable: here they are trained behind their centroids."""

    def move_to_nearest(self) -> None:
        """Assign each weight to its nearest centroid, inside the graph of a training step."""
        for place, variable in enumerate(self.substituted_weights()):
            self.assign_in_graph(place, self._nearest(place, variable))

    def assign_in_graph(self, place: int, assignment: Tensor) -> None:
        """Take over an assignment, but for the weights that are pruned for good."""
        ops = keras.ops
        before = ops.convert_to_tensor(self.assignments[place])
        pruned = ops.convert_to_tensor(self.pruned[place])
        after = ops.where(pruned, before, ops.cast(assignment, "int32"))
        self.assignments[place].assign(after)
        if self.gradient_aggregation == "mean":
            ones = ops.ones_like(ops.reshape(after, (-1,)), dtype="float32")
            size = int(self.counts[place].shape[0])
            counts = ops.segment_sum(ones, ops.reshape(after, (-1,)), num_segments=size)
            self.counts[place].assign(ops.maximum(counts, 1.0))

    def _nearest(self, place: int, variable: keras.Variable) -> Tensor:
        ops = keras.ops
        weight = ops.convert_to_tensor(variable)
        centroids = ops.stop_gradient(
            ops.convert_to_tensor(self.centroids[place]) * ops.convert_to_tensor(self.free[place])
        )
        if not self.per_channel:
            order = ops.argsort(centroids)
            edges = _middles(ops.take(centroids, order))
            nearest = ops.take(order, ops.searchsorted(edges, ops.reshape(weight, (-1,))))
            return ops.reshape(nearest, variable.shape)
        axis = channel_axis(variable)
        table = ops.reshape(centroids, (-1, self.n_clusters))
        order = ops.cast(ops.argsort(table, axis=-1), "int32")
        edges = _middles(ops.take_along_axis(table, order, axis=-1))
        above = ops.expand_dims(ops.moveaxis(weight, axis, -1), -1) > edges
        within = ops.sum(ops.cast(above, "int32"), axis=-1)
        first = self.n_clusters * ops.arange(table.shape[0], dtype="int32")
        ordered = ops.reshape(order + ops.expand_dims(first, -1), (-1,))
        return ops.moveaxis(ops.take(ordered, within + first), -1, axis)

    def reassign(self, place: int, rate_weight: float, importance: np.ndarray | None) -> int:
        """Assign the weights of `place` anew; return how many changed their centroid."""
        weight = values_of(self.substituted_weights()[place])
        before = values_of(self.assignments[place])
        free = values_of(self.free[place])
        centroids = values_of(self.centroids[place]) * free
        lengths = code_lengths(before, self.n_clusters)
        after = assign_entropy_constrained(weight, centroids, lengths, rate_weight, importance)
        if not free[0]:
            after[values_of(self.pruned[place])] = 0
        members = np.bincount(after.ravel(), minlength=self.n_clusters)
        self.assignments[place].assign(after)
        self.counts[place].assign(np.maximum(members, 1).astype(np.float32))
        return int(np.count_nonzero(after != before))


def _middles(ascending: Any) -> Tensor:
    """Return where the nearer of two neighbours changes, along the last axis."""
    return (ascending[..., 1:] + ascending[..., :-1]) / 2


def prepare_reassignment(model: keras.Model, config: ClusteringConfig) -> keras.Model:
    """Return a copy of `model` whose chosen layers are `Reassigned`, on codebooks of its weights.

    Train it with `ReassignmentCallback(config)`; `clustering.finalize` gives stock layers back.

    Example:

    ```python
    config = ClusteringConfig(16, rate_weight=0.003)
    model = prepare_reassignment(trained, config)
    model.fit(x, y, epochs=5, callbacks=[ReassignmentCallback(config, end_step=2000)])
    small = clustering.finalize(model)
    ```

    Args:
        model: A built, trained Sequential or functional model, nested or not.
        config: The `ClusteringConfig`; its `rate_weight` is the price of a bit.

    Raises:
        KerasCompressError: As `clustering.prepare`.
    """
    if config.per_channel:
        raise KerasCompressError(
            "Reassignment takes one codebook a weight. Received: per_channel=True."
        )

    def wrap(layer: keras.Layer, indices: list[int]) -> Reassigned:
        return Reassigned(layer, config.n_clusters, config.gradient_aggregation, indices)

    return wrap_with_codebooks(model, config, wrap)


class ReassignmentCallback(StepCallback):
    """Moves the assignments of `Reassigned` layers during `fit`.

    Logs at the end of each epoch `bits_per_weight`, the entropy of the assignments as a coder
    of single symbols would write them, and `reassigned`, the share of weights that changed
    their centroid the last time.

    Args:
        config: The `ClusteringConfig` the model was prepared with.
        frequency: Steps from one assignment to the next. Defaults to `100`.
        end_step: Last step at which weights are assigned anew; after it the centroids alone
            decide. Defaults to `None` (no end).
        initial_step: Training steps done before the first `fit`, for data sets of unknown
            length only. Defaults to `None`.

    Raises:
        KerasCompressError: If the frequency is not an int of at least 1.
    """

    def __init__(
        self,
        config: ClusteringConfig,
        frequency: int = 100,
        end_step: int | None = None,
        initial_step: int | None = None,
    ) -> None:
        super().__init__(initial_step)
        self.config = config
        self.frequency = check_count("frequency", frequency)
        self.end_step = end_step

    def forget(self) -> None:
        super().forget()
        self._last = 0
        self._changed = 0.0
        self._places: list[tuple[WeightRef, Reassigned, int, np.ndarray | None]] = []

    def attach(self, model: keras.Model, step: int) -> bool:
        refs = {id(ref.variable): ref for ref in iter_weights(model)}
        self._places = []
        for layer in clustered_layers(model):
            if not isinstance(layer, Reassigned):
                continue
            for place, variable in enumerate(layer.substituted_weights()):
                ref = refs[id(variable)]
                its = importance_for(ref.label, values_of(variable), self.config.importance)
                self._places.append((ref, layer, place, its))
        if not self._places:
            raise KerasCompressError(
                "Reassignment needs `Reassigned` layers. Received: "
                f"{model.name!r} without any. Train the copy that "
                "`clustering.prepare_reassignment(model, config)` returns."
            )
        self._last = step // self.frequency
        return False

    def on_step(self, step: int) -> None:
        if self.end_step is not None and step > self.end_step:
            return
        # Reading `self.model` hands the JAX trainer's state back: only when something is due.
        if step // self.frequency != self._last and self.model is not None:
            self._last = step // self.frequency
            self._reassign()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None and self._places and self.model is not None:
            logs["bits_per_weight"] = self.bits_per_weight()
            logs["reassigned"] = self._changed

    def bits_per_weight(self) -> float:
        """Return the entropy of the assignments, over all weights, in bits a weight."""
        bits, size = 0.0, 0
        for _, layer, place, _ in self._places:
            assignment = values_of(layer.assignments[place])
            bits += codebook_entropy(assignment, layer.n_clusters) * assignment.size
            size += assignment.size
        return bits / size

    def _reassign(self) -> None:
        changed, size = 0, 0
        for ref, layer, place, importance in self._places:
            require_finite(ref, values_of(ref.variable))
            changed += layer.reassign(place, self.config.rate_weight, importance)
            size += int(np.prod(ref.shape))
        self._changed = changed / size
