"""Channel pruning as one call: a trained classifier in, one with fewer channels out, and timed.

The share of multiply-accumulates is all that is searched for: down to a latency measured in LiteRT
without training, for latency follows from the widths alone; down to an accuracy with a training a
trial. The choice is made on a part of the training images that no training sees.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.argument_checks import check_count
from keras_compress.errors import KerasCompressError
from keras_compress.recipes.accuracy import tflite_accuracy
from keras_compress.recipes.image_data import ImageData
from keras_compress.recipes.smaller_net_target import SmallerNetTarget, met
from keras_compress.search.bisection import bisect
from keras_compress.search.progress import Progress, progress_callback
from keras_compress.storage import Origins, write_atomic, write_through

if TYPE_CHECKING:
    import keras

    from keras_compress.channel_pruning import ChannelPruned, Criterion

__all__ = ["SmallerNet", "prune_channels"]

_VALIDATION_SHARE = 0.1
_SCORED_IMAGES = 1024
_ROUNDS = 5
_MIN_SHARE = 0.02
_MIN_SHARE_TRAINED = 0.05
# A measured ratio is this uncertain; the search goes on no finer.
_RESOLUTION = 0.01
_TIMED_RUNS = 20


@dataclass(frozen=True)
class SmallerNet:
    """What came of `prune_channels`.

    Attributes:
        model: The smaller model, trained.
        pruned: What `channel_pruning.prune` returned: the report, and the plan of channels kept.
        before: Figures of the model before: `macs`, `parameters`, `tflite_bytes`, `packed_bytes`,
            `latency_ms`, `accuracy`.
        after: The same of the smaller one. Accuracies are of the float32 `.tflite`, from 0 to 1,
            on the held-out images, which are looked at once.
        reached: Whether the target is met.
        note: What to know about it; may be empty.
    """

    model: keras.Model
    pruned: ChannelPruned
    before: dict[str, float]
    after: dict[str, float]
    reached: bool
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `json.dumps` takes."""
        return {
            "before": self.before,
            "after": self.after,
            "reached": self.reached,
            "note": self.note,
            "report": self.pruned.report.to_dict(),
        }


@dataclass(frozen=True)
class _Training:
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int


def prune_channels(
    model: keras.Model,
    data: ImageData,
    target: SmallerNetTarget,
    *,
    folder: str | os.PathLike[str],
    criterion: str | Criterion = "group_fisher",
    round_to: int = 8,
    epochs: int = 10,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    seed: int = 0,
    made_from: Origins = None,
    progress: Progress | None = None,
) -> SmallerNet:
    """Remove channels of a trained classifier until it meets `target`, and train it on.

    The smaller net learns from the labels and from the model before (distillation). `folder` gets
    `model.keras`, `channels.json` (the plan of channels kept), `model.tflite`, `model.kcz`,
    `report.json` and `report.html`.

    Example:

    ```python
    small = recipes.prune_channels(
        model, recipes.load_digits(), recipes.SmallerNetTarget(macs=0.5), folder="small"
    )
    print(small.after["latency_ms"] / small.before["latency_ms"], small.after["accuracy"])
    ```

    Args:
        model: A trained Sequential or functional classifier, of images to one score a class. It
            stays as it is.
        data: The images it was trained on and held-out ones. A tenth of the training images is
            set aside for choices; the held-out ones give the two accuracies at the end.
        target: The `SmallerNetTarget`.
        folder: Where files are written.
        criterion: How channels are scored, as for `channel_pruning.prune`. Defaults to
            `"group_fisher"`.
        round_to: The channels left in a layer are a multiple of it. Defaults to `8`.
        epochs: Epochs of training after the cut, of each trial. Defaults to `10`.
        batch_size: Images of a batch. Defaults to `128`.
        learning_rate: First learning rate of Adam, which falls along a cosine. Defaults to `1e-3`.
        seed: Seed of the images set aside and of the training. Defaults to `0`.
        made_from: The files that model and data come from: who may not read them may not read
            those of `folder` either. Defaults to `None`.
        progress: Told how it goes. Defaults to `None`.

    Returns:
        A `SmallerNet`. `reached` is `False`, and the nearest net is left, if no cut meets the
        target.

    Raises:
        KerasCompressError: If an argument is out of range, the model doesn't fit the data, no
            channel of it may go, or a share of `macs` or `parameters` can't be reached.
    """
    progress = progress or Progress()
    training = _Training(
        check_count("epochs", epochs), check_count("batch_size", batch_size), learning_rate, seed
    )
    search = _Search(model, data, criterion, round_to, training, progress)
    if target.max_drop is not None and not (target.macs or target.parameters or target.latency):
        small, pruned, note = search.down_to_accuracy(target.max_drop)
    else:
        limits = {"macs": target.macs, "parameters": target.parameters}
        note = ""
        if target.latency is not None:
            share, note = search.share_for_latency(target.latency)
            limits = {"macs": share, "parameters": None}
        pruned = search.cut(**limits)
        small = search.train(pruned.model, "Train the smaller net")
    return _finish(search, small, pruned, target, folder, made_from, note)


