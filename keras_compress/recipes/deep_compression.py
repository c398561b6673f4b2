"""Deep Compression as one call: a trained model and a target in, a packed file out.

Which weights are zero, how many values the others share and how they are spread all follow from
one number here, the price of a bit (`keras_compress.rate`). So the search is over that number
alone: trials at several prices run side by side, then between the two prices that enclose the
target, and so on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.errors import KerasCompressError
from keras_compress.recipes.accuracy import tflite_accuracy
from keras_compress.recipes.argument_checks import check_count
from keras_compress.recipes.compression_target import CompressionTarget
from keras_compress.recipes.compression_trial import (
    Trial,
    TrialSettings,
    origins,
    run_trial,
    write_arrays,
)
from keras_compress.recipes.image_data import ImageData
from keras_compress.recipes.progress import Progress
from keras_compress.recipes.trial_workers import run_all
from keras_compress.storage import Origins, read_file, write_atomic, write_through

if TYPE_CHECKING:
    import keras

__all__ = ["DeepCompression", "deep_compression"]

# The first round; a price above the last leaves nothing of any net.
_FIRST, _LAST = 1e-7, 1e-3


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
        trials: All `Trial`s, by price.
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
    trials: tuple[Trial, ...]
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
    base_size, base_accuracy, smallest = _open(folder, model, data, settings, made_from)
    progress.end(f"{base_size:,} bytes packed, {base_accuracy:.2%}")

    def run(prices: list[float]) -> list[Trial]:
        calls = [(os.fspath(folder), price, asdict(settings)) for price in prices]
        found: list[Trial] = []
        running = run_all(run_trial, calls, workers=workers, backend=backend)
        with contextlib.closing(running):
            for _, fields in running:
                found.append(Trial(**fields))
                text = f"{found[-1].size:,} bytes, {found[-1].accuracy:.2%}"
                progress.advance(1, text)
        return found

    trials: list[Trial] = []
    note = ""
    if target.size is not None and target.size < smallest:
        note = (
            f"{target.size:,} bytes can't be reached: the graph alone takes {smallest:,}, with "
            "every weight and bias zero. One trial was made, at the highest price."
        )
        progress.begin("One trial", 1)
        trials += run([_LAST])
        progress.end(note)
    else:
        low, high = _FIRST, _LAST
        for turn in range(rounds):
            inner = 0 if turn == 0 else 1
            places = trials_per_round + 2 * inner
            grid = np.geomspace(low, high, places)[inner : places - inner]
            prices = [float(f"{price:.6e}") for price in grid]
            progress.begin(f"Search, round {turn + 1} of {rounds}", len(prices))
            trials = sorted([*trials, *run(prices)], key=lambda trial: trial.rate_weight)
            low, high = _narrow(trials, target, base_accuracy)
            progress.end(f"the price is between {low:.1e} and {high:.1e}")
    best, reached = choose(trials, target, base_accuracy)
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
        tuple(trials),
        folder / "model.kcz",
        note,
    )
    _write_best(folder, model.name, result, best, settings)
    return result


def choose(
    trials: list[Trial], target: CompressionTarget, base_accuracy: float
) -> tuple[Trial, bool]:
    """Return the best trial, and whether it meets the target."""
    met = [t for t in trials if target.is_met(t.size, t.accuracy, base_accuracy)]
    if target.size is not None:
        if met:
            return max(met, key=lambda t: (t.accuracy, -t.size)), True
        return min(trials, key=lambda t: (t.size, -t.accuracy)), False
    if met:
        return min(met, key=lambda t: (t.size, -t.accuracy)), True
    return max(trials, key=lambda t: (t.accuracy, -t.size)), False


def _narrow(
    trials: list[Trial], target: CompressionTarget, base_accuracy: float
) -> tuple[float, float]:
    """Return the two neighbouring prices between which the target lies."""
    # A size is met by high prices, an accuracy by low ones.
    good = [t.rate_weight for t in trials if target.is_met(t.size, t.accuracy, base_accuracy)]
    bad = [t.rate_weight for t in trials if t.rate_weight not in good]
    first, last = trials[0].rate_weight, trials[-1].rate_weight
    if target.size is not None:
        high = min(good, default=last)
        low = max((price for price in bad if price < high), default=first / 10)
    else:
        low = max(good, default=first / 10)
        high = min((price for price in bad if price > low), default=last)
    return (low, high) if low < high else (low / 10, low)


def _open(
    folder: Path, model: Any, data: ImageData, settings: TrialSettings, made_from: Origins = None
) -> tuple[int, float, int]:
    """Prepare `folder`, or check that it is of the same search; return what was measured."""
    import keras_compress
    from keras_compress import exporter
    from keras_compress.engine.cloning import copy_model

    fingerprint = _fingerprint(model, data, settings)
    manifest = folder / "search.json"
    if manifest.exists():
        try:
            known = json.loads(read_file(manifest, limit=1 << 20))
            if known["fingerprint"] == fingerprint:
                return known["base_size"], known["base_accuracy"], known["smallest_size"]
        except (ValueError, KeyError, TypeError) as error:
            raise KerasCompressError(
                f"{manifest} is damaged ({error}). Choose another folder, or remove this one."
            ) from error
        raise KerasCompressError(
            "A search goes on with the model, data and settings it began with. Received: "
            f"{folder}, which holds trials of others. Choose another folder, or remove this one."
        )
    folder.mkdir(parents=True, exist_ok=True)
    exported = exporter.convert(model, samples=data.x_test[:16])
    accuracy = tflite_accuracy(exported.tflite, data.x_test, data.y_test)
    empty = copy_model(model)
    for variable in empty.trainable_variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    nothing = exporter.convert(empty, verify=False)
    base_size = len(keras_compress.pack(exported.tflite, codec="smallest"))
    smallest = len(keras_compress.pack(nothing.tflite, codec="smallest"))
    write_arrays(
        folder,
        {name: getattr(data, name) for name in ("x_train", "y_train", "x_test", "y_test")},
        made_from=made_from,
    )
    write_through(folder / "base.keras", model.save, made_from=made_from)
    _check_file(folder / "base.keras", model, data.x_test[:8])
    found = {"base_size": base_size, "base_accuracy": accuracy, "smallest_size": smallest}
    write_atomic(manifest, json.dumps({"fingerprint": fingerprint, **found}, indent=1) + "\n")
    return base_size, accuracy, smallest


def _check_file(path: Path, model: Any, samples: np.ndarray) -> None:
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


def _fingerprint(model: Any, data: ImageData, settings: TrialSettings) -> str:
    digest = hashlib.sha256()
    digest.update(json.dumps([asdict(settings), model.name], sort_keys=True).encode())
    for variable in model.variables:
        digest.update(f"{variable.name} {tuple(variable.shape)} {variable.dtype}".encode())
        digest.update(np.ascontiguousarray(np.asarray(variable)).tobytes())
    for array in (data.x_train, data.y_train, data.x_test, data.y_test):
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _write_best(
    folder: Path, name: str, result: DeepCompression, best: Trial, settings: TrialSettings
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
