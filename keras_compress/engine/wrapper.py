"""The wrapper's door: a layer that runs another layer on substituted weights.

Keras 3 does not let a layer's kernel be replaced by a tensor, but it lets any layer run inside a
`keras.StatelessScope` with chosen values for its variables. The substitution is thus part of the
graph: gradients flow through it on every back end, under XLA and `tf.distribute`.
"""

from __future__ import annotations

from typing import Any

import keras


class SubstitutedLayer(keras.layers.Wrapper):
    """Base of the wrappers: calls `layer` with the values that `substitutes()` gives.

    Args:
        layer: The layer to wrap. The wrapper takes over its name, so that `model.get_layer`
            finds it where it was.
    """

    #: The exporter refuses such layers and tells the user to call `finalize` first.
    requires_finalize = True

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        kwargs.setdefault("name", layer.name)
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, **kwargs)
        self.supports_masking = layer.supports_masking

    def substitutes(self) -> list[tuple[Any, Any]]:
        """Return `(variable of the wrapped layer, tensor to use instead)` pairs."""
        raise NotImplementedError

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        outer_values = [(variable, variable.value) for variable in self.layer.variables]
        replaced = {id(variable): value for variable, value in self.substitutes()}
        mapping = [(v, replaced.get(id(v), value)) for v, value in outer_values]
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            before = {id(v): scope.get_current_value(v) for v in self.layer.variables}
            outputs = self.layer(inputs, *args, **kwargs)
        # What the layer changed in itself (moving averages, seeds) happens after all.
        for variable in self.layer.non_trainable_variables:
            value = scope.get_current_value(variable)
            if id(variable) not in replaced and value is not before[id(variable)]:
                variable.assign(value)
        for loss in scope.losses:
            self.add_loss(loss)
        return outputs
