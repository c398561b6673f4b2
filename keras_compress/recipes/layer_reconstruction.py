"""A net made of shared values layer by layer, each layer fitted to what it computed before.

Two runs in lockstep over unlabelled samples: of the net as it is, and of the net as it has become
so far. Each layer is first fitted, by least squares, to give from what it now reads what it gave
from what it read (He, Zhang, Sun 2017, arXiv 1707.06168, section 3.1), and then rounded with error
feedback (`clustering.round_with_feedback`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.reading_layers import rows_at
from keras_compress.clustering.error_feedback import Block, RoundedKernel, round_with_feedback
from keras_compress.engine.cloning import copy_model
from keras_compress.engine.graph import GraphNode, trace_graph
from keras_compress.engine.importance import gradient_function
from keras_compress.search import Progress

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["ReconstructedLayer", "output_importance", "reconstruct", "reconstructible"]

_Floats = NDArray[np.float64]
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_KINDS = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    *_DEPTHWISE,
)
# Rows of samples a layer is fitted on: at least so many, and so many for each number it reads.
_MIN_ROWS, _ROWS_PER_READ = 16384, 32
_RIDGE = 0.01
# Of the mean importance of a layer's outputs, what each has at least: a few samples may not use it.
_MIN_IMPORTANCE = 0.05
# Binary digits of a bias: its error is far below that of the kernel before it.
_BIAS_DIGITS = 9


@dataclass(frozen=True)
class ReconstructedLayer:
    """What became of one layer.

    Attributes:
        path: Its path in the model.
        weights: Numbers in its kernel.
        zeros: Those that are zero.
        values: Distinct values.
        bits: Bits a weight that an ideal coder of single symbols needs.
        error: Squared error of its output, relative to the variance of that.
    """

    path: str
    weights: int
    zeros: int
    values: int
    bits: float
    error: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def reconstructible(model: keras.Model) -> tuple[list[Any], dict[str, str]]:
    """Return the layers of a model without models in it that are compressed, and why others aren't.

    Returns:
        The layers in the order they run; and the reason by the path of each other layer with a
        kernel.
    """
    graph = trace_graph(model)
    calls = graph.calls()
    chosen: list[Any] = []
    others: dict[str, str] = {}
    for node in graph.nodes:
        layer = node.operation
        if not getattr(layer, "weights", None) or any(layer is each for each in chosen):
            continue
        if type(layer) not in _KINDS:
            if any(len(w.shape) > 1 for w in layer.weights):
                others[node.path] = f"{type(layer).__name__} is not looked into"
        elif getattr(layer, "data_format", "channels_last") != "channels_last":
            others[node.path] = "its channels come first"
        elif len(calls[id(layer)]) > 1:
            others[node.path] = "it runs more than once"
        else:
            chosen.append(layer)
    return chosen, others


def output_importance(
    model: keras.Model,
    layers: list[keras.Layer],
    x: NDArray[Any],
    *,
    temperature: float,
    draws: int,
    batch_size: int = 8,
    seed: int = 0,
) -> dict[int, _Floats]:
    """Return the expected squared gradient of each output's weights, summed, by `id` of the layer.

    The diagonal of the Fisher information by the labels that the net itself gives: they are drawn
    from its scores, so none are needed, and the sum over a batch of independent draws has the
    expectation of single samples (Martens, arXiv 1412.1193, section 5).

    Args:
        model: A classifier, one result.
        layers: Layers of it.
        x: Samples.
        temperature: Of the scores. Above 1 it is also told what runners-up depend on.
        draws: Labels drawn for each sample.
        batch_size: Samples at a time. Defaults to `8`.
        seed: Of the draws. Defaults to `0`.
    """
    generator = np.random.default_rng(seed)
    scores = logits_of(np.asarray(model.predict(x, batch_size=32, verbose=0))) / temperature
    scores = scores.reshape(-1, scores.shape[-1]) if scores.ndim == 2 else scores

    def loss(images: Tensor, labels: object) -> Tensor:
        found = keras.ops.log(keras.ops.clip(softened(model(images, training=False)), 1e-30, 1.0))
        return -keras.ops.mean(keras.ops.sum(found * labels, axis=tuple(range(1, found.ndim))))

    def softened(outputs: Tensor) -> Tensor:
        if not probabilities:
            return keras.ops.softmax(outputs / temperature)
        return keras.ops.softmax(keras.ops.log(keras.ops.clip(outputs, 1e-30, 1.0)) / temperature)

    probabilities = gives_probabilities(model, x[:32])
    gradients_of = gradient_function(loss, [layer.kernel for layer in layers])
    sums = [np.zeros(_outputs(layer)) for layer in layers]
    count = 0
    for _ in range(draws):
        noise = generator.gumbel(size=scores.shape)
        drawn = np.eye(scores.shape[-1], dtype="float32")[np.argmax(scores + noise, axis=-1)]
        for start in range(0, len(x) - len(x) % batch_size or len(x), batch_size):
            part = slice(start, start + batch_size)
            found = gradients_of(np.asarray(x[part]), drawn[part])
            count += 1
            for total, layer, gradient in zip(sums, layers, found, strict=True):
                matrix = np.asarray(gradient, np.float64).reshape(-1, _outputs(layer))
                total += len(x[part]) * np.square(matrix).sum(axis=0)
    return {id(layer): total / count for layer, total in zip(layers, sums, strict=True)}


def gives_probabilities(model: keras.Model, x: NDArray[Any]) -> bool:
    """Return whether the results of a classifier are probabilities rather than logits."""
    scores = np.asarray(model.predict(x, verbose=0))
    return bool((scores >= 0).all() and np.allclose(scores.sum(axis=-1), 1.0, atol=1e-3))


def logits_of(scores: NDArray[Any]) -> NDArray[Any]:
    """Return logits of scores that are logits or probabilities."""
    if (scores >= 0).all() and np.allclose(scores.sum(axis=-1), 1.0, atol=1e-3):
        return np.log(np.clip(scores, 1e-30, 1.0))
    return scores


def reconstruct(
    model: keras.Model,
    layers: list[keras.Layer],
    importance: dict[int, _Floats],
    x: NDArray[Any],
    price: float,
    *,
    batch_size: int = 32,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[keras.Model, list[ReconstructedLayer]]:
    """Return a copy of a net whose kernels are of few values, and what became of each layer.

    Args:
        model: A functional model without models in it.
        layers: Those of `reconstructible`.
        importance: What `output_importance` found.
        x: Unlabelled samples.
        price: What a bit costs, in nats of the divergence of the results.
        batch_size: Samples at a time. Defaults to `32`.
        seed: Of the places of images that are looked at. Defaults to `0`.
        progress: Told of each layer. Defaults to `None`.
    """
    copy = copy_model(model)
    graph, own = trace_graph(model), trace_graph(copy)
    run = _Run(graph.inputs, x, batch_size)
    own_run = _Run(own.inputs, x, batch_size)
    last = _last_reads(graph.nodes, graph.outputs)
    known = {id(layer) for layer in layers}
    done: list[ReconstructedLayer] = []
    for node, counterpart in zip(graph.nodes, own.nodes, strict=True):
        if id(node.operation) in known:
            fit = _Fit(node.operation, len(x), seed + len(done))
            rows, own_rows = fit.rows(run.inputs(node)), fit.rows(own_run.inputs(counterpart))
            rounded, error = fit.solve(
                rows, own_rows, counterpart.operation, importance[id(node.operation)], price
            )
            levels = np.concatenate([each.ravel() for each in rounded.levels])
            done.append(
                ReconstructedLayer(
                    node.path,
                    levels.size,
                    int((levels == 0).sum()),
                    int(np.unique(levels).size),
                    rounded.bits / levels.size,
                    error,
                )
            )
            if progress:
                progress.advance(1, f"{node.path}: {done[-1].bits:.2f} bits a weight")
        if len(done) < len(layers):
            run.step(node, last)
            own_run.step(counterpart, None)
            own_run.forget(run)
    return copy, done


class _Run:
    """A model run node by node over all samples, keeping what is yet to be read."""

    def __init__(self, inputs: Tensor, x: NDArray[Any], batch_size: int) -> None:
        tensor = keras.tree.flatten(inputs)[0]
        starts = range(0, len(x), batch_size)
        self._batches = len(starts)
        #: For each symbolic tensor, by its place in the run, one array a batch.
        self._places: dict[int, int] = {id(tensor): 0}
        self._values: dict[int, list[Any]] = {
            0: [np.asarray(x[s : s + batch_size], "float32") for s in starts]
        }

    def inputs(self, node: GraphNode) -> Iterator[NDArray[Any]]:
        """Yield what `node` reads, batch after batch."""
        yield from self._values[self._places[id(node.inputs[0])]]

    def step(self, node: GraphNode, last: dict[int, set[int]] | None) -> None:
        """Run `node`, and forget what nobody reads from here on."""
        places = [len(self._places) + i for i in range(len(node.outputs))]
        self._places.update(zip(map(id, node.outputs), places, strict=True))
        self._values.update((place, []) for place in places)
        for batch in range(self._batches):

            def given(leaf: object, batch: int = batch) -> Any:
                place = self._places.get(id(leaf))
                return leaf if place is None else self._values[place][batch]

            args, kwargs = keras.tree.map_structure(given, (node.args, node.kwargs))
            for place, found in zip(
                places, keras.tree.flatten(node.operation(*args, **kwargs)), strict=True
            ):
                self._values[place].append(keras.ops.convert_to_numpy(found))
        if last is not None:
            for key in last.get(id(node), ()):
                self._values.pop(self._places[key], None)

    def forget(self, other: _Run) -> None:
        """Forget what `other`, of the same graph, has forgotten."""
        for place in set(self._values) - set(other._values):
            del self._values[place]


def _last_reads(nodes: tuple[GraphNode, ...], outputs: Tensor) -> dict[int, set[int]]:
    """Return the tensors that each node, by its `id`, is the last to read."""
    reader: dict[int, int] = {}
    for node in nodes:
        for tensor in (*node.outputs, *node.inputs):
            reader[id(tensor)] = id(node)
    kept = {id(x) for x in keras.tree.flatten(outputs)}
    found: dict[int, set[int]] = {}
    for tensor, node_id in reader.items():
        if tensor not in kept:
            found.setdefault(node_id, set()).add(tensor)
    return found


class _Fit:
    """How one layer is fitted and rounded."""

    def __init__(self, layer: keras.Layer, samples: int, seed: int) -> None:
        self._layer = layer
        self._kernel = _matrix(layer)
        reads = self._kernel.shape[0]
        self._positions = -(-max(_MIN_ROWS, _ROWS_PER_READ * reads) // samples)
        self._seed = seed

    def rows(self, batches: Iterator[NDArray[Any]]) -> _Floats:
        """Return what the layer reads at places drawn from the samples."""
        found = [
            rows_at(self._layer, values, self._positions, (self._seed, number))
            for number, values in enumerate(batches)
        ]
        return np.concatenate(found)

    def solve(
        self, rows: _Floats, own_rows: _Floats, counterpart: Any, importance: _Floats, price: float
    ) -> tuple[RoundedKernel, float]:
        """Set the weights of `counterpart`; return its kernel and its relative error."""
        blocks, wanted, targets = [], [], []
        squares = float(np.square(rows).sum(axis=1).mean())
        # Of a depthwise kernel each output reads a share of the row.
        parts = list(_parts(self._layer))
        matters = 0.5 * importance / max(squares / len(parts), 1e-30)
        matters = np.maximum(matters, _MIN_IMPORTANCE * matters.mean())
        bias = keras.ops.convert_to_numpy(self._layer.bias) if self._layer.use_bias else None
        for reads, outputs in parts:
            kernel = self._kernel[: len(reads), outputs]
            given, target = own_rows[:, reads], rows[:, reads] @ kernel
            mean, target_mean = given.mean(axis=0), target.mean(axis=0)
            if bias is None:
                mean, target_mean = np.zeros_like(mean), np.zeros_like(target_mean)
            centered = given - mean
            gram = centered.T @ centered / len(centered)
            damped = gram.copy()
            damped[np.diag_indices_from(damped)] += max(_RIDGE * float(np.diag(gram).mean()), 1e-12)
            missing = target - target_mean - centered @ kernel
            fitted = kernel + np.linalg.solve(damped, centered.T @ missing / len(centered))
            blocks.append(Block(fitted, gram, matters[outputs]))
            wanted.append(target)
            targets.append((mean, target_mean))
        rounded = round_with_feedback(blocks, price)
        made = np.zeros_like(self._kernel)
        shift = np.zeros(self._kernel.shape[1])
        errors, variances = 0.0, 0.0
        for (reads, outputs), values, target, (mean, target_mean) in zip(
            parts, rounded.values, wanted, targets, strict=True
        ):
            made[: len(reads), outputs] = values
            shift[outputs] = target_mean - mean @ values
            off = own_rows[:, reads] @ values + shift[outputs] - target
            errors += float(np.square(off).mean(axis=0).sum())
            variances += float(target.var(axis=0).sum())
        counterpart.kernel.assign(made.reshape(counterpart.kernel.shape))
        if bias is not None:
            counterpart.bias.assign(_short(bias + shift))
        return rounded, errors / max(variances, 1e-30)


def _short(values: _Floats) -> _Floats:
    """Return values rounded to a few binary digits, which a packer stores in fewer bytes."""
    mantissas, exponents = np.frexp(values)
    return np.ldexp(np.rint(mantissas * 2**_BIAS_DIGITS) / 2**_BIAS_DIGITS, exponents)


def _outputs(layer: keras.Layer) -> int:
    shape = layer.kernel.shape
    return int(np.prod(shape[-2:])) if isinstance(layer, _DEPTHWISE) else int(shape[-1])


def _matrix(layer: keras.Layer) -> _Floats:
    """Return a kernel as `(reads of an output, outputs)`."""
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype(np.float64)
    return kernel.reshape(-1, _outputs(layer))


def _parts(layer: keras.Layer) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the columns of the rows and the outputs of each group of a layer."""
    if isinstance(layer, keras.layers.Dense):
        yield np.arange(layer.kernel.shape[0]), np.arange(_outputs(layer))
        return
    depthwise = isinstance(layer, _DEPTHWISE)
    taps = int(np.prod(layer.kernel_size))
    groups = int(layer.kernel.shape[-2]) if depthwise else layer.groups
    channels = 1 if depthwise else int(layer.kernel.shape[-2])
    each = _outputs(layer) // groups
    for group in range(groups):
        within = np.arange(group * channels, (group + 1) * channels)
        reads = (np.arange(taps)[:, None] * groups * channels + within).ravel()
        yield reads, np.arange(group * each, (group + 1) * each)
