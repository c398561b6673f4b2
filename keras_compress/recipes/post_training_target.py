"""What a compression without labels is to reach."""

from __future__ import annotations

from dataclasses import dataclass

from keras_compress.errors import KerasCompressError
from keras_compress.recipes.compression_target import parse_size

__all__ = ["PostTrainingTarget"]


@dataclass(frozen=True)
class PostTrainingTarget:
    """The goal of `post_training_compression`: exactly one of the three.

    Args:
        agreement: Least share of held-out images that are answered as before, above 0 and at most
            1. The smallest file within it is searched for. Defaults to `None`.
        size: Most bytes of the packed file, an int or text such as `"470KB"` (1,000 bytes each).
            The file nearest below it is searched for. Defaults to `None`.
        price: What a bit costs, in nats of the divergence between the scores before and after:
            no search, one run. 1e-9 keeps nearly all, 1e-7 loses much. Defaults to `None`.

    Raises:
        KerasCompressError: If none or several are given, or one is out of range.
    """

    agreement: float | None = None
    size: int | None = None
    price: float | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.agreement, self.size, self.price)) != 1:
            raise KerasCompressError(
                f"A target is one of `agreement`, `size` and `price`. Received: {self}."
            )
        if self.size is not None:
            object.__setattr__(self, "size", parse_size(self.size))
        for name, highest in (("agreement", 1.0), ("price", 1.0)):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value <= highest):
                raise KerasCompressError(
                    f"`{name}` must be a number above 0, at most 1. Received: {name}={value!r}."
                )
