"""Sensitivity scan: how far each layer can be pruned before the net notices.

One layer at a time is pruned at one rate after another, and the net is evaluated without
retraining (Han et al., arXiv 1506.02626, section 4, figure 6). The scores propose the rates of
the layers: for a drop that is accepted, or for a sparsity of the whole.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_compress.engine.preparation import require_chosen
from keras_compress.engine.report import values_of
from keras_compress.engine.weights import Selectors, require_finite, select_weights
from keras_compress.errors import KerasCompressError
from keras_compress.pruning.patterns import Unstructured
from keras_compress.pruning.schedules import check_sparsity
from keras_compress.storage import read_file, write_atomic

DEFAULT_RATES = (0.5, 0.7, 0.8, 0.9, 0.95)

_FORMAT = "keras_compress.sensitivity/1"
_LARGEST_FILE = 1 << 26


@dataclass(frozen=True)
class LayerSensitivity:
    """The scores of one layer.

    Attributes:
        layer: Its path.
        size: Number of values that are pruned at the rates.
        scores: Score of the net by the rate at which this layer alone is pruned.
    """

    layer: str
    size: int
    scores: Mapping[float, float]

    def rate_at(self, base: float, drop: float) -> float:
        """Return the highest rate up to which the score stays within `drop` of `base`.

        Between two rates that were scanned the score is taken to run straight; beyond the first
        rate that loses more nothing is looked at.
        """
        rate, score = 0.0, base
        for next_rate, next_score in sorted(self.scores.items()):
            if not base - next_score <= drop:
                if not np.isfinite(next_score) or next_score >= score:
                    return rate
                share = (score - (base - drop)) / (score - next_score)
                return rate + min(1.0, max(0.0, share)) * (next_rate - rate)
            rate, score = next_rate, next_score
        return rate


@dataclass(frozen=True)
class Sensitivity:
    """What a scan found.

    Attributes:
        base: Score of the net as it is.
        layers: The scores, layer by layer.
    """

    base: float
    layers: tuple[LayerSensitivity, ...]

    def __iter__(self) -> Iterator[LayerSensitivity]:
        return iter(self.layers)

    def propose(
        self, *, max_drop: float | None = None, sparsity: float | None = None
    ) -> dict[str, float]:
        """Return a rate for each layer, to be passed to `layer_configs` or `prune_iteratively`.

        Args:
            max_drop: The drop of the score that pruning a layer alone may cause.
            sparsity: The sparsity that all layers shall have together: the drop is then the
                least that reaches it, so sensitive layers are spared.

        Raises:
            KerasCompressError: If not exactly one is given, or the rates that were scanned don't
                reach so far.
        """
        if (max_drop is None) == (sparsity is None):
            raise KerasCompressError(
                "`propose` takes one of `max_drop` and `sparsity`. Received: "
                f"max_drop={max_drop!r} and sparsity={sparsity!r}."
            )
        if max_drop is not None:
            if not max_drop >= 0:
                raise KerasCompressError(
                    f"`max_drop` must be at least 0. Received: max_drop={max_drop!r}."
                )
            return self._rates(max_drop)
        wanted = check_sparsity("sparsity", sparsity)
        scores = [score for layer in self for score in layer.scores.values()]
        high = max([self.base - score for score in scores if np.isfinite(score)], default=0.0)
        high = max(high, 0.0)
        if self._total(self._rates(high)) < wanted:
            raise KerasCompressError(
                "A sparsity can be proposed as far as rates were scanned. Received: "
                f"sparsity={wanted}, and rates that reach {self._total(self._rates(high)):.4f}. "
                "Scan higher rates."
            )
        low = 0.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (
                (low, middle) if self._total(self._rates(middle)) >= wanted else (middle, high)
            )
        return self._rates(high)

    def to_dict(self) -> dict[str, Any]:
        """Return the scan as plain values that `json.dumps` takes."""
        return {
            "base": self.base,
            "layers": [
                {
                    "layer": layer.layer,
                    "size": layer.size,
                    "scores": [[rate, score] for rate, score in sorted(layer.scores.items())],
                }
                for layer in self
            ],
        }

    def plot(self, path: Any = None) -> Any:
        """Draw the score over the rate for each layer, as in Han's figure 6.

        Args:
            path: Where to save the picture; its ending says the format. Defaults to `None`
                (not saved).

        Returns:
            The matplotlib figure.

        Raises:
            KerasCompressError: If matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise KerasCompressError(
                "Plotting needs matplotlib. Install it with `pip install matplotlib`."
            ) from error
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        for layer in self:
            points = [(0.0, self.base), *sorted(layer.scores.items())]
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=layer.layer)
        axes.axhline(self.base, color="gray", linewidth=0.8, linestyle=":")
        axes.set(xlabel="sparsity of the layer alone", ylabel="score", xlim=(0, 1))
        axes.legend(fontsize="small")
        if path is not None:
            figure.savefig(path)
        return figure

    def _rates(self, drop: float) -> dict[str, float]:
        return {layer.layer: layer.rate_at(self.base, drop) for layer in self}

    def _total(self, rates: Mapping[str, float]) -> float:
        size = sum(layer.size for layer in self)
        return sum(layer.size * rates[layer.layer] for layer in self) / size


