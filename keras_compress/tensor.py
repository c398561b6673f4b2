"""The type of tensors in signatures."""

from __future__ import annotations

from typing import Any, TypeAlias

# What `keras.ops` takes and gives: a tensor of the back end, a `keras.KerasTensor` while a graph is
# built, or a NumPy array. The back ends have no common class that a type checker knows.
Tensor: TypeAlias = Any
