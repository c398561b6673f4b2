"""What a compression is to reach: a size, or an accuracy that may not be undercut."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from keras_compress.argument_checks import check_max_drop
from keras_compress.errors import KerasCompressError

__all__ = ["CompressionTarget", "parse_size"]

_UNITS = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "kib": 1024, "mib": 1024**2}


@dataclass(frozen=True)
class CompressionTarget:
    """The goal of `deep_compression`: exactly one of the two.

    Args:
        size: Most bytes of the packed file, an int or text such as `"30KB"` (1,000 bytes each)
            or `"30KiB"`. The most accurate file within it is searched for. Defaults to `None`.
        max_drop: Most percentage points of accuracy to lose on the held-out data. The smallest
            file within it is searched for. Defaults to `None`.

    Raises:
        KerasCompressError: If none or both are given, or one is out of range.
    """

    size: int | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        if (self.size is None) == (self.max_drop is None):
            raise KerasCompressError(
                "A target is one of `size` and `max_drop`. "
                f"Received: size={self.size!r} and max_drop={self.max_drop!r}."
            )
        if self.size is not None:
            object.__setattr__(self, "size", parse_size(self.size))
        else:
            check_max_drop(self.max_drop)

    def is_met(self, size: int, accuracy: float, base_accuracy: float) -> bool:
        """Return whether a file of `size` bytes meets it; accuracies are from 0 to 1."""
        if self.size is not None:
            return size <= self.size
        # A drop of 0.2 points of 10,000 images is 20 images, whatever floats make of it.
        return 100 * (base_accuracy - accuracy) <= (self.max_drop or 0.0) + 1e-9


def parse_size(size: object) -> int:
    """Return bytes from an int or from text such as `"30KB"`.

    Raises:
        KerasCompressError: If it isn't a size above 0.
    """
    number = size
    if isinstance(size, str):
        match = re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,6})?)\s*([kKmM]?[iI]?[bB]?)\s*", size)
        unit = _UNITS.get(match[2].lower()) if match else None
        number = math.floor(float(match[1]) * unit) if match and unit else None
    if isinstance(number, bool) or not isinstance(number, int) or number <= 0:
        raise KerasCompressError(
            f"A size is a number of bytes, or text such as 30KB or 30KiB. Received: {size!r}."
        )
    return number
