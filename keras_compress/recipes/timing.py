"""Times every stage's file in turns, and the packed file that is shipped with its decoding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_compress.recipes.settings import DemoSettings
from keras_compress.search.progress import Progress

__all__ = ["time_models"]


def time_models(
    files: Mapping[str, bytes], packed: bytes, settings: DemoSettings, progress: Progress
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the benchmark's result, and the median of each of `files` in milliseconds.

    Args:
        files: The `.tflite` of each stage, with one called `"baseline"`.
        packed: A packed file, timed as `"model.kcz"`: it says how long unpacking takes.
        settings: Says how many inferences to time.
        progress: Is told which model has its turn.
    """
    from keras_compress.bench import bench

    told = 0

    def tell(line: str, done: int, total: int) -> None:
        nonlocal told
        if told == 0:
            progress.begin("Time the models", total)
        progress.advance(done - told, line)
        told = max(done, 1)

    result = bench(
        {**files, "model.kcz": packed},
        baseline="baseline",
        threads=1,
        num_runs=settings.timed_runs,
        min_secs=settings.timed_seconds,
        progress=tell,
    )
    latencies = {name: result.model(name).median_ms for name in files}
    progress.end("in turns, on one thread")
    return result.to_dict(), latencies
