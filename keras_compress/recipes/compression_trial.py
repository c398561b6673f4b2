"""One trial of a compression: train at one price of a bit, convert, pack, measure.

A trial is a function of the files in its folder's parent and of its price, and runs in a process
of its own. It keeps a checkpoint at the end of each epoch (weights, step sizes, optimizer,
random generators; the order of the samples is a function of the epoch), so a trial that was
killed goes on from there and ends in the same bytes as one that was not.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.recipes.accuracy import tflite_accuracy
from keras_compress.storage import Origins, read_file, write_atomic, write_through

if TYPE_CHECKING:
    import keras

__all__ = ["CompressionTrial", "TrialSettings", "origins", "run_trial", "write_arrays"]

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class TrialSettings:
    """What all trials of a search have in common."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class CompressionTrial:
    """What a trial came to.

    Attributes:
        rate_weight: The price of a bit it was trained with.
        size: Bytes of its packed file.
        accuracy: Accuracy of the converted file on the held-out data, from 0 to 1.
        epochs: Epochs trained.
        stopped: Why it ended before its last epoch; empty if it didn't.
        folder: Name of its folder.
    """

    rate_weight: float
    size: int
    accuracy: float
    epochs: int
    stopped: str
    folder: str


def write_arrays(folder: Path, arrays: dict[str, np.ndarray], *, made_from: Origins = None) -> None:
    """Write the data of a search, so that trials map them into memory instead of copying.

    Who may not read `made_from` may not read them either.
    """
    for name in _ARRAYS:
        array = arrays[name]
        write_through(
            folder / f"{name}.npy",
            lambda path, array=array: np.save(path, array),  # type: ignore[misc]
            made_from=made_from,
        )


def origins(folder: Path) -> list[Path]:
    """Return the files of a search that all others are made from."""
    return [folder / "base.keras", *(folder / f"{name}.npy" for name in _ARRAYS)]


def run_trial(folder: str, settings: TrialSettings, rate_weight: float) -> dict[str, Any]:
    """Run, or go on with, the trial of `rate_weight`; return a `CompressionTrial`'s fields.

    Args:
        folder: Folder of the search, with `base.keras` and the arrays.
        settings: What all trials have in common.
        rate_weight: Price of a bit.
    """
    search = Path(folder)
    place = search / "trials" / f"rate-{rate_weight:.6e}"
    place.mkdir(parents=True, exist_ok=True)

    import keras_compress
    from keras_compress import exporter, rate

    arrays = {name: np.load(search / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
    model, epochs, stopped = _train(search, place, rate_weight, settings, arrays)
    plain = exporter.permute_channels(rate.finalize(model)).model
    exported = exporter.convert(plain, samples=np.asarray(arrays["x_test"][:16]))
    packed = keras_compress.pack(exported.tflite, codec="smallest")
    accuracy = tflite_accuracy(exported.tflite, arrays["x_test"], arrays["y_test"])
    made_from = origins(search)
    write_through(place / "model.keras", plain.save, made_from=made_from)
    write_atomic(place / "model.tflite", exported.tflite, made_from=made_from)
    write_atomic(place / "model.kcz", packed, made_from=made_from)
    return asdict(CompressionTrial(rate_weight, len(packed), accuracy, epochs, stopped, place.name))


def _train(
    search: Path,
    place: Path,
    rate_weight: float,
    settings: TrialSettings,
    arrays: dict[str, np.ndarray],
) -> tuple[Any, int, str]:
    import keras

    from keras_compress import rate

    keras.utils.set_random_seed(settings.seed)
    training = _ordered_batches(arrays, settings)
    steps = len(training) * settings.epochs
    config = rate.RateConfig(rate_weight, ramp_steps=max(1, steps // 3))
    state = place / "checkpoint.json"
    first = 0
    if state.exists():
        first = int(json.loads(read_file(state, limit=1 << 20))["epochs"])
        model = keras.models.load_model(place / f"epoch-{first}.keras")
    else:
        base = keras.models.load_model(search / "base.keras", compile=False)
        model = rate.prepare(base, config)
        schedule = keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps, 0.01)
        model.compile(
            keras.optimizers.Adam(schedule),
            keras.losses.SparseCategoricalCrossentropy(
                from_logits=gives_logits(base, arrays["x_test"][:32])
            ),
        )
    callback = rate.RateCallback(config)
    for epoch in range(first, settings.epochs):
        training.begin(epoch)
        _seed_layers(model, settings.seed, epoch)
        history = model.fit(
            training,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=0,
            callbacks=[callback],
        )
        if not _is_finite(model, history.history["loss"]):
            if epoch == 0:
                base = keras.models.load_model(search / "base.keras", compile=False)
                return rate.prepare(base, config), 0, "the loss became NaN in epoch 1"
            model = keras.models.load_model(place / f"epoch-{epoch}.keras")
            return model, epoch, f"the loss became NaN in epoch {epoch + 1}"
        write_through(place / f"epoch-{epoch + 1}.keras", model.save, made_from=origins(search))
        write_atomic(state, json.dumps({"epochs": epoch + 1}))
        (place / f"epoch-{epoch}.keras").unlink(missing_ok=True)
    return model, settings.epochs, ""


def gives_logits(model: keras.Model, samples: np.ndarray) -> bool:
    """Return whether the results of `model` are logits rather than probabilities."""
    scores = np.asarray(model.predict(np.asarray(samples), verbose=0))
    return bool((scores < 0).any() or not np.allclose(scores.sum(axis=-1), 1.0, atol=1e-3))


def _seed_layers(model: keras.Model, seed: int, epoch: int) -> None:
    # Keras doesn't write the state of a layer's generator into the file.
    for place, variable in enumerate(model.non_trainable_variables):
        if variable.name == "seed_generator_state":
            variable.assign(np.array([seed + epoch, place], dtype="uint32"))


def _is_finite(model: keras.Model, losses: list[float]) -> bool:
    if not all(math.isfinite(loss) for loss in losses):
        return False
    return all(np.isfinite(np.asarray(w)).all() for w in model.get_weights())


def _ordered_batches(arrays: dict[str, np.ndarray], settings: TrialSettings) -> Any:
    import keras

    class Batches(keras.utils.PyDataset):
        """The samples in an order that is a function of seed and epoch alone."""

        def begin(self, epoch: int) -> None:
            generator = np.random.default_rng([settings.seed, epoch])
            self.order = generator.permutation(len(arrays["x_train"]))

        def __len__(self) -> int:
            return math.ceil(len(arrays["x_train"]) / settings.batch_size)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            chosen = self.order[index * settings.batch_size : (index + 1) * settings.batch_size]
            return arrays["x_train"][chosen], arrays["y_train"][chosen]

    batches = Batches()
    batches.begin(0)
    return batches
