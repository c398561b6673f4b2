"""Deep Compression as one call: a trained model and a target in, a packed file out.

Which weights are zero, how many values the others share and how they are spread all follow from
one number here, the price of a bit (`keras_compress.rate`). So the search is over that number
alone: trials at several prices run side by side, then between the two prices that enclose the
target, and so on.
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.argument_checks import check_count
from keras_compress.errors import KerasCompressError
from keras_compress.recipes.accuracy import tflite_accuracy
from keras_compress.recipes.compression_target import CompressionTarget
from keras_compress.recipes.compression_trial import (
    CompressionTrial,
    TrialSettings,
    origins,
    run_trial,
    write_arrays,
)
from keras_compress.recipes.image_data import ImageData
from keras_compress.search.bisection import Bracket, bisect
from keras_compress.search.fingerprint import fingerprint
from keras_compress.search.journal import Journal
from keras_compress.search.progress import Progress
from keras_compress.search.trials import Trial, run_trials
from keras_compress.storage import Origins, read_file, write_atomic, write_through

if TYPE_CHECKING:
    import keras

__all__ = ["DeepCompression", "deep_compression"]

# The first round; a price above the last leaves nothing of any net.
_FIRST, _LAST = 1e-7, 1e-3
_BASE = "base"


@dataclass(frozen=True)
class DeepCompression:
    """What a compression came to.

    Attributes:
        target: The `CompressionTarget`.
        reached: Whether the best file meets it.
        size: Bytes of the best packed file.
        accuracy: Its accuracy on the held-out data, from 0 to 1.
        base_size: Bytes of the packed file before.
        base_accuracy: Accuracy before.
        smallest_size: Bytes that the graph alone takes, all weights zero: no file is smaller.
        trials: All `CompressionTrial`s, by price.
        packed: Path of the best packed file.
        note: Why the target was not reached, or what else to know; may be empty.
    """

    target: CompressionTarget
    reached: bool
    size: int
    accuracy: float
    base_size: int
    base_accuracy: float
    smallest_size: int
    trials: tuple[CompressionTrial, ...]
    packed: Path
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values that `json.dumps` takes."""
        return {**asdict(self), "packed": os.fspath(self.packed)}


