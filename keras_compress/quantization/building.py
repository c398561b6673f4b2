"""From the plan to the model that simulates it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.quantization.config import QuantizationConfig
from keras_compress.quantization.fake_quantize import FakeQuantize
from keras_compress.quantization.graph import FlatGraph
from keras_compress.quantization.plan import Node, Plan, RangeGroup
from keras_compress.quantization.quantized import Quantized
from keras_compress.quantization.quantizers import WeightQuantizer

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["build_simulation"]


def build_simulation(
    graph: FlatGraph, plan: Plan, config: QuantizationConfig, name: str, name_prefix: str = ""
) -> keras.Model:
    """Return a functional model that computes as the device does what `plan` says.

    Its layers are those of `graph`; what is quantized is wrapped in `Quantized` layers, whose names
    begin with `name_prefix`.
    """
    return _Builder(plan, config, name_prefix).build(graph, name)


class _Builder:
    def __init__(self, plan: Plan, config: QuantizationConfig, name_prefix: str) -> None:
        self._plan = plan
        self._prefix = name_prefix
        self._config = config
        self._kernels = [node for node in plan.nodes if node.layer is not None]
        self._ranges: dict[int, FakeQuantize] = {}
        self._quantized: dict[tuple[int, int, str], Quantized] = {}
        #: For each node, by its `id`, its symbolic result and the step of it, or `None`.
        self._made: dict[int, tuple[Any, Any]] = {}
        self._names = {_base(node.layer.name) for node in self._kernels}

    def build(self, graph: FlatGraph, name: str) -> keras.Model:
        given = dict(zip(map(id, self._plan.inputs), keras.tree.flatten(graph.inputs), strict=True))
        for node in self._plan.nodes:
            self._made[id(node)] = self._result(node, given.get(id(node)))
        outputs = [self._made[id(node)][0] for node in self._plan.outputs]
        packed = keras.tree.pack_sequence_as(graph.outputs, outputs)
        return keras.Model(graph.inputs, packed, name=name)

    def _result(self, node: Node, given: object) -> tuple[Tensor, Tensor | None]:
        sources = [self._made[id(each)] for each in node.inputs]
        own = node.group is not None and node.result in ("own", "fixed")
        steps = None
        if given is not None:
            tensor = given
        elif node.layer is not None:
            tensor = self._wrapper(node)(*sources[0], with_steps=own)
            if own:
                tensor, steps = tensor
        else:
            tensor = node.make(*[each for each, _ in sources])  # type: ignore[misc]
        if node.group is None or node.result == "none":
            return tensor, None
        if node.result == "same":
            return tensor, sources[0][1]
        group = node.group.root
        slot = None if node.result == "rounded" else self._places(group).index(node)
        if steps is not None:
            return self._range(group)(tensor, slot=slot, steps=steps)
        terms = [self._made[id(each)] for each in node.sum_of or ()]
        if not terms or any(step is None for _, step in terms):
            return self._range(group)(tensor, slot=slot)
        return self._range(group)(tensor, slot=slot, terms=terms)

    def _places(self, group: RangeGroup) -> list[Node]:
        """Return the nodes whose results are put on the grid of `group` for the first time."""
        found = [node for node in self._plan.nodes if node.result in ("own", "fixed")]
        return [node for node in found if node.group is not None and node.group.root is group]

    def _range(self, group: RangeGroup) -> FakeQuantize:
        if id(group) not in self._ranges:
            self._ranges[id(group)] = FakeQuantize(
                self._config.activations,
                group.fixed,
                self._config.freeze_statistics_after,
                # A loss would take the logarithm of scores that were rounded to 0.
                in_training=not (group.fixed and self._is_output(group)),
                slots=len(self._places(group)),
                name=self._unique(f"{group.name}_range"),
            )
        return self._ranges[id(group)]

    def _is_output(self, group: RangeGroup) -> bool:
        groups = [node.group for node in self._plan.outputs]
        return any(each is not None and each.root is group for each in groups)

    def _wrapper(self, node: Node) -> Quantized:
        key = (id(node.layer), id(node.norm), node.activation)
        if key not in self._quantized:
            self._quantized[key] = Quantized(
                node.layer,
                node.norm,
                node.activation,
                self._quantizer(node),
                self._config.freeze_statistics_after,
                self._config.preserve_sparsity,
                self._config.rate_weight,
                self._config.preserve_clusters,
                name=f"{self._prefix}{node.layer.name}",
            )
        return self._quantized[key]

    def _quantizer(self, node: Node) -> WeightQuantizer:
        quantizer, kernels = self._config.weights, self._plan.kernels
        for place, chosen in ((-1, self._config.last), (0, self._config.first)):
            if kernels and node is kernels[place] and isinstance(chosen, WeightQuantizer):
                quantizer = chosen
        return for_layer(node.layer, quantizer)

    def _unique(self, name: str) -> str:
        candidate, number = _base(name), 1
        while candidate in self._names:
            candidate, number = f"{_base(name)}_{number}", number + 1
        self._names.add(candidate)
        return candidate


def for_layer(layer: keras.Layer, quantizer: WeightQuantizer) -> WeightQuantizer:
    """Return what `quantizer` is for a layer whose kernel the converter turns.

    The converter tells steps of channels of a turned kernel from its values alone, in 8 bits of
    the whole range; else such a kernel has one step.
    """
    turned = isinstance(layer, keras.layers.Dense | keras.layers.Conv2DTranspose)
    if turned and (quantizer.bits != 8 or quantizer.range != "max"):
        return replace(quantizer, per_channel=False)
    return quantizer


def _base(name: str) -> str:
    return name.replace("/", "_")
