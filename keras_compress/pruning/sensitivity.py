"""Sensitivity scan: how far each layer can be pruned before the net notices.

One layer at a time is pruned at one rate after another, and the net is evaluated without
retraining (Han et al., arXiv 1506.02626, section 4, figure 6). The scores propose the rates of
the layers: for a drop that is accepted, or for a sparsity of the whole.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_compress.argument_checks import check_count
from keras_compress.engine.preparation import require_chosen
from keras_compress.engine.report import values_of
from keras_compress.engine.weights import Selectors, require_finite, select_weights
from keras_compress.errors import KerasCompressError
from keras_compress.pruning.patterns import Unstructured
from keras_compress.pruning.schedules import check_sparsity
from keras_compress.search.bisection import bisect
from keras_compress.search.fingerprint import fingerprint
from keras_compress.search.journal import Journal
from keras_compress.search.progress import Progress
from keras_compress.search.trials import Trial, run_trials

DEFAULT_RATES = (0.5, 0.7, 0.8, 0.9, 0.95)

_BASE = {"layer": None, "rate": 0.0}


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
        found = bisect(
            lambda drops: [self._total(self._rates(drop)) >= wanted for drop in drops],
            high,
            0.0,
            rounds=60,
        )
        return self._rates(found.met)

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

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
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
    path: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Sensitivity:
    """Score a net with one layer pruned at a time.

    The model is left as it is.

    Example:

    ```python
    scan = scan_sensitivity(model, Accuracy(x_test, y_test), workers=2, path="scan.jsonl")
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
        path: A file for the `search.Journal`, written after every score; a scan that finds it goes
            on from there. Defaults to `None`.
        progress: Told how it goes. Defaults to `None`.

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
    check_count("workers", workers)
    sizes = _sizes(model, layers)
    # The scores of other models, and of other layers and rates of this one, stand apart.
    journal = Journal(path, fingerprint(model), check=lambda setting, score: float(score))
    if _BASE not in journal:
        journal.record(_BASE, _evaluated(evaluate, model))
    progress = progress or Progress()
    settings = [{"layer": layer, "rate": rate} for layer in sizes for rate in wanted]
    progress.begin("Score each layer", sum(setting not in journal for setting in settings))

    def tell(trial: Trial) -> None:
        layer, rate = trial.setting.values()
        progress.advance(1, f"{layer} at {rate:g}: {trial.result:.4g}")

    with tempfile.TemporaryDirectory(prefix="keras_compress_") as folder:
        file = Path(folder) / "model.keras"
        if workers > 1:
            model.save(file)
        trials = run_trials(
            _score_setting,
            settings,
            workers=workers,
            prepare=_Scored(file, evaluate) if workers > 1 else lambda: (model, evaluate),
            journal=journal,
            on_result=tell,
        )
    progress.end()
    scores = {(t.setting["layer"], t.setting["rate"]): t.result for t in trials}
    found = [
        LayerSensitivity(path, size, {rate: scores[path, rate] for rate in wanted})
        for path, size in sizes.items()
    ]
    return Sensitivity(float(journal.get(_BASE)), tuple(found))


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


def _score_setting(scored: tuple[keras.Model, Any], setting: Mapping[str, Any]) -> float:
    return score_pruned(*scored, setting["layer"], setting["rate"])


@dataclass(frozen=True)
class _Scored:
    """Loads, in a worker, the model that is scored."""

    file: Path
    evaluate: Any

    def __call__(self) -> tuple[keras.Model, Any]:
        return keras.models.load_model(self.file), self.evaluate