def deep_compression(
    model: keras.Model,
    data: ImageData,
    target: CompressionTarget,
    *,
    folder: str | os.PathLike[str],
    epochs: int = 10,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    rounds: int = 3,
    trials_per_round: int = 4,
    workers: int = 1,
    backend: str = "processes",
    seed: int = 0,
    made_from: Origins = None,
    progress: Progress | None = None,
) -> DeepCompression:
    """Compress a trained classifier until it meets `target`; leave the files in `folder`.

    `folder` gets `model.tflite`, `model.kcz`, `model.keras`, `report.json` and `report.html` of
    the best trial, and what is needed to go on after a kill: call again with the same arguments
    and what was done is not done again. The result doesn't depend on `workers` or on kills.

    Example:

    ```python
    result = recipes.deep_compression(
        model, recipes.load_digits(), recipes.CompressionTarget(size="2KB"), folder="small"
    )
    print(result.size, result.accuracy)
    ```

    Args:
        model: A trained Sequential or functional classifier, of images to one score a class.
        data: The images it was trained on and held-out ones, scaled to `[0, 1]`. The held-out
            ones choose the trial, so keep a third part for a figure to publish.
        target: The `CompressionTarget`.
        folder: Where files are written and looked for.
        epochs: Epochs of each trial. Defaults to `10`.
        batch_size: Images of a batch. Defaults to `128`.
        learning_rate: First learning rate of Adam, which falls along a cosine.
            Defaults to `1e-3`.
        rounds: Times the search narrows the range of prices. Defaults to `3`.
        trials_per_round: Trials of a round, at least 2. Defaults to `4`.
        workers: Trials that run side by side. Defaults to `1`.
        backend: `"processes"` of this machine, or `"ray"` for the Ray cluster that this process
            is connected to, whose nodes must see `folder`. Defaults to `"processes"`.
        seed: Seed of the order of images and of layers that draw. Defaults to `0`.
        made_from: The files that model and data come from: who may not read them may not read those
            of `folder` either. Defaults to `None`.
        progress: Told how it goes. Defaults to `None`.

    Returns:
        A `DeepCompression`. `reached` is `False`, and the smallest or most accurate file is left,
        if no trial meets the target.

    Raises:
        KerasCompressError: If an argument is out of range, the model doesn't fit the data, or
            `folder` holds the trials of another model, data or setting.
    """
    progress = progress or Progress()
    settings = TrialSettings(
        check_count("epochs", epochs),
        check_count("batch_size", batch_size),
        float(learning_rate),
        int(seed),
    )
    check_count("workers", workers)
    check_count("rounds", rounds)
    if check_count("trials_per_round", trials_per_round) < 2:
        raise KerasCompressError("`trials_per_round` must be at least 2. Received: 1.")
    folder = Path(folder)
    progress.begin("Measure the model")
    journal = _open(folder, model, data, settings, made_from)
    base_size, base_accuracy, smallest = journal.get(_BASE)
    progress.end(f"{base_size:,} bytes packed, {base_accuracy:.2%}")
    trials: dict[float, CompressionTrial] = {}

    def tell(trial: Trial) -> None:
        progress.advance(1, f"{trial.result['size']:,} bytes, {trial.result['accuracy']:.2%}")

    def run(prices: list[float]) -> None:
        for trial in run_trials(
            functools.partial(run_trial, os.fspath(folder), settings),
            prices,
            workers=workers,
            backend=backend,
            journal=journal,
            on_result=tell,
        ):
            trials[trial.setting] = CompressionTrial(**trial.result)

    def is_met(prices: list[float]) -> list[bool]:
        prices = [float(f"{price:.6e}") for price in prices]
        progress.begin(f"Search, at most {rounds} rounds", len(prices))
        run(prices)
        found = [trials[price] for price in prices]
        return [target.is_met(t.size, t.accuracy, base_accuracy) for t in found]

    def tell_round(bracket: Bracket) -> None:
        low, high = sorted((bracket.met, bracket.unmet))
        progress.end(f"the price is between {low:.1e} and {high:.1e}")

    note = ""
    if target.size is not None and target.size < smallest:
        note = (
            f"{target.size:,} bytes can't be reached: the graph alone takes {smallest:,}, with "
            "every weight and bias zero. One trial was made, at the highest price."
        )
        progress.begin("One trial", 1)
        run([_LAST])
        progress.end(note)
    else:
        # A size is met by high prices, an accuracy by low ones.
        ends = (_LAST, _FIRST / 10) if target.size is not None else (_FIRST / 10, _LAST)
        first = np.geomspace(_FIRST, _LAST, trials_per_round).tolist()
        bisect(
            is_met,
            *ends,
            rounds=rounds,
            points=trials_per_round,
            first=first,
            scale="log",
            on_round=tell_round,
        )
    found = sorted(trials.values(), key=lambda trial: trial.rate_weight)
    best, reached = choose(found, target, base_accuracy)
    if not reached and not note:
        note = (
            f"No trial met the target; {best.size:,} bytes at {best.accuracy:.2%} is the nearest. "
            "More epochs help most."
        )
    if best.stopped:
        note = f"{note} Of the best trial {best.stopped}; the epochs before it count.".strip()
    result = DeepCompression(
        target,
        reached,
        best.size,
        best.accuracy,
        base_size,
        base_accuracy,
        smallest,
        tuple(found),
        folder / "model.kcz",
        note,
    )
    _write_best(folder, model.name, result, best, settings)
    return result


def choose(
    trials: list[CompressionTrial], target: CompressionTarget, base_accuracy: float
) -> tuple[CompressionTrial, bool]:
    """Return the best trial, and whether it meets the target."""
    met = [t for t in trials if target.is_met(t.size, t.accuracy, base_accuracy)]
    if target.size is not None:
        if met:
            return max(met, key=lambda t: (t.accuracy, -t.size)), True
        return min(trials, key=lambda t: (t.size, -t.accuracy)), False
    if met:
        return min(met, key=lambda t: (t.size, -t.accuracy)), True
    return max(trials, key=lambda t: (t.accuracy, -t.size)), False


