"""What a custom layer says of its pruning."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any


class PrunableLayer(metaclass=abc.ABCMeta):
    """Mixin of custom layers that say what may be pruned."""

    @abc.abstractmethod
    def get_prunable_weights(self) -> Sequence[Any]:
        """Return the variables of the built layer that may be pruned."""
