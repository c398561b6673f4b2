"""What became of each weight: zeros, distinct values and histogram, before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_compress.engine.weights import iter_weights

if TYPE_CHECKING:
    import keras

__all__ = ["layer_facts"]

_BINS = 61
_FEWEST_FOR_A_HISTOGRAM = 64


def layer_facts(
    before: keras.Model, after: keras.Model, reports: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return one record for each weight that the two models share by layer and name.

    Args:
        before: The model before it was compressed.
        after: The same architecture afterwards, finalized.
        reports: What the techniques reported, as their `to_dict` gives it.

    Returns:
        Records as a report lists them under `layers`: name, type, weight, shape, weights,
        zeros, sparsity, distinct_values (these of `after`), before, after, actions.
    """
    actions: dict[tuple[str, str], list[dict[str, str]]] = {}
    for report in reports:
        for row in report["weights"]:
            actions.setdefault((row["layer"], row["weight"]), []).append(
                {
                    "technique": report["technique"],
                    "action": row["action"],
                    "reason": row["reason"],
                }
            )
    old = {(ref.path, ref.name): ref.variable.numpy() for ref in iter_weights(before)}
    records = []
    for ref in iter_weights(after):
        key = ref.path, ref.name
        values = ref.variable.numpy()
        if key not in old or old[key].shape != values.shape:
            continue
        state = _state(values, old[key])
        records.append(
            {
                "name": ref.path,
                "type": type(ref.owners[-1] if ref.owners else after).__name__,
                "weight": ref.name,
                "shape": [int(size) for size in values.shape],
                "weights": int(values.size),
                "zeros": state["zeros"],
                "sparsity": state["zeros"] / values.size if values.size else 0.0,
                "distinct_values": state["distinct_values"],
                "before": _state(old[key], values),
                "after": state,
                "actions": actions.get(key, []),
            }
        )
    return records


def _state(values: NDArray[np.floating], other: NDArray[np.floating]) -> dict[str, Any]:
    """Facts of `values`; the histogram's range takes in `other`, so that the two compare."""
    zeros = int(values.size - np.count_nonzero(values))
    record: dict[str, Any] = {"zeros": zeros, "distinct_values": int(np.unique(values).size)}
    reach = float(max(np.abs(values).max(initial=0), np.abs(other).max(initial=0)))
    # A bias has too few values for a shape, and no technique touches it.
    if values.ndim > 1 and values.size >= _FEWEST_FOR_A_HISTOGRAM and reach > 0:
        counts, _ = np.histogram(values[values != 0], bins=_BINS, range=(-reach, reach))
        record["histogram"] = {"low": -reach, "high": reach, "counts": counts.tolist()}
    return record
