"""The report every technique gives: per weight what was done, or why it was left alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from keras_compress.engine.weights import WeightRef

#: The action of a row of which nothing was done.
LEFT_ALONE = "left alone"


@dataclass(frozen=True)
class WeightReport:
    """One weight in a `Report`.

    Attributes:
        layer: Path of the layer in the model.
        weight: Name of the variable within the layer.
        shape: Shape of the variable.
        action: What was done: `"pruned"`, `"clustered"`, `"rounded"`, `"values shared"`, several of
            these, or `"left alone"`.
        reason: Why it was left alone; empty otherwise.
        size: Number of values.
        zeros: Values that are exactly zero.
        distinct: Distinct values, zero included.
    """

    layer: str
    weight: str
    shape: tuple[int, ...]
    action: str
    reason: str
    size: int
    zeros: int
    distinct: int

    @property
    def sparsity(self) -> float:
        """Share of zeros, from 0 to 1."""
        return self.zeros / self.size if self.size else 0.0


@dataclass(frozen=True)
class Report:
    """What a technique did to a model, weight by weight."""

    technique: str
    weights: tuple[WeightReport, ...]

    def __iter__(self) -> Iterator[WeightReport]:
        return iter(self.weights)

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def sparsity(self) -> float:
        """Share of zeros among the weights the technique worked on, from 0 to 1."""
        done = [row for row in self.weights if row.action != LEFT_ALONE]
        size = sum(row.size for row in done)
        return sum(row.zeros for row in done) / size if size else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values that `json.dumps` takes."""
        rows = []
        for row in self.weights:
            record = asdict(row)
            record["shape"] = list(row.shape)
            record["sparsity"] = row.sparsity
            rows.append(record)
        return {"technique": self.technique, "sparsity": self.sparsity, "weights": rows}

    def __str__(self) -> str:
        header = ("layer", "weight", "shape", "action", "sparsity", "distinct", "reason")
        rows = [header]
        for row in self.weights:
            shape = "x".join(map(str, row.shape)) or "scalar"
            rows.append(
                (
                    row.layer,
                    row.weight,
                    shape,
                    row.action,
                    f"{row.sparsity:.1%}",
                    str(row.distinct),
                    row.reason,
                )
            )
        widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows]
        return "\n".join(line.rstrip() for line in lines)


def values_of(variable: keras.Variable) -> np.ndarray:
    """Return the value of a Keras variable as an array."""
    return np.asarray(keras.ops.convert_to_numpy(variable))


def weight_report(
    ref: WeightRef, values: np.ndarray, action: str, reason: str = ""
) -> WeightReport:
    """Return the row for one weight, counting zeros and distinct values of `values`."""
    return WeightReport(
        layer=ref.path,
        weight=ref.name,
        shape=ref.shape,
        action=action,
        reason=reason,
        size=int(values.size),
        zeros=int(values.size - np.count_nonzero(values)),
        distinct=int(np.unique(values).size),
    )
