"""A trained net and a few hundred unlabelled images in, a packed file out.

No training set, no labels, no training: each layer is fitted to what it computed before
(`layer_reconstruction`), and how far each is rounded follows from one number, the price of a bit.
Its unit is the divergence between the scores of the net before and after, to second order, so one
price is right for all layers; the search is over that number alone.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_compress.argument_checks import check_count
from keras_compress.errors import KerasCompressError
from keras_compress.recipes.accuracy import tflite_accuracy
from keras_compress.recipes.post_training_target import PostTrainingTarget
from keras_compress.search.progress import Progress
from keras_compress.storage import Origins, write_atomic, write_through

if TYPE_CHECKING:
    import keras

    from keras_compress.recipes.layer_reconstruction import ReconstructedLayer
    from keras_compress.tensor import Tensor

__all__ = ["PostTrainingCompression", "PostTrainingTrial", "post_training_compression"]

# Where the search begins, and the prices between which it stays.
_FIRST, _LOWEST, _HIGHEST = 1e-8, 1e-12, 1e-3
# A size within this share of the target is near enough, and what the search aims at.
_NEAR, _AIM = 0.99, 0.995
_MIN_IMAGES = 8
_FEWEST_HELD_OUT = 4


@dataclass(frozen=True)
class PostTrainingTrial:
    """One run over all layers.

    Attributes:
        price: The price of a bit.
        agreement: Share of the held-out images answered as before.
        size: Bytes of the packed file; `None` where it was not packed.
    """

    price: float
    agreement: float
    size: int | None


@dataclass(frozen=True)
class PostTrainingCompression:
    """What a compression without labels came to.

    Attributes:
        model: The compressed model: few values a kernel, normalizations folded.
        target: The `PostTrainingTarget`.
        reached: Whether the file meets it.
        size: Bytes of the packed file.
        agreement: Share of the held-out images that the `.tflite` answers as the model did.
        base_size: Bytes of the float32 `.tflite` before.
        layers: What became of each layer.
        left_alone: Why other layers with kernels were left alone, by path.
        trials: All trials, by price.
        packed: Path of the packed file.
        note: Why the target was not reached, or what else to know; may be empty.
    """

    model: keras.Model
    target: PostTrainingTarget
    reached: bool
    size: int
    agreement: float
    base_size: int
    layers: tuple[ReconstructedLayer, ...]
    left_alone: dict[str, str]
    trials: tuple[PostTrainingTrial, ...]
    packed: Path
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields but the model as plain values that `json.dumps` takes."""
        fields = {name: value for name, value in vars(self).items() if name != "model"}
        return {
            **fields,
            "target": asdict(self.target),
            "layers": [layer.to_dict() for layer in self.layers],
            "trials": [asdict(trial) for trial in self.trials],
            "packed": os.fspath(self.packed),
        }


def post_training_compression(
    model: keras.Model,
    images: NDArray[Any],
    target: PostTrainingTarget,
    *,
    folder: str | os.PathLike[str],
    held_out: float = 0.25,
    rounds: int = 6,
    batch_size: int = 32,
    draws: int = 2,
    seed: int = 0,
    made_from: Origins = None,
    progress: Progress | None = None,
) -> PostTrainingCompression:
    """Compress a trained classifier with unlabelled images alone; leave the files in `folder`.

    `folder` gets `model.tflite`, `model.kcz`, `model.keras`, `report.json`, `report.html` and
    `compression.json`.

    Example:

    ```python
    target = recipes.PostTrainingTarget(agreement=0.98)
    result = recipes.post_training_compression(model, photos, target, folder="small")
    print(result.size, result.agreement)
    ```

    Args:
        model: A trained Sequential or functional classifier, of one input to one vector of scores,
            logits or probabilities.
        images: What it reads, `(images, ...)`, preprocessed as it takes them; 200 are enough.
        target: The `PostTrainingTarget`.
        folder: Where files are written.
        held_out: Share of the images that no layer is fitted on and that agreement is counted on,
            above 0 and below 1. Defaults to `0.25`.
        rounds: Most runs over all layers. Defaults to `6`.
        batch_size: Images at a time. Defaults to `32`.
        draws: Labels drawn for each image, to tell what each output matters. Defaults to `2`.
        seed: Of the choice of held-out images and of draws. Defaults to `0`.
        made_from: The files that model and images come from: who may not read them may not read
            those of `folder` either. Defaults to `None`.
        progress: Told how it goes. Defaults to `None`.

    Returns:
        A `PostTrainingCompression`. `reached` is `False`, and the nearest file is left, if no run
        meets the target.

    Raises:
        KerasCompressError: If an argument is out of range, the model is no such classifier or has
            nothing to compress, or the images don't fit it.
    """
    from keras_compress.quantization import fold_batch_norms
    from keras_compress.recipes.layer_reconstruction import output_importance, reconstructible

    progress = progress or Progress()
    for name, value in (("rounds", rounds), ("batch_size", batch_size), ("draws", draws)):
        check_count(name, value)
    _check(model, images, held_out)
    order = np.random.default_rng(seed).permutation(len(images))
    count = max(_FEWEST_HELD_OUT, math.ceil(held_out * len(images)))
    held, fitted = (np.asarray(images)[np.sort(part)] for part in (order[:count], order[count:]))
    progress.begin("Measure the model")
    plain = fold_batch_norms(model)
    layers, left_alone = reconstructible(plain)
    if not layers:
        raise KerasCompressError(
            "There must be a Dense layer or a convolution to compress. Received: "
            f"{model.name!r}; left alone: {left_alone or 'nothing'}."
        )
    answers = _answers(model, held, batch_size)
    importance = output_importance(
        plain, layers, fitted, temperature=1.0, draws=draws, batch_size=8, seed=seed
    )
    progress.end(f"{len(layers)} layers, {len(fitted)} images, {len(held)} held out")
    search = _Search(
        plain, layers, importance, fitted, held, answers, target, rounds, batch_size, seed, progress
    )
    best = search.run()
    progress.begin("Export and pack")
    result = _finish(search, best, model, left_alone, Path(folder), made_from)
    progress.end(f"{result.size:,} bytes, {result.agreement:.2%} answered as before")
    return result


