"""UCP with MSEB: blocks of attention in the baseline's training tell which channels matter.

Chang, Lu, Xue, Xu, Wei 2020, "UCP: Uniform Channel Pruning for Deep Convolutional Neural Networks
Compression and Acceleration", arXiv 2010.01251.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.analysis import Analysis
from keras_compress.channel_pruning.call import LayerCall
from keras_compress.channel_pruning.coupling import Labels
from keras_compress.channel_pruning.criteria import CRITERIA, Criterion, Data
from keras_compress.channel_pruning.grouping import find_groups
from keras_compress.channel_pruning.groups import ChannelGroups, Selectors
from keras_compress.channel_pruning.plan import ChannelPlan
from keras_compress.channel_pruning.pruning import ChannelPruned, prune
from keras_compress.channel_pruning.registry import register_rule
from keras_compress.channel_pruning.surgery import Surgery
from keras_compress.channel_pruning.targets import Target
from keras_compress.channel_pruning.verification import batches_of
from keras_compress.engine.graph import Graph, GraphNode
from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["MSEB", "ChannelAttention", "add_attention", "ucp"]

_CONVOLUTIONS = (
    keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D, keras.layers.SeparableConv2D,
)  # fmt: skip


@keras.saving.register_keras_serializable(package="keras_compress")
class ChannelAttention(keras.layers.Layer):
    """The paper's modified squeeze-and-excitation block: scales each channel by a sigmoid.

    Mean over places, a dense layer, ReLU, a dense layer, sigmoid. Inputs and outputs are
    `(batch, ..., channels)`.

    Args:
        reduction: By how much fewer the hidden units are than the channels. Up to 16 channels have
            one hidden unit and, other than more, biases. Defaults to `16`.
        hidden: Number of hidden units. Defaults to `None`: by `reduction`.
        use_bias: Whether there are biases. Defaults to `None`: as said.
    """

    def __init__(
        self,
        reduction: int = 16,
        *,
        hidden: int | None = None,
        use_bias: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reduction, self.hidden, self.use_bias = reduction, hidden, use_bias

    def build(self, input_shape: tuple[int, ...]) -> None:
        channels = input_shape[-1]
        few = channels <= 16
        if self.hidden is None:
            self.hidden = 1 if few else max(channels // self.reduction, 1)
        if self.use_bias is None:
            self.use_bias = few
        add = self.add_weight
        self.squeeze = add(shape=(channels, self.hidden), name="squeeze")
        self.excite = add(shape=(self.hidden, channels), name="excite")
        self.squeeze_bias = self.excite_bias = None
        if self.use_bias:
            self.squeeze_bias = add(shape=(self.hidden,), initializer="zeros", name="squeeze_bias")
            self.excite_bias = add(shape=(channels,), initializer="zeros", name="excite_bias")
        self.built = True

    def scales(self, inputs: Tensor) -> Tensor:
        """Return what the block multiplies each channel by, `(batch, channels)`."""
        places = list(range(1, len(inputs.shape) - 1))
        x = keras.ops.matmul(keras.ops.mean(inputs, axis=places), self.squeeze)
        x = x if self.squeeze_bias is None else x + self.squeeze_bias
        x = keras.ops.matmul(keras.ops.relu(x), self.excite)
        return keras.ops.sigmoid(x if self.excite_bias is None else x + self.excite_bias)

    def call(self, inputs: Tensor) -> Tensor:
        scales = self.scales(inputs)
        shape = (-1, *[1] * (len(inputs.shape) - 2), inputs.shape[-1])
        return inputs * keras.ops.reshape(scales, shape)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> Any:
        return input_shape

    def get_config(self) -> dict[str, object]:
        own = {"reduction": self.reduction, "hidden": self.hidden, "use_bias": self.use_bias}
        return {**super().get_config(), **own}


@register_rule(ChannelAttention)
def channel_attention(call: LayerCall) -> Labels:
    """What it makes of a channel scales that channel; the hidden units stay."""
    layer = call.layer
    channels = call.channels(-1)
    call.read(layer.squeeze, 0, channels)
    call.slice(layer.excite, 1, channels)
    call.slice(layer.excite_bias, 0, channels)
    return call.inputs[0]


@keras.saving.register_keras_serializable(package="keras_compress")
@dataclass(frozen=True, kw_only=True)
class MSEB(Criterion):
    """The mean over samples of what blocks of attention scale a channel by.

    Chang et al. 2020, section 3. For models with blocks, as `add_attention` makes them; averaged
    over the blocks of a group. A group without any isn't cut.
    """

    needs_data: ClassVar[bool] = False

    def scores(self, groups: ChannelGroups, data: Data | None = None) -> dict[str, NDArray]:
        if data is None:
            raise KerasCompressError(
                "MSEB looks at what blocks scale samples by. Received: no samples. Pass `x`."
            )
        blocks = {
            record.path: record.operation
            for record in groups.analysis.records.values()
            if isinstance(record.operation, ChannelAttention)
        }
        if not blocks:
            raise KerasCompressError(
                "Blocks of attention must stand in a model for their scores. Received: "
                f"{groups.model.name!r} without any. Train what `add_attention(model)` returns."
            )
        means = _mean_scales(groups.model, list(blocks.values()), data)
        found = {}
        for name, group in groups.items():
            total, number = np.zeros(group.size), np.zeros(group.size)
            for member in group.members:
                if member.layer in blocks and member.weight == "excite":
                    own = member.channels >= 0
                    values = means[id(blocks[member.layer])][own]
                    np.add.at(total, member.channels[own], values)
                    np.add.at(number, member.channels[own], 1)
            if number.any():
                found[name] = total / np.maximum(number, 1)
        return found


CRITERIA["mseb"] = MSEB


def _mean_scales(
    model: keras.Model, blocks: list[Any], data: Data
) -> dict[int, NDArray[np.float64]]:
    sums: dict[int, NDArray[np.float64]] = {}
    before = {id(block): block.__dict__.get("call") for block in blocks}

    def watched(block: Any, call: Any) -> Any:
        def watching(inputs: Tensor) -> Any:
            scales = keras.ops.convert_to_numpy(block.scales(inputs)).astype(np.float64)
            sums[id(block)] = sums.get(id(block), 0) + scales.sum(axis=0)
            return call(inputs)

        return watching

    count = 0
    try:
        for block in blocks:
            block.__dict__["call"] = watched(block, block.call)
        for batch in batches_of(data.x, data.batch_size):
            count += len(keras.tree.flatten(batch)[0])
            model(batch, training=False)
    finally:
        for block in blocks:
            block.__dict__.pop("call", None)
            if before[id(block)] is not None:
                block.__dict__["call"] = before[id(block)]
    return {key: total / count for key, total in sums.items()}


class _Insertion(Surgery):
    """Copies a model with a block behind each convolution, or behind its normalization."""

    def __init__(self, analysis: Analysis, reduction: int) -> None:
        super().__init__(analysis, np.ones(len(analysis.components.of), bool))
        self._reduction = reduction
        self._behind = {
            id(node) for graph in analysis.graph.graphs() for node in _ends(analysis.graph, graph)
        }

    def compile(self, model: keras.Model) -> None:
        old = self._analysis.graph.model
        if getattr(old, "compiled", False):
            # The optimizer begins anew, for there are weights that it knows nothing of.
            model.compile_from_config(old.get_compile_config())

    def _block(self, node: GraphNode) -> ChannelAttention:
        return ChannelAttention(self._reduction, name=f"{node.operation.name}_attention")

    def _call(self, node: GraphNode, tensors: dict[int, Any]) -> None:
        super()._call(node, tensors)
        if id(node) in self._behind:
            key = id(node.outputs[0])
            tensors[key] = self._block(node)(tensors[key])

    def _sequence(self, graph: Graph, first: object) -> list[keras.Layer]:
        entries = [first]
        for node in graph.nodes:
            entries.append(self._operation(node))
            if id(node) in self._behind:
                entries.append(self._block(node))
        return entries


def _ends(whole: Graph, graph: Graph) -> list[GraphNode]:
    """Return the calls that a block belongs behind: of convolutions, or of what normalizes them."""
    found = []
    outputs = {id(x) for x in keras.tree.flatten(graph.outputs)}
    runs = whole.calls()
    for node in graph.nodes:
        layer = node.operation
        last = getattr(layer, "data_format", "") == "channels_last"
        if type(layer) not in _CONVOLUTIONS or not last or len(runs[id(layer)]) > 1:
            continue
        readers = graph.readers(node.outputs[0])
        end = node
        if len(readers) == 1 and isinstance(readers[0].operation, keras.layers.BatchNormalization):
            end = readers[0]
        if id(end.outputs[0]) not in outputs:
            found.append(end)
    return found


def add_attention(model: keras.Model, *, reduction: int = 16) -> keras.Model:
    """Return a copy of `model` with a `ChannelAttention` behind each convolution, to be trained.

    Behind the batch normalization, where a convolution has one. What the model returns is left
    alone.

    Args:
        model: A built Sequential or functional model. It stays as it is.
        reduction: As of `ChannelAttention`. Defaults to `16`.

    Raises:
        KerasCompressError: If the model's graph is unknown, or it has no convolution.
    """
    copy = _Insertion(find_groups(model).analysis, reduction).model()
    if not any(isinstance(layer, ChannelAttention) for _, layer in iter_layers(copy)):
        raise KerasCompressError(
            "Blocks of attention stand behind convolutions. Received: "
            f"{model.name!r} without any in its midst."
        )
    return copy


def ucp(
    model: keras.Model,
    x: Tensor,
    y: Tensor | None = None,
    target: Target | float = 0.5,
    *,
    epochs: int = 1,
    from_scratch: bool = True,
    reduction: int = 16,
    round_to: int = 8,
    min_channels: int = 1,
    layers: Selectors = None,
    veto: Selectors = None,
    batch_size: int = 32,
    scored: int = 1024,
    **fit_arguments: Any,
) -> ChannelPruned:
    """Uniform channel pruning: attention says which channels, all stages lose alike (Chang 2020).

    A copy of `model` with blocks of attention is trained; each group keeps the same share, its
    channels with the largest mean scale. The blocks are left out of what comes back, which is to be
    trained from scratch.

    Example:

    ```python
    pruned = channel_pruning.ucp(model, x, y, 0.5, epochs=2)
    pruned.model.fit(x, y, epochs=20)
    ```

    Args:
        model: A built Sequential or functional model, compiled. It stays as it is.
        x: Training inputs, arrays in the structure of the model's.
        y: Targets.
        target: As in `prune`. Defaults to `0.5`.
        epochs: Epochs that the copy with blocks is trained for, from the weights of `model`.
            Defaults to `1`.
        from_scratch: Whether the smaller model has new weights, as in the paper, or those that
            `model` has. Defaults to `True`.
        reduction: As of `ChannelAttention`. Defaults to `16`.
        round_to: As in `prune`. Defaults to `8`.
        min_channels: As in `prune`. Defaults to `1`.
        layers: As in `prune`. Defaults to `None`.
        veto: As in `prune`. Defaults to `None`.
        batch_size: Samples at a time. Defaults to `32`.
        scored: Samples whose scales are averaged. Defaults to `1024`.
        **fit_arguments: Further arguments of `fit` of the copy, such as `verbose`.

    Returns:
        A `ChannelPruned`; its plan is for `model`.

    Raises:
        KerasCompressError: If the model isn't compiled, its graph is unknown, it has no
            convolution, or the target can't be reached.
    """
    if not getattr(model, "compiled", False):
        raise KerasCompressError(
            f"Blocks of attention are trained. Received: {model.name!r}, which isn't compiled. "
            "Call `model.compile(...)` first."
        )
    attended = add_attention(model, reduction=reduction)
    attended.fit(x, y, epochs=epochs, batch_size=batch_size, **fit_arguments)
    few = keras.tree.map_structure(lambda a: np.asarray(a[:scored]), x)
    limits: dict[str, Any] = {
        "round_to": round_to, "min_channels": min_channels, "layers": layers, "veto": veto
    }  # fmt: skip
    found = prune(
        attended, target, criterion="mseb", method="uniform", x=few, reestimate=False, **limits
    )
    plan = ChannelPlan.of(find_groups(model), found.plan.kept)
    small = plan.apply(model)
    if from_scratch:
        fresh = keras.models.clone_model(small)
        fresh.compile_from_config(small.get_compile_config())
        small = fresh
    return ChannelPruned(small, found.report, plan)
