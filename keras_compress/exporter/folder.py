"""The export folder: the model, the same packed, and the report beside them."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.exporter.binary_rewrite import FALLBACK_NAME
from keras_compress.exporter.export_result import Export
from keras_compress.exporter.notes import shuffle_summary
from keras_compress.exporter.pipeline import convert
from keras_compress.storage import Origins, write_files

if TYPE_CHECKING:
    import keras

__all__ = ["export", "report_of", "write_folder"]

SCHEMA_VERSION = 1


def export(
    model: keras.Model,
    folder: str | os.PathLike[str],
    *,
    codec: str = "auto",
    made_from: Origins = None,
    **options: Any,
) -> Export:
    """Convert a model and write `model.tflite`, `model.kcz` and the report into `folder`.

    For a model with binary layers `model.fallback.tflite` lies beside them: the same net in
    built-in operators. The report is `report.json` and, to be read, `report.html`. Nothing is
    written before conversion, verification and packing are done.

    Args:
        model: As for `convert`.
        folder: Where to write; made if need be.
        codec: How `model.kcz` is packed, as for `keras_compress.pack`. Defaults to `"auto"`.
        made_from: The file, or files, that the model comes from: who may not read them may not
            read the new ones either. Defaults to `None`.
        **options: The other arguments of `convert`.

    Returns:
        An `Export`.

    Raises:
        ExportError: As for `convert`.
        KerasCompressError: If the folder can't be written to.
    """
    from keras_compress.packing import pack

    exported = convert(model, **options)
    if options.get("progress"):
        options["progress"]("Packing")
    packed = pack(exported.tflite, codec=codec)
    report = report_of(model, exported, packed)
    fallback = exported.binary.fallback.tflite if exported.binary else None
    write_folder(
        folder,
        tflite=exported.tflite,
        packed=packed,
        report=report,
        fallback=fallback,
        made_from=made_from,
    )
    return exported


def write_folder(
    folder: str | os.PathLike[str],
    *,
    tflite: bytes,
    packed: bytes,
    report: dict[str, Any],
    fallback: bytes | None = None,
    made_from: Origins = None,
) -> list[Path]:
    """Write model, packed model, fallback if there is one, and report; return their paths.

    Who may not read `made_from`, if it is given, may not read them either.

    Raises:
        KerasCompressError: If the folder can't be written to.
    """
    from keras_compress.report import render

    return write_files(
        folder,
        {
            "model.tflite": tflite,
            "model.kcz": packed,
            **({} if fallback is None else {FALLBACK_NAME: fallback}),
            "report.json": json.dumps(report, indent=1, allow_nan=False) + "\n",
            "report.html": render(report),
        },
        made_from=made_from,
    )


def report_of(model: keras.Model, exported: Export, packed: bytes) -> dict[str, Any]:
    """Return the content of `report.json`, in the form that `keras_compress.report` reads."""
    from keras_compress.packing import inspect
    from keras_compress.version import __version__

    name = model.name
    said = [*exported.notes, shuffle_summary(exported.shuffles)]
    if exported.binary:
        said.append(exported.binary.advice)
    float32_bytes = 4 * sum(int(np.prod(w.shape, dtype=np.int64)) for w in model.weights)
    verified = {name: exported.verification.to_dict()} if exported.verification else {}
    stage = {
        "name": name,
        "title": name,
        "precision": exported.precision,
        "tflite_bytes": len(exported.tflite),
        "packed_bytes": len(packed),
        "shipped": True,
        "note": " ".join(line for line in said if line),
    }
    stages = []
    if exported.binary:
        fallback = exported.binary.fallback
        fallback_stage = {
            "name": FALLBACK_NAME,
            "title": f"{FALLBACK_NAME}, built-in operators",
            "precision": fallback.precision,
            "tflite_bytes": len(fallback.tflite),
        }
        stages = [fallback_stage, stage]
        if fallback.verification:
            verified[FALLBACK_NAME] = fallback.verification.to_dict()
    return {
        "schema_version": SCHEMA_VERSION,
        "title": f"{name}, {exported.precision}",
        "created": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "compressed": stage,
        "stages": stages,
        "packed": inspect(packed).to_dict(),
        "verification": verified,
        "binary": exported.binary.to_dict() if exported.binary else None,
        "shuffles": [shuffle.to_dict() for shuffle in exported.shuffles],
        "preservation": {name: exported.preservation.to_dict()},
        "settings": {
            "precision": exported.precision,
            **exported.options,
            "float32_weight_bytes": float32_bytes,
        },
        "environment": {
            "keras_compress": __version__,
            "python": sys.version.split()[0],
            **_versions(),
        },
    }


def _versions() -> dict[str, str]:
    from keras_compress.installed import version_of

    names = ("tensorflow", "keras", "numpy", "ai-edge-litert")
    found = {name: version_of(name.replace("-", "_")) for name in names}
    return {name: version for name, version in found.items() if version is not None}
