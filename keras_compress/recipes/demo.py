"""The whole way once: train, fewer channels, prune, cluster, convert, pack, time, report."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_compress.errors import KerasCompressError
from keras_compress.recipes.image_data import ImageData, load_digits
from keras_compress.recipes.settings import DemoSettings, settings_for
from keras_compress.search.progress import Progress
from keras_compress.storage import Origins

if TYPE_CHECKING:
    import keras

__all__ = ["DemoResult", "check_folder", "run_demo"]

SCHEMA_VERSION = 1
_CHOICE_IMAGES = 10_000
_MAX_LOSS_BY_INT8 = 0.0005


@dataclass(frozen=True)
class DemoResult:
    """What the demo made: the model that is shipped, the same packed, and the report."""

    tflite: bytes = field(repr=False)
    packed: bytes = field(repr=False)
    report: dict[str, Any]

    def write(self, folder: str | os.PathLike[str], *, made_from: Origins = None) -> list[Path]:
        """Write `model.tflite`, `model.kcz`, `report.json` and `report.html` into `folder`.

        Args:
            folder: Where to write; made if need be.
            made_from: The file, or files, that the data come from: who may not read them may not
                read the new ones either. Defaults to `None`.

        Returns:
            The four paths.

        Raises:
            KerasCompressError: If the folder can't be written.
        """
        from keras_compress.exporter.folder import write_folder

        return write_folder(
            folder,
            tflite=self.tflite,
            packed=self.packed,
            report=self.report,
            made_from=made_from,
        )


@dataclass(frozen=True)
class _Stage:
    name: str
    title: str
    precision: str
    model: keras.Model
    note: str


def check_folder(folder: str | os.PathLike[str]) -> Path:
    """Make `folder` if it isn't there and return it, once a file could be made in it.

    Minutes of training should not end in a refusal that was certain from the start.

    Raises:
        KerasCompressError: If nothing can be written there.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise KerasCompressError(
            f"The output folder must be writable. Received: {path} "
            f"({error.strerror or error}). Choose another."
        ) from error
    return path