class _Search:
    """The model, the images it may learn from, and those that choose."""

    def __init__(
        self,
        model: keras.Model,
        data: ImageData,
        criterion: Any,
        round_to: int,
        training: _Training,
        progress: Progress,
    ) -> None:
        from keras_compress.recipes.compression_trial import gives_logits

        self.model, self.data, self.progress = model, data, progress
        self._criterion, self._round_to, self._training = criterion, round_to, training
        order = np.random.default_rng(training.seed).permutation(len(data.x_train))
        held = max(1, int(_VALIDATION_SHARE * len(order)))
        self._held, self._learnt = order[:held], order[held:]
        if len(self._learnt) == 0:
            raise KerasCompressError(
                f"Training needs images. Received: {len(order)} with those set aside for choices."
            )
        self._logits = gives_logits(model, data.x_train[:32])

    def _loss(self) -> Any:
        import keras

        return keras.losses.SparseCategoricalCrossentropy(from_logits=self._logits)

    def cut(self, macs: float | None = None, parameters: float | None = None) -> ChannelPruned:
        """Return the model cut to a share, not trained yet."""
        from keras_compress.channel_pruning import Target, prune

        scored = self._learnt[:_SCORED_IMAGES]
        return prune(
            self.model,
            Target(macs=macs, parameters=parameters),
            criterion=self._criterion,
            x=self.data.x_train[scored],
            y=self.data.y_train[scored],
            loss=self._loss(),
            round_to=self._round_to,
        )

    def train(self, small: keras.Model, stage: str) -> keras.Model:
        """Train a cut model on labels and on what the whole one says; return it."""
        import keras

        from keras_compress.distillation import Distiller

        settings, progress = self._training, self.progress
        steps = settings.epochs * math.ceil(len(self._learnt) / settings.batch_size)

        keras.utils.set_random_seed(settings.seed)
        progress.begin(stage, steps)
        distiller = Distiller(self.model, small, student_loss_weight=0.5)
        rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps)
        distiller.compile(keras.optimizers.Adam(rate), self._loss())
        distiller.fit(
            self.data.x_train[self._learnt],
            self.data.y_train[self._learnt],
            batch_size=settings.batch_size,
            epochs=settings.epochs,
            callbacks=[progress_callback(progress), keras.callbacks.TerminateOnNaN()],
            verbose=0,
        )
        if not all(np.isfinite(w).all() for w in small.get_weights()):
            raise KerasCompressError(
                "The training of the smaller net diverged: its weights are no longer finite. "
                f"Received: learning_rate={settings.learning_rate}. Choose a lower one."
            )
        progress.end(f"{self.accuracy(small):.2%} on the images set aside")
        return small

    def accuracy(self, model: keras.Model) -> float:
        """Return the accuracy on the images set aside, from 0 to 1."""
        scores = model.predict(self.data.x_train[self._held], batch_size=256, verbose=0)
        return float((np.argmax(scores, axis=-1) == self.data.y_train[self._held]).mean())

    def share_for_latency(self, wanted: float) -> tuple[float, str]:
        """Return the largest share of multiply-accumulates within a share of the latency."""
        from keras_compress import exporter

        full = exporter.convert(self.model, verify=False).tflite
        best: float | None = None
        fastest = (math.inf, _MIN_SHARE)

        def is_met(shares: list[float]) -> list[bool]:
            nonlocal best, fastest
            (share,) = shares
            try:
                small = self.cut(macs=share).model
            except KerasCompressError:
                # So little can't be left: the search goes on above.
                self.progress.advance()
                return [True]
            ratio = _latency_ratio(full, exporter.convert(small, verify=False).tflite)
            fastest = min(fastest, (ratio, share))
            self.progress.advance(detail=f"{share:.2f} of the MACs take {ratio:.2f} of the time")
            if ratio <= wanted:
                best = share
            return [ratio <= wanted]

        self.progress.begin("Find the widths", _ROUNDS)
        bisect(is_met, _MIN_SHARE, 1.0, rounds=_ROUNDS, scale="log", resolution=_RESOLUTION)
        self.progress.end(f"{best or fastest[1]:.2f} of the multiply-accumulates")
        if best is not None:
            return best, ""
        if math.isinf(fastest[0]):
            raise KerasCompressError(
                f"So few channels can't be left that the latency is {wanted:g} of the model's. "
                "Received: a model in which every cut tried was refused; see "
                "`channel_pruning.find_groups(model)` for what has to stay."
            )
        return fastest[1], (
            f"The latency can't be brought to {wanted:g} of the model's: {fastest[0]:.2f} at "
            f"{fastest[1]:.2f} of its multiply-accumulates is the nearest."
        )

    def down_to_accuracy(self, max_drop: float) -> tuple[Any, ChannelPruned, str]:
        """Return the smallest trained net that loses at most `max_drop` points, by bisection."""
        floor = self.accuracy(self.model) - max_drop / 100
        best: tuple[Any, ChannelPruned] | None = None
        nearest: tuple[float, Any, ChannelPruned] | None = None

        def is_met(shares: list[float]) -> list[bool]:
            nonlocal best, nearest
            (share,) = shares
            try:
                pruned = self.cut(macs=share)
            except KerasCompressError:
                return [False]
            small = self.train(pruned.model, f"Trial: {share:.2f} of the MACs")
            accuracy = self.accuracy(small)
            if nearest is None or accuracy > nearest[0]:
                nearest = (accuracy, small, pruned)
            if accuracy >= floor - 1e-9:
                best = (small, pruned)
            return [accuracy >= floor - 1e-9]

        bisect(is_met, 1.0, _MIN_SHARE_TRAINED, rounds=_ROUNDS, scale="log")
        if best is not None:
            return *best, ""
        if nearest is None:
            raise KerasCompressError(
                "Some cut must be possible. Received: a model in which every one was refused; "
                "see `channel_pruning.find_groups(model)` for what has to stay."
            )
        return (
            nearest[1],
            nearest[2],
            (
                f"No trial lost at most {max_drop:g} points; the most accurate one is left. "
                "More epochs help most."
            ),
        )


