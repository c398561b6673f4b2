"""Which models are to be timed: their names, their files, and which one is the baseline."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_compress.errors import KerasCompressError
from keras_compress.packing.pack import MAGIC
from keras_compress.storage import read_file
from keras_compress.tflite.schema import check_model_bytes

__all__ = ["Candidate", "Model", "find_candidates"]

Model = str | os.PathLike[str] | bytes


@dataclass(frozen=True)
class Candidate:
    """A model to be timed: what it is called, and where it lies."""

    name: str
    path: Path
    packed: bool
    is_baseline: bool


def find_candidates(
    models: Model | Sequence[Model] | Mapping[str, Model],
    baseline: Model | None,
    scratch: Callable[[], Path],
) -> list[Candidate]:
    """Return what is to be timed, the baseline first.

    Args:
        models: As for `bench`.
        baseline: As for `bench`.
        scratch: Makes a folder to write models into that are given as bytes.

    Raises:
        KerasCompressError: If there are none, or a file is missing or no model.
    """
    folder: Path | None = None
    if isinstance(models, str | os.PathLike | bytes):
        models = [models]
    named: dict[str, Model] = {}
    if isinstance(models, Mapping):
        named.update(models)
    else:
        files = [m for m in (*models, baseline) if isinstance(m, str | os.PathLike)]
        places = {Path(file).absolute() for file in files}
        repeated = {name for name, n in Counter(place.name for place in places).items() if n > 1}
        for model in models:
            named[_free_name(model, named, repeated)] = model
    if not named:
        raise KerasCompressError("`models` must hold at least one model. Received: none.")
    chosen = None
    if baseline is not None:
        chosen = next((name for name, model in named.items() if _same(name, model, baseline)), None)
        if chosen is None:
            repeated = {Path(name).name for name in named}
            chosen = _free_name(baseline, named, repeated, default="baseline")
            named = {chosen: baseline, **named}
        else:
            named = {chosen: named[chosen], **named}
    candidates = []
    for number, (name, model) in enumerate(named.items()):
        if isinstance(model, bytes):
            folder = folder or scratch()
            path = folder / f"{number}.model"
            path.write_bytes(model)
            data = model
        else:
            path = Path(model)
            data = read_file(path)
        packed = data.startswith(MAGIC)
        if not packed:
            check_model_bytes(data, name=name)
        candidates.append(Candidate(name, path, packed, name == chosen))
    return candidates


def _free_name(
    model: Model, taken: Mapping[str, Model], repeated: set[str], default: str = "model"
) -> str:
    """Return the shortest name that tells `model` from others: its file's, or its path.

    `repeated` holds the file names that more than one path ends in.
    """
    if isinstance(model, bytes):
        base = default
    else:
        base = Path(model).name
        if base in repeated:
            base = str(model)
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base} ({number})"
    return name


def _same(name: str, model: Model, baseline: Model) -> bool:
    if isinstance(baseline, str) and name == baseline:
        return True
    if isinstance(model, bytes) or isinstance(baseline, bytes):
        return model is baseline
    return Path(model).absolute() == Path(baseline).absolute()
