"""Every net of `keras_compress.architectures` at one size of image: size, work, latency."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.errors import KerasCompressError
from keras_compress.search.progress import Progress

if TYPE_CHECKING:
    import keras

__all__ = ["ArchitectureRow", "architecture_names", "architecture_table"]

# Up to this side the forms for CIFAR's sizes are meant: the first convolution keeps the size.
_SMALL_SIDE = 64
_CALIBRATION_IMAGES = 4


@dataclass(frozen=True)
class ArchitectureRow:
    """One net in the table.

    Attributes:
        name: Name of the function and its settings.
        parameters: Number of weights of any kind.
        macs: Multiply-accumulates of one image.
        float32_bytes: Bytes of the float32 `.tflite`; `None` where only counting was asked for.
        int8_bytes: Bytes of the full int8 `.tflite`.
        packed_bytes: Bytes of the latter's `.kcz`. The weights are untrained: trained, clustered
            or pruned ones take less.
        float32_ms: Median latency of the float32 file in LiteRT, one thread, in milliseconds.
        int8_ms: Likewise of the int8 file.
        left_out: Why the net isn't there at this size; the figures are `None` then.
    """

    name: str
    parameters: int | None = None
    macs: int | None = None
    float32_bytes: int | None = None
    int8_bytes: int | None = None
    packed_bytes: int | None = None
    float32_ms: float | None = None
    int8_ms: float | None = None
    left_out: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `json.dumps` takes."""
        return asdict(self)


def _catalogue(small: bool) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return function and settings of each net, by the name in the table."""
    nets: dict[str, tuple[str, dict[str, Any]]] = {}

    def add(function: str, label: str, **settings: Any) -> None:
        nets[f"{function} {label}".strip()] = (function, settings)

    for version in ("1.0", "1.1"):
        add("squeezenet", version, version=version, small_images=small)
    for width in (0.25, 0.5, 0.75, 1.0):
        add("mobilenet", f"x{width:g}", width=width, small_images=small)
    for groups in (1, 2, 3, 4, 8):
        for width in (0.25, 0.5, 1.0, 1.5, 2.0):
            add(
                "shufflenet",
                f"g{groups} x{width:g}",
                groups=groups,
                width=width,
                small_images=small,
            )
    for width in (0.5, 1.0, 1.5, 2.0):
        add("shufflenet_v2", f"x{width:g}", width=width, small_images=small)
    if small:
        add("resnet8", "")
        for depth in (20, 56):
            add("cifar_resnet", str(depth), depth=depth)
        add("cifar_vgg16", "")
    return nets


def architecture_names(input_shape: Sequence[int] = (96, 96, 3)) -> list[str]:
    """Return the names of the nets for images of a size, in the order of the table."""
    return list(_catalogue(_is_small(input_shape)))


def architecture_table(
    input_shape: Sequence[int] = (96, 96, 3),
    *,
    classes: int = 10,
    only: Sequence[str] = (),
    measure: bool = True,
    threads: int = 1,
    min_secs: float = 0.5,
    progress: Progress | None = None,
) -> list[ArchitectureRow]:
    """Build, count, export, pack and time every net, so that one sees what fits.

    Images with a side of at most 64 pixels get the nets' forms for CIFAR's sizes.

    Example:

    ```python
    from keras_compress.recipes import architecture_table

    for row in architecture_table((32, 32, 3), only=["shufflenet_v2"], measure=False):
        print(row.name, row.parameters, row.macs)
    ```

    Args:
        input_shape: `(height, width, channels)` of one image. Defaults to `(96, 96, 3)`.
        classes: Number of classes. Defaults to `10`.
        only: Parts of names, of which one has to be in a net's name. Defaults to `()`: all nets.
        measure: Whether to export, pack and time, seconds a net, rather than only to count.
            Defaults to `True`.
        threads: Threads of LiteRT. Defaults to `1`.
        min_secs: Least seconds of timed runs of each file. Defaults to `0.5`.
        progress: Told how far it is. Defaults to `None`.

    Returns:
        A row for each net, in the order of their multiply-accumulates; last those that can't be
        built at this size, which say why.

    Raises:
        KerasCompressError: If a shape is none of an image's, or no net is named by `only`.
    """
    shape = tuple(input_shape)
    if len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise KerasCompressError(
            "`input_shape` must be height, width and channels of an image. Received: "
            f"input_shape={input_shape!r}."
        )
    catalogue = _catalogue(_is_small(shape))
    chosen = {n: net for n, net in catalogue.items() if not only or any(p in n for p in only)}
    if not chosen:
        raise KerasCompressError(
            f"`only` must name a net of {', '.join(catalogue)}. Received: only={list(only)!r}."
        )
    progress = progress or Progress()
    progress.begin("Nets", len(chosen))
    rows = []
    for name, (function, settings) in chosen.items():
        rows.append(_row(name, function, settings, shape, classes, measure, threads, min_secs))
        progress.advance(detail=name)
    progress.end(f"{len(rows)} nets")
    return sorted(rows, key=lambda row: math.inf if row.macs is None else row.macs)


def _is_small(shape: Sequence[int]) -> bool:
    return max(shape[:2]) <= _SMALL_SIDE


def _row(
    name: str,
    function: str,
    settings: dict[str, Any],
    shape: tuple[int, ...],
    classes: int,
    measure: bool,
    threads: int,
    min_secs: float,
) -> ArchitectureRow:
    import keras

    from keras_compress import architectures
    from keras_compress.engine.profile import profile

    build: Callable[..., Any] = getattr(architectures, function)
    keras.utils.set_random_seed(0)
    try:
        model = build(shape, classes=classes, **settings)
    except KerasCompressError as error:
        return ArchitectureRow(name, left_out=str(error))
    counted = profile(model)
    facts: dict[str, Any] = {"parameters": counted.parameters, "macs": counted.macs}
    if measure:
        facts |= _measured(model, shape, threads, min_secs)
    return ArchitectureRow(name, **facts)


def _measured(
    model: keras.Model, shape: tuple[int, ...], threads: int, min_secs: float
) -> dict[str, Any]:
    from keras_compress.bench import bench
    from keras_compress.exporter.export_result import ExportWarning
    from keras_compress.exporter.pipeline import convert
    from keras_compress.packing import pack

    images = np.random.default_rng(0).random((_CALIBRATION_IMAGES, *shape), dtype="float32")
    with warnings.catch_warnings():
        # Nothing is verified: the weights are random.
        warnings.simplefilter("ignore", ExportWarning)
        float32 = convert(model, verify=False).tflite
        int8 = convert(model, precision="int8", representative_data=images, verify=False).tflite
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for precision, data in (("float32", float32), ("int8", int8)):
            path = Path(folder) / f"{precision}.tflite"
            path.write_bytes(data)
            files[precision] = str(path)
        timed = bench(files, threads=threads, min_secs=min_secs, num_runs=10, warmup_runs=2)
    latency = {result.name: result.median_ms for result in timed.models}
    return {
        "float32_bytes": len(float32),
        "int8_bytes": len(int8),
        "packed_bytes": len(pack(int8)),
        "float32_ms": latency["float32"],
        "int8_ms": latency["int8"],
    }