def _check(model: keras.Model, images: Tensor, held_out: float) -> None:
    from keras_compress.engine.graph import require_graph

    require_graph(model, "Compression without a training set")
    shapes = [tuple(each.shape) for each in (*model.inputs, *model.outputs)]
    if len(shapes) != 2 or len(shapes[1]) != 2 or (shapes[1][1] or 0) < 2:
        raise KerasCompressError(
            "The model must be a classifier of one input and one vector of scores. Received: "
            f"inputs and outputs of {shapes}."
        )
    found = np.shape(images)
    fits = len(found) == len(shapes[0]) and all(
        want in (None, size) for want, size in zip(shapes[0][1:], found[1:], strict=True)
    )
    if not fits or len(images) < _MIN_IMAGES:
        raise KerasCompressError(
            f"`images` must be at least {_MIN_IMAGES} of {shapes[0][1:]}, as the model takes "
            f"them. Received: an array of {found}."
        )
    if not np.isfinite(np.asarray(images)).all():
        raise KerasCompressError("`images` must be finite. Received: NaN or infinity.")
    if not 0 < held_out < 1 or len(images) * (1 - held_out) < _FEWEST_HELD_OUT:
        raise KerasCompressError(
            "`held_out` must be above 0 and below 1, and leave at least "
            f"{_FEWEST_HELD_OUT} images. Received: held_out={held_out!r} of {len(images)}."
        )


def _answers(model: keras.Model, images: NDArray[Any], batch_size: int) -> NDArray[np.int64]:
    scores = np.asarray(model.predict(images, batch_size=batch_size, verbose=0))
    if not np.isfinite(scores).all():
        raise KerasCompressError(
            "The model's scores must be finite. Received: NaN or infinity on the images. Check "
            "that it was trained, and that the images are preprocessed as it takes them."
        )
    return np.argmax(scores, axis=-1)


