"""What a custom layer says of its clustering."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

from keras_compress.compat.tfmot.clustering.algorithms import ClusteringAlgorithm


class ClusterableLayer(metaclass=abc.ABCMeta):
    """Mixin of custom layers that say what may be clustered."""

    @abc.abstractmethod
    def get_clusterable_weights(self) -> Sequence[tuple[str, Any]]:
        """Return `(name, variable)` pairs of the built layer."""

    def get_clusterable_algorithm(self, weight_name: str) -> type[ClusteringAlgorithm] | None:
        """Return the `ClusteringAlgorithm` class of a weight, or `None` for the usual look-up."""
        return None