@dataclass(frozen=True)
class Accuracy:
    """Share of samples a classifier gets right; an `evaluate` that travels to other processes.

    Args:
        x: Inputs, an array.
        y: Class of each, int.
        batch_size: Samples at a time. Defaults to `256`.
    """

    x: np.ndarray
    y: np.ndarray
    batch_size: int = 256

    def __call__(self, model: keras.Model) -> float:
        outputs = model.predict(self.x, batch_size=self.batch_size, verbose=0)
        return float(np.mean(outputs.argmax(-1) == np.asarray(self.y).ravel()))


def scan_sensitivity(
    model: keras.Model,
    evaluate: Callable[[Any], float],
    *,
    rates: Sequence[float] = DEFAULT_RATES,
    layers: Selectors = None,
    workers: int = 1,
    path: Any = None,
    progress: Callable[[str, float, float], None] | None = None,
) -> Sensitivity:
    """Score a net with one layer pruned at a time.

    The model is left as it is.

    Example:

    ```python
    scan = scan_sensitivity(model, Accuracy(x_test, y_test), workers=2, path="scan.json")
    rates = scan.propose(max_drop=0.01)
    ```

    Args:
        model: A built model.
        evaluate: Called with a model, returns a score, greater being better. With several
            workers it must be picklable: an `Accuracy`, or a function of a module.
        rates: Sparsities to try, in (0, 1). Defaults to 0.5, 0.7, 0.8, 0.9 and 0.95.
        layers: Which layers, as in `PruningConfig`. Defaults to `None` (every kernel).
        workers: Processes that evaluate side by side; each loads the model once. Defaults to
            `1` (in this process).
        path: A JSON file that is written after every score; a scan that finds it goes on from
            there. Defaults to `None`.
        progress: Called with layer, rate and score after each. Defaults to `None`.

    Raises:
        KerasCompressError: If there is nothing to scan, a rate is out of range, a weight is not
            finite, the base score is not finite, or the file is damaged or of another model or
            scan.
    """
    wanted = [check_sparsity("rates", rate) for rate in rates]
    if not wanted or min(wanted) <= 0:
        raise KerasCompressError(
            f"`rates` must be one or more sparsities above 0. Received: rates={list(rates)!r}."
        )
    sizes = _sizes(model, layers)
    book = _Book(path, _fingerprint(model))
    if book.base is None:
        book.record(None, 0.0, _evaluated(evaluate, model))
    trials = [(p, r) for p in sizes for r in wanted if (p, r) not in book.scores]
    for layer, rate, score in _scores(model, evaluate, trials, workers):
        book.record(layer, rate, score)
        if progress is not None:
            progress(layer, rate, score)
    found = [
        LayerSensitivity(path, size, {rate: book.scores[path, rate] for rate in wanted})
        for path, size in sizes.items()
    ]
    return Sensitivity(float(book.base or 0.0), tuple(found))


def _sizes(model: keras.Model, layers: Selectors) -> dict[str, int]:
    sizes: dict[str, int] = {}
    selection = select_weights(model, layers)
    require_chosen(model, selection, "scan")
    for ref in selection.chosen:
        values = values_of(ref.variable)
        require_finite(ref, values)
        sizes[ref.path] = sizes.get(ref.path, 0) + values.size
    return sizes


