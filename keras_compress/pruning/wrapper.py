"""The wrapper of pruning: a layer whose kernels are masked in its forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.engine.wrapper import SubstitutedLayer

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


@keras.saving.register_keras_serializable(package="keras_compress")
class Pruned(SubstitutedLayer):
    """Runs a layer with `kernel * mask` in the place of its kernels.

    The masks are non-trainable weights of the wrapper (bool, shaped like the kernels, all `True`
    at first); `PruningCallback` or `Pruner` moves them along the schedule. Gradients reach kept
    weights only.

    Example:

    ```python
    model = keras.Sequential([
        keras.Input((28, 28, 1)),
        Pruned(keras.layers.Conv2D(20, 5)),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ])
    ```

    Args:
        layer: The layer to wrap.
        indices: Places in `layer.variables` of the weights to mask. Defaults to `None`: the
            layer's kernels.

    Raises:
        KerasCompressError: If the layer is wrapped already or has no kernel.
    """

    action = "pruned"

    #: The callback that moves the masks.
    driver = "PruningCallback"

    def __init__(
        self, layer: keras.Layer, indices: Sequence[int] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(layer, indices, **kwargs)
        self.masks: list[keras.Variable] = []

    def add_state(self, variable: keras.Variable) -> None:
        mask = self.add_weight(
            name=f"{variable.name}_mask",
            shape=variable.shape,
            dtype="bool",
            initializer="ones",
            trainable=False,
        )
        self.masks.append(mask)

    def masked_weights(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """Return `(variable, mask)` for each masked weight of the wrapped layer."""
        return list(zip(self.substituted_weights(), self.masks, strict=True))

    def set_masks(self, masks: Sequence[Any]) -> None:
        """Put `masks` (bool arrays, `True` where kept) in force and zero what they prune."""
        for (variable, mask), value in zip(self.masked_weights(), masks, strict=True):
            mask.assign(value)
            weight = keras.ops.convert_to_numpy(variable)
            variable.assign(np.where(value, weight, np.zeros_like(weight)))

    def why_idle(self) -> str | None:
        if all(np.all(keras.ops.convert_to_numpy(mask)) for mask in self.masks):
            return f"its mask, which `{self.driver}` moves, keeps every weight"
        return None

    def substitutes(self) -> list[tuple[keras.Variable, Tensor]]:
        pairs = []
        for variable, mask in self.masked_weights():
            weight = keras.ops.convert_to_tensor(variable)
            keep = keras.ops.convert_to_tensor(mask)
            pairs.append((variable, keras.ops.where(keep, weight, keras.ops.zeros_like(weight))))
        return pairs
