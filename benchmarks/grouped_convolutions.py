"""Grouped 1x1 convolutions around a shuffle of channels: which spelling LiteRT runs fastest.

`--units` times two of ShuffleNet v1's units with stride 1 in every spelling, `--nets` whole nets as
they are exported, with shuffles kept, folded, and taken out (which computes something else: it is
what a shuffle costs), beside MobileNet v1 of as many multiplications. Weights are random. Exported
nets are kept in `--cache` and taken from there the next time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from interleaved_latency import interleaved_latency

RESULTS = Path(__file__).parent / "results" / "grouped_convolutions.json"
# Side of the image, channels, groups: stages of ShuffleNet v1 at widths 1 and 0.5.
UNITS = (
    (28, 240, 3), (14, 480, 3), (7, 960, 3), (28, 120, 3), (14, 240, 3), (28, 200, 2), (14, 400, 2),
    (28, 272, 4), (14, 544, 4), (28, 384, 8), (14, 768, 8), (7, 1536, 8),
)  # fmt: skip
CACHE = Path("benchmarks/cache/grouped_convolutions")
PRECISIONS = ("float32", "int8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", action="store_true")
    parser.add_argument("--nets", action="store_true")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of exported nets")
    args = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for precision in PRECISIONS:
        if args.units:
            for side, channels, groups in UNITS:
                files = unit_files(side, channels, groups, precision)
                rows = interleaved_latency(files, rounds=args.rounds)
                name = f"{side}x{side}x{channels} g{groups} {precision}"
                found.setdefault("units", {})[name] = rows
                tell(name, rows)
        if args.nets:
            rows = interleaved_latency(net_files(precision, args.cache), rounds=args.rounds)
            found.setdefault("nets", {})[precision] = rows
            tell(precision, rows)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def tell(name: str, rows: dict[str, dict]) -> None:
    cells = (f"{each} {row['best_us']:.0f} us {row['ratio']:.2f}" for each, row in rows.items())
    print(f"{name}: {', '.join(cells)}", flush=True)


def unit_files(side: int, channels: int, groups: int, precision: str) -> dict[str, bytes]:
    """Return the spellings; the first, without a shuffle, is what the ratios are to."""
    from keras_compress.architectures.blocks import channel_shuffle
    from keras_compress.exporter import shuffle_folding

    spelled: dict[str, tuple[Callable, Callable, Callable]] = {
        "no shuffle": (grouped, grouped, lambda x, groups, name: x),
        "transposed": (grouped, grouped, channel_shuffle),
        "gathered": (grouped, grouped, gathered),
        "split": (split, split, channel_shuffle),
        "dense before": (dense, grouped, lambda x, groups, name: x),
        "dense behind": (grouped, dense, lambda x, groups, name: x),
        "dense both": (dense, dense, lambda x, groups, name: x),
    }
    files = {
        name: exported(two_units(side, channels, groups, *ways), precision)
        for name, ways in spelled.items()
    }
    with mock.patch.object(shuffle_folding, "_SMALLEST_BLOCK", 1):
        files["folded"] = shuffle_folding.fold_shuffles(files["transposed"]).tflite
    return files


def two_units(
    side: int, channels: int, groups: int, first: Callable, second: Callable, shuffle: Callable
) -> Any:
    import keras

    x = inputs = keras.Input((side, side, channels))
    for number in range(2):
        y = first(x, channels // 4 // groups * groups, groups)
        y = shuffle(y, groups, name=f"shuffle{number}")
        y = keras.layers.DepthwiseConv2D(3, padding="same")(y)
        x = keras.layers.Add()([x, second(y, channels, groups)])
    return keras.Model(inputs, x)


def grouped(x: Any, filters: int, groups: int) -> Any:
    import keras

    return keras.layers.Conv2D(filters, 1, groups=groups, activation="relu")(x)


def dense(x: Any, filters: int, groups: int) -> Any:
    """Convolve all channels: a kernel with zeros outside of blocks, in any order of channels."""
    return grouped(x, filters, 1)


def split(x: Any, filters: int, groups: int) -> Any:
    import keras

    parts = keras.ops.split(x, groups, axis=-1)
    return keras.layers.Concatenate()([grouped(part, filters // groups, 1) for part in parts])


def gathered(x: Any, groups: int, *, name: str) -> Any:
    import keras

    order = np.arange(x.shape[-1]).reshape(groups, -1).T.reshape(-1)
    return keras.ops.take(x, order, axis=-1)


def net_files(precision: str, cache: Path) -> dict[str, bytes]:
    from keras_compress import architectures
    from keras_compress.architectures.blocks import shuffle
    from keras_compress.exporter.shuffle_folding import fold_shuffles

    def file_of(name: str, build: Callable) -> bytes:
        path = cache / f"{name} {precision}.tflite"
        if not path.exists():
            cache.mkdir(parents=True, exist_ok=True)
            path.write_bytes(exported(build(), precision))
        return path.read_bytes()

    files = {
        "mobilenet x0.5": file_of("mobilenet x0.5", lambda: architectures.mobilenet(width=0.5))
    }
    nets = {
        "shufflenet g3": lambda: architectures.shufflenet(groups=3),
        "shufflenet g8": lambda: architectures.shufflenet(groups=8),
        "shufflenet_v2 x1": lambda: architectures.shufflenet_v2(width=1.0),
    }
    for name, build in nets.items():
        with mock.patch.object(shuffle, "channel_shuffle", lambda x, groups, name: x):
            files[f"{name}, no shuffle"] = file_of(f"{name}, no shuffle", build)
        files[f"{name}, kept"] = file_of(f"{name}, kept", build)
        files[f"{name}, folded"] = fold_shuffles(files[f"{name}, kept"]).tflite
    return files


def exported(model: Any, precision: str) -> bytes:
    """Return the file of `model` as the converter makes it."""
    from keras_compress.exporter import convert

    one = np.random.default_rng(0).normal(size=(1, *model.input_shape[1:])).astype("float32")
    return convert(
        model,
        precision=precision,
        representative_data=one if precision == "int8" else None,
        verify=False,
        fold_shuffles=False,
    ).tflite


if __name__ == "__main__":
    main()