def run_demo(
    data: ImageData | None = None,
    *,
    settings: DemoSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> DemoResult:
    """Take a small net the whole way, from `fit` to a packed and timed model.

    A baseline is trained; the channels that matter least are removed and the rest is trained on;
    that net is pruned during `fit` on a polynomial schedule, then its weights share trained values;
    each is finalized and converted to `.tflite`, the last one
    to full int8 as well. The files are measured, not the Keras models: accuracy by running them
    on the held-out part, size on packing them (and unpacking, compared byte for byte), latency
    by timing them interleaved. Shipped is the int8 model, a quarter of the size unpacked, unless
    it does worse than the float32 model with shared values on the training images.

    Example:

    ```python
    result = keras_compress.recipes.run_demo()
    result.write("keras-compress-demo")
    ```

    Args:
        data: Images to train and measure on. Defaults to `None` (scikit-learn's digits).
        settings: Defaults to `None` (what `settings_for(data)` gives).
        seed: Seeds Python's, NumPy's and the backend's generators. Defaults to `0`.
        progress: Is told how far things are. Defaults to `None` (nobody is).

    Returns:
        A `DemoResult`; its `report` is the content of `report.json`.

    Raises:
        KerasCompressError: If the settings don't fit the data, a conversion fails its
            verification, or a packed file doesn't unpack to the same bytes.
    """
    import keras

    from keras_compress.packing import inspect
    from keras_compress.recipes.layer_facts import layer_facts
    from keras_compress.recipes.timing import time_models
    from keras_compress.recipes.training import train

    began = time.perf_counter()
    created = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    data = load_digits() if data is None else data
    settings = settings_for(data) if settings is None else settings
    progress = Progress() if progress is None else progress
    keras.utils.set_random_seed(seed)

    trained = train(data, settings, progress)
    stages = [
        _Stage("baseline", "Baseline", "float32", trained.baseline, ""),
        _Stage(
            "narrow",
            "Fewer channels",
            "float32",
            trained.narrow,
            "The channels that matter least removed for good: fewer multiply-accumulates.",
        ),
        _Stage(
            "pruned",
            "Pruned",
            "float32",
            trained.pruned,
            "Weights set to zero during fit; the .tflite stays as large, its zeros are packed.",
        ),
        _Stage(
            "clustered",
            "Shared values",
            "float32",
            trained.clustered,
            "The weights left by pruning share a few trained values a layer.",
        ),
        _Stage(
            "int8",
            "Shared values, int8",
            "int8",
            trained.clustered,
            "The model above, quantized in full with measured ranges and one scale a tensor, "
            "which keeps shared values shared.",
        ),
    ]
    files, conversions = _convert(stages, data, settings, progress)
    packed = _pack(files, progress)
    accuracies = _measure_accuracy(files, data, progress)
    shipped, choice = _choose(files, data)
    timing, latencies = time_models(files, packed[shipped], settings, progress)

    records = []
    for stage in stages:
        kernels = [weight.numpy() for weight in stage.model.trainable_weights if weight.ndim > 1]
        size = sum(kernel.size for kernel in kernels)
        zeros = sum(int((kernel == 0).sum()) for kernel in kernels)
        records.append(
            {
                "name": stage.name,
                "title": stage.title,
                "precision": stage.precision,
                "accuracy": accuracies[stage.name],
                "tflite_bytes": len(files[stage.name]),
                "packed_bytes": len(packed[stage.name]),
                "ratio": len(files["baseline"]) / len(packed[stage.name]),
                "latency_ms": latencies[stage.name],
                "sparsity": zeros / size if size else 0.0,
                "shipped": stage.name == shipped,
                "note": " ".join([stage.note, *conversions[stage.name].notes]).strip(),
            }
        )
    by_name = {record["name"]: record for record in records}
    report = {
        "schema_version": SCHEMA_VERSION,
        "title": f"{settings.architecture} on {data.source}",
        "created": created,
        "duration_s": time.perf_counter() - began,
        "baseline": by_name["baseline"],
        "compressed": by_name[shipped],
        "stages": records,
        "layers": layer_facts(
            trained.narrow,
            trained.clustered,
            [trained.pruning_report, trained.clustering_report],
        ),
        "channels": trained.channel_report.to_dict(),
        "channel_groups": trained.channel_report.bars(),
        "packed": inspect(packed[shipped], compare=True).to_dict(),
        "bench": timing,
        "verification": {name: item.verification.to_dict() for name, item in conversions.items()},
        "preservation": {name: item.preservation.to_dict() for name, item in conversions.items()},
        "settings": {
            **settings.to_dict(),
            "seed": seed,
            "choice": choice,
            "training_images": len(data.x_train),
            "held_out_images": len(data.x_test),
            "image_shape": list(data.image_shape),
            "classes": data.classes,
        },
        "environment": _environment(timing),
    }
    return DemoResult(files[shipped], packed[shipped], report)


def _convert(
    stages: list[_Stage], data: ImageData, settings: DemoSettings, progress: Progress
) -> tuple[dict[str, bytes], dict[str, Any]]:
    from keras_compress.exporter import convert

    progress.begin("Convert to .tflite", len(stages))
    conversions = {}
    for stage in stages:
        conversions[stage.name] = convert(
            stage.model,
            precision=stage.precision,
            per_channel=False,
            representative_data=data.x_train[: settings.calibration_images],
            samples=data.x_test[: settings.calibration_images],
        )
        progress.advance(1, f"{stage.title}, {stage.precision}")
    progress.end("verified against the Keras models")
    return {name: item.tflite for name, item in conversions.items()}, conversions


def _pack(files: Mapping[str, bytes], progress: Progress) -> dict[str, bytes]:
    from keras_compress.packing import pack, unpack

    progress.begin("Pack and unpack", len(files))
    packed = {}
    for name, tflite in files.items():
        packed[name] = pack(tflite)
        if unpack(packed[name]) != tflite:
            raise KerasCompressError(
                "A packed file must unpack to the same bytes. Received: other bytes for the "
                f"stage {name!r}. This is a defect of keras-compress; please report it."
            )
        progress.advance()
    progress.end("byte for byte the same")
    return packed


def _measure_accuracy(
    files: Mapping[str, bytes], data: ImageData, progress: Progress
) -> dict[str, float]:
    from keras_compress.recipes.accuracy import tflite_accuracy

    progress.begin("Measure accuracy", len(files))
    accuracies = {}
    for name, tflite in files.items():
        accuracies[name] = tflite_accuracy(tflite, data.x_test, data.y_test)
        progress.advance(1, f"{name} {accuracies[name]:.2%}")
    progress.end(", ".join(f"{name} {value:.2%}" for name, value in accuracies.items()))
    return accuracies


def _choose(files: Mapping[str, bytes], data: ImageData) -> tuple[str, dict[str, Any]]:
    """Return what to ship, and on which grounds. The held-out part has no say in it."""
    from keras_compress.recipes.accuracy import tflite_accuracy

    images, labels = data.x_train[:_CHOICE_IMAGES], data.y_train[:_CHOICE_IMAGES]
    accuracies = {
        name: tflite_accuracy(files[name], images, labels) for name in ("clustered", "int8")
    }
    lost = accuracies["clustered"] - accuracies["int8"]
    shipped = "int8" if lost <= _MAX_LOSS_BY_INT8 else "clustered"
    return shipped, {
        "rule": "int8, unless it labels over 0.05 points fewer of the training images rightly "
        "than float32",
        "training_images": len(images),
        "training_accuracy": accuracies,
        "shipped": shipped,
    }


def _environment(timing: Mapping[str, object]) -> dict[str, Any]:
    from keras_compress.installed import version_of
    from keras_compress.version import __version__

    libraries = {name: version_of(name) for name in ("tensorflow", "keras", "numpy")}
    libraries["scikit-learn"] = version_of("sklearn")
    machine = timing.get("environment")
    return {
        "keras_compress": __version__,
        "python": sys.version.split()[0],
        **libraries,
        **(machine if isinstance(machine, Mapping) else {}),
    }
