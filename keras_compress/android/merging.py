"""One result from a phone's and this machine's, and the report that shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_compress.bench import BenchmarkResult
from keras_compress.errors import KerasCompressError

__all__ = ["device_name", "merge_results", "report_with"]

_THIS_MACHINE = "this machine"


def device_name(result: BenchmarkResult) -> str:
    """Return what a phone calls itself, such as `"Google Pixel 9"`."""
    parts = [str(result.environment.get(key) or "") for key in ("manufacturer", "model")]
    return " ".join(part for part in parts if part) or "phone"


def merge_results(phone: BenchmarkResult, host: BenchmarkResult | None) -> BenchmarkResult:
    """Return one result with the rows of both, each named for the machine it was timed on.

    Ratios are those of each machine's own baseline: a phone is never held against a host. The two
    documents stay whole under `parts`.

    Args:
        phone: The phone's result.
        host: This machine's, or `None`: then the phone's is returned as it is.
    """
    if host is None:
        return phone
    merged = phone.to_dict()
    device = device_name(phone)
    models = []
    for name, part in ((device, phone), (_THIS_MACHINE, host)):
        for entry in part.to_dict()["models"]:
            entry["device"] = name
            entry["name"] = f"{entry['name']} ({name})"
            if "comparison" in entry:
                entry["comparison"]["baseline"] += f" ({name})"
            models.append(entry)
    merged["models"] = models
    cpus = (
        part.environment.get("cpu") or part.environment.get("machine") for part in (phone, host)
    )
    merged["environment"]["cpu"] = "; ".join(
        f"{name}: {cpu}" for name, cpu in zip((device, _THIS_MACHINE), cpus, strict=True)
    )
    merged["parts"] = {"phone": phone.to_dict(), "host": host.to_dict()}
    return BenchmarkResult(merged)


def report_with(result: BenchmarkResult, folder: Path) -> dict[str, Any]:
    """Return the report of `folder` with these timings, or a new one if there is none.

    Raises:
        KerasCompressError: If the report that is there can't be read.
    """
    from keras_compress.report import LARGEST_REPORT, parse
    from keras_compress.storage import read_file

    old = folder / "report.json"
    if old.exists():
        report = parse(read_file(old, limit=LARGEST_REPORT), origin=str(old))
        if not isinstance(report.get("schema_version"), int):
            raise KerasCompressError(
                f"The timings are put into a report. Received: {old}, which is another JSON. "
                "Name another folder with --out."
            )
        return {**report, "bench": result.to_dict()}
    stages = []
    for model in result.to_dict()["models"]:
        packed = model["format"] == "kcz"
        stage = {
            "name": model["name"],
            "title": model["name"],
            "tflite_bytes": model["decode"]["model_bytes"],
            "latency_ms": model["latency_metrics"]["median_ms"],
            "accuracy": model.get("accuracy", {}).get("top1"),
        }
        if packed:
            stage["packed_bytes"] = model["decode"]["file_bytes"]
        stages.append(stage)
    return {
        "schema_version": 1,
        "title": f"Timings on {device_name(result)}",
        "created": result.to_dict()["created"],
        "stages": stages,
        "bench": result.to_dict(),
    }
