"""What a wrapped optimizer does to weights beside its update, told by what is public of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    import keras


def updating_optimizers(optimizer: keras.Optimizer) -> Iterator[keras.Optimizer]:
    """Yield the optimizers within `optimizer` that update weights: most often itself alone."""
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        yield from updating_optimizers(inner)
        return
    several = getattr(optimizer, "optimizers", None)
    if several is None:
        yield optimizer
        return
    for each in several:
        yield from updating_optimizers(each)


def averages_weights(optimizer: keras.Optimizer) -> bool:
    """Whether moving averages are kept, which may be put in the place of the weights."""
    return any(each.use_ema for each in updating_optimizers(optimizer))


def clips_by_norm(optimizer: keras.Optimizer) -> bool:
    """Whether gradients are clipped by the norm of a weight's or of all."""
    return any(
        each.clipnorm is not None or each.global_clipnorm is not None
        for each in updating_optimizers(optimizer)
    )


def moving_averages(
    optimizer: keras.Optimizer, variable: keras.Variable, variables: Sequence[keras.Variable]
) -> list[keras.Variable]:
    """Return the variables that hold moving averages of `variable`, at most one an optimizer.

    Args:
        optimizer: A built optimizer.
        variable: A trained variable.
        variables: Those that `optimizer` was built with, in their order.

    Raises:
        KerasCompressError: If averages are kept and that of `variable` can't be told.
    """
    name = _name_of_average(variable)
    # Variables of one name are told apart by their order, which is that of their averages.
    namesakes = [v for v in variables if _name_of_average(v) == name and v.shape == variable.shape]
    place = next(i for i, v in enumerate(namesakes) if v is variable)
    found = []
    updating = list(updating_optimizers(optimizer))
    for each in updating:
        if not each.use_ema:
            continue
        averages = [v for v in each.variables if v.name == name and v.shape == variable.shape]
        if len(averages) == len(namesakes):
            found.append(averages[place])
        elif averages or len(updating) == 1:
            raise KerasCompressError(
                "Moving averages of constrained weights must be constrained too, and are found "
                f"by the names that Keras gives them. Received: {type(each).__name__} with "
                f"{len(averages)} variables named {name!r}. Give the layers names of their own, "
                "or compile with `use_ema=False`."
            )
    return found


def _name_of_average(variable: keras.Variable) -> str:
    return f"{variable.path.replace('/', '_')}_average"