def _open(
    folder: Path,
    model: keras.Model,
    data: ImageData,
    settings: TrialSettings,
    made_from: Origins = None,
) -> Journal:
    """Prepare `folder`, or check that it is of the same search; return its journal.

    The journal has, under `_BASE`, the bytes of the packed model, its accuracy, and the bytes that
    its graph alone takes.
    """
    import keras_compress
    from keras_compress import exporter
    from keras_compress.engine.cloning import copy_model

    arrays = {name: getattr(data, name) for name in ("x_train", "y_train", "x_test", "y_test")}
    searched = fingerprint(asdict(settings), model.name, model, *arrays.values())
    journal = Journal(folder / "search.jsonl", searched, check=_check_result)
    if _BASE in journal:
        return journal
    folder.mkdir(parents=True, exist_ok=True)
    exported = exporter.convert(model, samples=data.x_test[:16])
    accuracy = tflite_accuracy(exported.tflite, data.x_test, data.y_test)
    empty = copy_model(model)
    for variable in empty.trainable_variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    nothing = exporter.convert(empty, verify=False)
    base_size = len(keras_compress.pack(exported.tflite, codec="smallest"))
    smallest = len(keras_compress.pack(nothing.tflite, codec="smallest"))
    write_arrays(folder, arrays, made_from=made_from)
    write_through(folder / "base.keras", model.save, made_from=made_from)
    _check_file(folder / "base.keras", model, data.x_test[:8])
    # Last: once it is there, all else is.
    journal.record(_BASE, [base_size, accuracy, smallest])
    return journal


def _check_result(setting: Any, result: Any) -> None:
    if setting == _BASE:
        size, accuracy, smallest = result
        if not all(isinstance(value, int | float) for value in (size, accuracy, smallest)):
            raise ValueError("what was measured is numbers")
    elif os.path.basename(CompressionTrial(**result).folder) != result["folder"]:
        raise ValueError("a trial's folder is one of the search's")


def _check_file(path: Path, model: keras.Model, samples: np.ndarray) -> None:
    """Raise unless trials, in processes of their own, find the model in its file."""
    import keras

    rule = "Trials begin with the model as its file holds it."
    remedy = (
        "Register the classes and functions of yours that it uses by "
        "`keras.saving.register_keras_serializable`, and write layers instead of lambdas."
    )
    # A trial on another process knows nothing that was handed over to this one.
    try:
        found = keras.models.load_model(path, compile=False)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        line = next((line for line in str(error).splitlines() if line.strip()), "")
        raise KerasCompressError(
            f"{rule} Received: {model.name!r}, which can't be loaded from one "
            f"({type(error).__name__}: {line.strip()[:200]}). {remedy}"
        ) from error
    ours, theirs = (np.asarray(each.predict(samples, verbose=0)) for each in (model, found))
    if not np.allclose(ours, theirs, rtol=1e-4, atol=1e-5):
        raise KerasCompressError(
            f"{rule} Received: {model.name!r}, which computes something else once it is loaded. "
            f"{remedy}"
        )


def _write_best(
    folder: Path,
    name: str,
    result: DeepCompression,
    best: CompressionTrial,
    settings: TrialSettings,
) -> None:
    from keras_compress import exporter
    from keras_compress.exporter.folder import report_of, write_folder
    from keras_compress.loading import load_model

    place = folder / "trials" / best.folder
    model = load_model(place / "model.keras")
    exported = exporter.convert(model)
    packed = read_file(place / "model.kcz")
    report = report_of(model, exported, packed)
    report["title"] = f"{name}, compressed"
    report["settings"] = {
        **report["settings"],
        **asdict(settings),
        "rate_weight": best.rate_weight,
        "accuracy": result.accuracy,
        "accuracy_before": result.base_accuracy,
        "packed_before": result.base_size,
        "trials": len(result.trials),
    }
    if result.note:
        report["compressed"]["note"] = f"{report['compressed']['note']} {result.note}".strip()
    tflite = read_file(place / "model.tflite")
    made_from = origins(folder)
    write_folder(folder, tflite=tflite, packed=packed, report=report, made_from=made_from)
    write_atomic(folder / "model.keras", read_file(place / "model.keras"), made_from=made_from)
    write_atomic(
        folder / "compression.json", json.dumps(result.to_dict(), indent=1, default=str) + "\n"
    )