def _latency_ratio(full: bytes, small: bytes) -> float:
    from keras_compress.bench import bench

    timed = bench({"full": full, "small": small}, num_runs=_TIMED_RUNS, min_secs=0.3, warmup_runs=2)
    return float(timed.model("small").median_ms / timed.model("full").median_ms)


def _finish(
    search: _Search,
    small: keras.Model,
    pruned: ChannelPruned,
    target: SmallerNetTarget,
    folder: str | os.PathLike[str],
    made_from: Origins,
    note: str,
) -> SmallerNet:
    from keras_compress import exporter, pack
    from keras_compress.bench import bench
    from keras_compress.exporter.folder import report_of, write_folder

    progress, data, place = search.progress, search.data, Path(folder)
    progress.begin("Export and time")
    exports = {
        "before": exporter.convert(search.model, samples=data.x_train[:16]),
        "after": exporter.convert(small, samples=data.x_train[:16]),
    }
    timed = bench({n: e.tflite for n, e in exports.items()}, num_runs=_TIMED_RUNS, min_secs=0.5)
    packed = {name: pack(exported.tflite) for name, exported in exports.items()}
    figures: dict[str, dict[str, float]] = {}
    for name, costs in (("before", pruned.report.before), ("after", pruned.report.after)):
        tflite = exports[name].tflite
        figures[name] = {
            "macs": costs["macs"],
            "parameters": costs["parameters"],
            "tflite_bytes": len(tflite),
            "packed_bytes": len(packed[name]),
            "latency_ms": timed.model(name).median_ms,
            "accuracy": tflite_accuracy(tflite, data.x_test, data.y_test),
        }
    reached, why = met(target, figures["before"], figures["after"])
    note = " ".join(filter(None, (note, why if not note else "")))
    place.mkdir(parents=True, exist_ok=True)
    report = report_of(small, exports["after"], packed["after"])
    report["title"] = f"{search.model.name}, fewer channels"
    report["settings"] = {**report["settings"], "target": asdict(target), **_flat(figures)}
    report["channel_groups"] = pruned.report.bars()
    for name, when in (("baseline", "before"), ("compressed", "after")):
        measured = {k: v for k, v in figures[when].items() if k not in ("macs", "parameters")}
        report[name] = {**report.get(name, {}), "name": name, "title": name.title(), **measured}
    write_through(place / "model.keras", small.save, made_from=made_from)
    write_through(place / "channels.json", pruned.plan.save, made_from=made_from)
    write_folder(
        place,
        tflite=exports["after"].tflite,
        packed=packed["after"],
        report=report,
        made_from=made_from,
    )
    result = SmallerNet(
        small, pruned, figures["before"], figures["after"], reached and not note, note
    )
    write_atomic(place / "pruning.json", json.dumps(result.to_dict(), indent=1) + "\n")
    progress.end(f"{figures['after']['accuracy']:.2%} on the held-out images")
    return result


def _flat(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    return {f"{n}_{when}": value for when, all_ in figures.items() for n, value in all_.items()}
