"""What a report says, as checked values: the step between the JSON and the page.

Anything may be absent (`None`, or an empty list): a page says what is missing, it doesn't
invent it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from keras_compress.errors import KerasCompressError
from keras_compress.report.reading import Node

__all__ = [
    "SCHEMA_VERSION",
    "Action",
    "Channels",
    "Document",
    "Histogram",
    "Layer",
    "Stage",
    "WeightState",
    "document_of",
]

SCHEMA_VERSION = 1
_MAX_BINS = 512


@dataclass(frozen=True)
class Stage:
    """One model on the way: its accuracy (0 to 1), bytes and median latency."""

    name: str
    title: str
    precision: str | None = None
    accuracy: float | None = None
    tflite_bytes: int | None = None
    packed_bytes: int | None = None
    latency_ms: float | None = None
    sparsity: float | None = None
    note: str | None = None
    shipped: bool = False

    @property
    def smallest_bytes(self) -> int | None:
        """Bytes of the packed file, or of the `.tflite` where none was packed."""
        return self.tflite_bytes if self.packed_bytes is None else self.packed_bytes


@dataclass(frozen=True)
class Histogram:
    """Equal bins over `[low, high]`; the zeros stand apart from the counts."""

    low: float
    high: float
    counts: list[int]


@dataclass(frozen=True)
class WeightState:
    """A weight before or after the compression."""

    zeros: int | None = None
    distinct_values: int | None = None
    histogram: Histogram | None = None


@dataclass(frozen=True)
class Action:
    """What a technique did with a weight, or why it left it alone."""

    technique: str
    action: str
    reason: str


@dataclass(frozen=True)
class Layer:
    """One weight of one layer."""

    name: str
    type: str | None
    weight: str | None
    shape: list[int]
    weights: int | None
    zeros: int | None
    sparsity: float | None
    distinct_values: int | None
    before: WeightState
    after: WeightState
    actions: list[Action]


@dataclass(frozen=True)
class Channels:
    """Channels that go together: how many there were, how many are left, and why if all are."""

    name: str
    before: int
    kept: int
    reason: str | None = None


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    created: str | None = None
    duration_s: float | None = None
    baseline: Stage | None = None
    compressed: Stage | None = None
    stages: list[Stage] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    channels: list[Channels] = field(default_factory=list)
    packed: Node | None = None
    bench: Node | None = None
    verification: Node | None = None
    preservation: Node | None = None
    settings: Node | None = None
    environment: Node | None = None

    @property
    def shown_stages(self) -> list[Stage]:
        """The stages, or where the report lists none the two models it compares."""
        if self.stages:
            return self.stages
        return [stage for stage in (self.baseline, self.compressed) if stage is not None]


def document_of(report: Mapping[str, object]) -> Document:
    """Return the `Document` that the JSON object `report` stands for.

    Raises:
        KerasCompressError: If a field isn't what it must be, or the report is newer than this
            reader. The message names the field.
    """
    if not isinstance(report, Mapping):
        raise KerasCompressError(
            f"A report must be a JSON object (a dict). Received: {type(report).__name__}"
        )
    top = Node(report)
    version = top.count("schema_version")
    if version is None or version < 1:
        raise KerasCompressError(
            "A report must say its `schema_version`, 1 or more, as `keras-compress demo` and "
            "`export` write it. This JSON is something else: its top level has "
            f"{', '.join(name[:40] for name in top.keys()[:8]) or 'no fields'}."
        )
    if version > SCHEMA_VERSION:
        raise KerasCompressError(
            f"This version reads reports up to schema version {SCHEMA_VERSION}. Received: "
            f"schema_version={version}. Update keras-compress."
        )
    baseline, compressed = top.node("baseline"), top.node("compressed")
    stages = [
        _stage(node, name=f"stage {index}", title=f"Stage {index}")
        for index, node in enumerate(top.nodes("stages"), start=1)
    ]
    layers = [_layer(node) for node in top.nodes("layers")]
    if not (baseline or compressed or stages or layers or top.node("packed")):
        raise KerasCompressError(
            "A report must hold at least one of `baseline`, `compressed`, `stages`, `layers` "
            "and `packed`. Received: none of them."
        )
    return Document(
        title=top.string("title") or "Compression report",
        created=top.string("created"),
        duration_s=top.number("duration_s", minimum=0),
        baseline=_stage(baseline, name="baseline", title="Baseline") if baseline else None,
        compressed=(
            _stage(compressed, name="compressed", title="Compressed") if compressed else None
        ),
        stages=stages,
        layers=layers,
        channels=[_channels(node) for node in top.nodes("channel_groups")],
        packed=top.node("packed"),
        bench=top.node("bench"),
        verification=top.node("verification"),
        preservation=top.node("preservation"),
        settings=top.node("settings"),
        environment=top.node("environment"),
    )


def _stage(node: Node, *, name: str, title: str) -> Stage:
    name = node.string("name") or name
    return Stage(
        name=name,
        title=node.string("title") or title,
        precision=node.string("precision"),
        accuracy=node.number("accuracy", minimum=0, maximum=1),
        tflite_bytes=node.count("tflite_bytes"),
        packed_bytes=node.count("packed_bytes"),
        latency_ms=node.number("latency_ms", minimum=0),
        sparsity=node.number("sparsity", minimum=0, maximum=1),
        note=node.string("note"),
        shipped=bool(node.flag("shipped")),
    )


def _channels(node: Node) -> Channels:
    before, kept = node.count("before") or 0, node.count("kept") or 0
    if kept > before:
        raise KerasCompressError(
            "In a report a group has at most as many channels `kept` as `before`. "
            f"Received: before={before}, kept={kept}"
        )
    return Channels(node.string("name") or "unnamed", before, kept, node.string("reason"))


def _layer(node: Node) -> Layer:
    shape = node.counts("shape", longest=16)
    weights, zeros = node.count("weights"), node.count("zeros")
    if weights is not None and zeros is not None and zeros > weights:
        raise KerasCompressError(
            "In a report a layer has at most as many `zeros` as `weights`. "
            f"Received: weights={weights}, zeros={zeros}"
        )
    sparsity = node.number("sparsity", minimum=0, maximum=1)
    if sparsity is None and weights and zeros is not None:
        sparsity = zeros / weights
    return Layer(
        name=node.string("name") or "unnamed",
        type=node.string("type"),
        weight=node.string("weight"),
        shape=shape,
        weights=weights,
        zeros=zeros,
        sparsity=sparsity,
        distinct_values=node.count("distinct_values"),
        before=_weight_state(node.node("before")),
        after=_weight_state(node.node("after")),
        actions=[
            Action(
                technique=action.string("technique") or "",
                action=action.string("action") or "",
                reason=action.string("reason") or "",
            )
            for action in node.nodes("actions")
        ],
    )


def _weight_state(node: Node | None) -> WeightState:
    if node is None:
        return WeightState()
    histogram = node.node("histogram")
    return WeightState(
        zeros=node.count("zeros"),
        distinct_values=node.count("distinct_values"),
        histogram=_histogram(histogram) if histogram else None,
    )


def _histogram(node: Node) -> Histogram | None:
    low, high = node.number("low"), node.number("high")
    counts = node.counts("counts", longest=_MAX_BINS)
    if low is None or high is None or not counts:
        return None
    if low >= high:
        raise KerasCompressError(
            f"In a report a histogram's `low` must lie below its `high`. "
            f"Received: low={low:g}, high={high:g}"
        )
    return Histogram(low=low, high=high, counts=counts)
