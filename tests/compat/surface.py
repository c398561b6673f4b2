"""Calls over tfmot's public surface, in words that both versions of Keras understand.

`calls(keras, sparsity, clustering)` returns kind -> name -> a call without arguments. What it
returns, or the type of what it raises, is the same on tfmot and on its face here:
`benchmarks/tfmot_surface.py` makes them on both and counts; `test_surface.py` holds the face
against what tfmot said.
"""

from __future__ import annotations

import numpy as np

from tests.compat import (
    surface_clustering,
    surface_models,
    surface_nets,
    surface_policy,
    surface_pruning,
    surface_wrappers,
)

MODULES = (
    surface_pruning,
    surface_clustering,
    surface_models,
    surface_policy,
    surface_wrappers,
    surface_nets,
)

#: What a refusal is known by, the most special first.
ERRORS = ("InvalidArgumentError", "KeyError", "ValueError", "AttributeError", "TypeError")


def calls(keras, sparsity, clustering):
    """Return kind -> name -> call."""
    found = {}
    for module in MODULES:
        found.update(module.calls(keras, sparsity, clustering))
    return found


def outcome(call):
    """Return what `call` returns, in plain numbers and texts, or what it raises."""
    try:
        return plain(call())
    except Exception as error:  # whatever it is, it is compared
        names = [kind.__name__ for kind in type(error).__mro__]
        return f"raises {next((name for name in ERRORS if name in names), names[0])}"


def plain(value):
    """Return `value` in lists, numbers and texts; floats to five digits."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    array = np.asarray(value)
    if array.dtype == bool:
        return array.tolist()
    if array.size > 64:
        # A digest of its values and of where they are.
        flat = array.astype("float64").ravel()
        weighted = flat * np.cos(np.arange(flat.size))
        return [list(array.shape), *plain(np.array([flat.sum(), weighted.sum()]))]
    if np.issubdtype(array.dtype, np.integer):
        return array.tolist()
    return [float(f"{x:.5g}") for x in array.astype("float64").ravel()] + list(array.shape)


def alike(ours, theirs):
    """Whether two outcomes agree; numbers to a ten thousandth of their size."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(alike(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        pairs = zip(ours, theirs, strict=False)
        return len(ours) == len(theirs) and all(alike(a, b) for a, b in pairs)
    numbers = (int, float)
    if isinstance(ours, numbers) and isinstance(theirs, numbers):
        return bool(np.isclose(ours, theirs, rtol=1e-4, atol=1e-5))
    return ours == theirs