def _evaluated(evaluate: Callable[[Any], float], model: keras.Model) -> float:
    score = float(evaluate(model))
    if not np.isfinite(score):
        raise KerasCompressError(
            f"The score of the net as it is must be finite. Received: {score} from `evaluate`."
        )
    return score


def _scores(
    model: keras.Model, evaluate: Any, trials: Sequence[tuple[str, float]], workers: int
) -> Iterator[tuple[str, float, float]]:
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise KerasCompressError(f"`workers` must be an int of at least 1. Received: {workers!r}.")
    if workers == 1 or len(trials) < 2:
        for layer, rate in trials:
            yield layer, rate, score_pruned(model, evaluate, layer, rate)
        return
    with tempfile.TemporaryDirectory(prefix="keras_compress_") as folder:
        file = Path(folder) / "model.keras"
        model.save(file)
        # TensorFlow doesn't survive a fork.
        with concurrent.futures.ProcessPoolExecutor(
            min(workers, len(trials)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(str(file), evaluate),
        ) as pool:
            waiting = {pool.submit(_score_in_worker, *trial): trial for trial in trials}
            for done in concurrent.futures.as_completed(waiting):
                yield (*waiting[done], done.result())


def score_pruned(
    model: keras.Model, evaluate: Callable[[Any], float], layer: str, rate: float
) -> float:
    """Return the score of `model` with `layer` alone pruned; its weights are put back."""
    refs = [ref for ref in select_weights(model, layer).chosen if ref.path == layer]
    before = [values_of(ref.variable).copy() for ref in refs]
    try:
        for ref, values in zip(refs, before, strict=True):
            ref.variable.assign(np.where(Unstructured().mask(np.abs(values), rate), values, 0))
        return float(evaluate(model))
    finally:
        for ref, values in zip(refs, before, strict=True):
            ref.variable.assign(values)


# What a worker process holds between its trials.
_WORKER: dict[str, Any] = {}


def _start_worker(path: str, evaluate: Any) -> None:
    _WORKER["model"] = keras.models.load_model(path)
    _WORKER["evaluate"] = evaluate


def _score_in_worker(layer: str, rate: float) -> float:
    return score_pruned(_WORKER["model"], _WORKER["evaluate"], layer, rate)


class _Book:
    """The scores so far, in memory and on the disk."""

    def __init__(self, path: Any, fingerprint: str) -> None:
        self.path = None if path is None else Path(path)
        self.fingerprint = fingerprint
        self.base: float | None = None
        self.scores: dict[tuple[str, float], float] = {}
        if self.path is not None and self.path.exists():
            self._read()

    def record(self, layer: str | None, rate: float, score: float) -> None:
        if layer is None:
            self.base = score
        else:
            self.scores[layer, rate] = score
        if self.path is not None:
            rows = [[layer, rate, score] for (layer, rate), score in self.scores.items()]
            record = {"format": _FORMAT, "model": self.fingerprint, "base": self.base}
            write_atomic(self.path, json.dumps({**record, "scores": rows}, indent=1) + "\n")

    def _read(self) -> None:
        try:
            record = json.loads(read_file(self.path, limit=_LARGEST_FILE))  # type: ignore[arg-type]
            if record["format"] != _FORMAT:
                raise ValueError("another format")
            fingerprint = record["model"]
            base = float(record["base"])
            scores = {(str(p), float(r)): float(score) for p, r, score in record["scores"]}
        except (KeyError, TypeError, ValueError) as error:
            raise KerasCompressError(
                f"A scan goes on from a file that a scan wrote. Received: {self.path}, which is "
                "none or is damaged. Delete it or choose another `path`."
            ) from error
        if fingerprint != self.fingerprint:
            raise KerasCompressError(
                f"A scan goes on with the model it began with. Received: {self.path}, a scan of "
                "other weights. Delete it or choose another `path`."
            )
        self.base, self.scores = base, scores


def _fingerprint(model: keras.Model) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for variable in model.variables:
        values = np.ascontiguousarray(values_of(variable))
        digest.update(f"{values.shape}{values.dtype}".encode())
        digest.update(values.view(np.uint8).data)
    return digest.hexdigest()