@dataclass
class _Search:
    """Runs at several prices, until the target is met as nearly as rounds allow."""

    plain: Any
    layers: list[keras.Layer]
    importance: dict[int, NDArray[np.float64]]
    fitted: NDArray[Any]
    held: NDArray[Any]
    answers: NDArray[np.int64]
    target: PostTrainingTarget
    rounds: int
    batch_size: int
    seed: int
    progress: Progress

    def __post_init__(self) -> None:
        self.trials: list[PostTrainingTrial] = []
        self._best: Any = None

    def run(self) -> Any:
        """Return the best model, its layers, its trial, and its export if there is one."""
        if self.target.price is not None:
            self._try(self.target.price)
        else:
            met: PostTrainingTrial | None = None
            unmet: PostTrainingTrial | None = None
            price = _FIRST
            for _ in range(self.rounds):
                trial = self._try(price)
                # Few bits meet a size, many an agreement: the met side is up, or down.
                if self.meets(trial):
                    met = trial
                else:
                    unmet = trial
                if met is not None and trial.size and _is_near(trial.size, self.target.size):
                    break
                step = 4.0 if (self.target.size is None) == self.meets(trial) else 0.25
                price = self._between(met, unmet) if met and unmet else price * step
                if not _LOWEST <= price <= _HIGHEST:
                    break
        return self._best

    def _between(self, met: PostTrainingTrial, unmet: PostTrainingTrial) -> float:
        """Return the price to try next: where the size is aimed at, if it is a power of the price.

        Not near either end, and for an agreement the middle: it moves in steps of an image.
        """
        share = 0.5
        if self.target.size and met.size and unmet.size and met.size < unmet.size:
            aim = math.log(unmet.size / (_AIM * self.target.size))
            share = min(0.9, max(0.1, aim / math.log(unmet.size / met.size)))
        return unmet.price * (met.price / unmet.price) ** share

    def meets(self, trial: PostTrainingTrial) -> bool:
        """Whether a trial meets the target; one without a search always does."""
        if self.target.size is not None:
            return trial.size is not None and trial.size <= self.target.size
        return trial.agreement >= (self.target.agreement or 0.0) - 1e-9

    def _try(self, price: float) -> PostTrainingTrial:
        from keras_compress.recipes.layer_reconstruction import reconstruct

        self.progress.begin(f"Layer by layer, price {price:.1e}", len(self.layers))
        small, layers = reconstruct(
            self.plain,
            self.layers,
            self.importance,
            self.fitted,
            price,
            batch_size=self.batch_size,
            seed=self.seed,
            progress=self.progress,
        )
        same = _answers(small, self.held, self.batch_size) == self.answers
        exported = None if self.target.size is None else self.exported(small)
        size = None if exported is None else len(exported[1])
        trial = PostTrainingTrial(price, float(same.mean()), size)
        self.trials.append(trial)
        bits = sum(each.bits * each.weights for each in layers)
        weights = sum(each.weights for each in layers)
        self.progress.end(f"{bits / weights:.2f} bits a weight, {trial.agreement:.2%} as before")
        if self._best is None or self._rank(trial) > self._rank(self._best[2]):
            self._best = (small, layers, trial, exported)
        return trial

    def _rank(self, trial: PostTrainingTrial) -> tuple[Any, ...]:
        """Return what is larger, the better a trial is."""
        met = self.meets(trial)
        # Of two that meet a size the one with more bits, of two that don't the smaller; of two
        # that meet an agreement the smaller.
        more_bits = -trial.price
        return (met, more_bits if met == (self.target.size is not None) else trial.price)

    def exported(self, small: keras.Model) -> tuple[Any, bytes]:
        """Return the `Export` of a model and its packed bytes."""
        import warnings

        import keras_compress
        from keras_compress import exporter

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the notes are in the report
            exported = exporter.convert(small, samples=self.held[:16])
        return exported, keras_compress.pack(exported.tflite, codec="smallest")


def _is_near(size: int, target: int | None) -> bool:
    return target is not None and _NEAR * target <= size <= target


def _finish(
    search: _Search,
    best: Any,
    model: keras.Model,
    left_alone: dict[str, str],
    folder: Path,
    made_from: Origins,
) -> PostTrainingCompression:
    from keras_compress import exporter
    from keras_compress.exporter.folder import report_of, write_folder

    small, layers, trial, exported = best
    exported, packed = exported or search.exported(small)
    agreement = tflite_accuracy(exported.tflite, search.held.astype("float32"), search.answers)
    base = exporter.convert(model, verify=False)
    reached = search.meets(PostTrainingTrial(trial.price, agreement, len(packed)))
    note = ""
    if not reached:
        what = f"{len(packed):,} bytes with {agreement:.2%} answered as before is the nearest"
        note = f"No run met the target; {what}. More images help, and more rounds."
    result = PostTrainingCompression(
        small,
        search.target,
        reached,
        len(packed),
        agreement,
        len(base.tflite),
        tuple(layers),
        left_alone,
        tuple(sorted(search.trials, key=lambda each: each.price)),
        folder / "model.kcz",
        note,
    )
    folder.mkdir(parents=True, exist_ok=True)
    report = report_of(small, exported, packed)
    report["title"] = f"{model.name}, compressed without labels"
    report["settings"] = {
        **report["settings"],
        "price": trial.price,
        "agreement": agreement,
        "images": len(search.fitted),
        "images_held_out": len(search.held),
        "float32_tflite_bytes": result.base_size,
    }
    if note:
        report["compressed"]["note"] = f"{report['compressed']['note']} {note}".strip()
    write_through(folder / "model.keras", small.save, made_from=made_from)
    write_folder(folder, tflite=exported.tflite, packed=packed, report=report, made_from=made_from)
    write_atomic(
        folder / "compression.json", json.dumps(result.to_dict(), indent=1, default=str) + "\n"
    )
    return result
