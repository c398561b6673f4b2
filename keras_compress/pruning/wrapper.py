"""The wrapper's door of pruning: a layer whose kernels are masked in its forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_compress.engine.weights import kernel_indices
from keras_compress.engine.wrapper import SubstitutedLayer
from keras_compress.errors import KerasCompressError


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

    def __init__(self, layer: Any, indices: Sequence[int] | None = None, **kwargs: Any) -> None:
        if isinstance(layer, SubstitutedLayer):
            raise KerasCompressError(
                "A layer can be wrapped once. Received: "
                f"{layer.name!r}, already in {type(layer).__name__}. Call `finalize` first."
            )
        super().__init__(layer, **kwargs)
        self._requested = None if indices is None else [int(i) for i in indices]
        self.masks: list[Any] = []

    @property
    def indices(self) -> list[int]:
        """Places in `layer.variables` of the masked weights."""
        return kernel_indices(self.layer) if self._requested is None else list(self._requested)

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        if not self.indices:
            raise KerasCompressError(
                "Only a layer with a kernel can be pruned. Received: "
                f"{self.layer.name!r} of type {type(self.layer).__name__}."
            )
        self._requested = self.indices
        for i in self._requested:
            variable = self.layer.variables[i]
            mask = self.add_weight(
                name=f"{variable.name}_mask",
                shape=variable.shape,
                dtype="bool",
                initializer="ones",
                trainable=False,
            )
            self.masks.append(mask)

    def masked_weights(self) -> list[tuple[Any, Any]]:
        """Return `(variable, mask)` for each masked weight of the wrapped layer."""
        variables = [self.layer.variables[i] for i in self.indices]
        return list(zip(variables, self.masks, strict=True))

    def substitutes(self) -> list[tuple[Any, Any]]:
        pairs = []
        for variable, mask in self.masked_weights():
            weight = keras.ops.convert_to_tensor(variable)
            keep = keras.ops.convert_to_tensor(mask)
            pairs.append((variable, keras.ops.where(keep, weight, keras.ops.zeros_like(weight))))
        return pairs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "indices": self._requested}
