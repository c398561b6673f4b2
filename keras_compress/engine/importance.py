"""Gradients of a model's loss, from which importance is told, on every back end.

Weights matter by their gradients (Fisher information, Taylor expansions), and channels by those of
factors that stand before them. Both are variables here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["gradient_function", "loss_function"]


def gradient_function(
    value_of: Callable[..., Any], variables: list[keras.Variable]
) -> Callable[..., list[np.ndarray]]:
    """Return a function that takes arrays and returns the gradients of `value_of(*arrays)`.

    Args:
        value_of: Takes tensors, returns a scalar; reads `variables`.
        variables: `keras.Variable`s to take the gradients by.

    Returns:
        A function of arrays; of each variable it returns an array of the same shape.

    Raises:
        KerasCompressError: If the back end has no gradients here (TensorFlow, JAX and torch have).
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function(reduce_retracing=True)
        def gradients(*inputs: Any) -> Any:
            with tf.GradientTape() as tape:
                value = value_of(*inputs)
            found = tape.gradient(value, [v.value for v in variables], unconnected_gradients="zero")
            return [tf.convert_to_tensor(each) for each in found]

        def on_tensorflow(*inputs: Any) -> list[np.ndarray]:
            tensors = keras.tree.map_structure(tf.convert_to_tensor, inputs)
            return [gradient.numpy() for gradient in gradients(*tensors)]

        return on_tensorflow
    if backend == "jax":
        import jax

        def with_values(values: Tensor, *inputs: Any) -> Tensor:
            with keras.StatelessScope(list(zip(variables, values, strict=True))):
                return value_of(*inputs)

        step = jax.jit(jax.grad(with_values))
        return lambda *inputs: [np.asarray(g) for g in step([v.value for v in variables], *inputs)]
    if backend == "torch":

        def on_torch(*inputs: Any) -> list[np.ndarray]:
            import torch

            value = value_of(*keras.tree.map_structure(keras.ops.convert_to_tensor, inputs))
            found = torch.autograd.grad(value, [v.value for v in variables], allow_unused=True)
            return [
                np.zeros(tuple(v.shape), "float32") if g is None else g.detach().cpu().numpy()
                for g, v in zip(found, variables, strict=True)
            ]

        return on_torch
    raise KerasCompressError(
        f'Gradients are taken on TensorFlow, JAX and torch. Received: the back end "{backend}".'
    )


def loss_function(model: keras.Model, loss: Any = None) -> Callable[[Any, Any, Any], Any]:
    """Return a function of inputs, targets and outputs that gives the mean loss.

    Args:
        model: The model.
        loss: A loss, its name, or a function of targets and outputs. Defaults to `None`: the loss
            that the model is compiled with.

    Raises:
        KerasCompressError: If there is no loss.
    """
    if loss is not None:
        function = keras.losses.get(loss) if isinstance(loss, str) else loss
        return lambda x, y, outputs: keras.ops.mean(function(y, outputs))
    if not getattr(model, "compiled", False) or getattr(model, "loss", None) is None:
        raise KerasCompressError(
            f"Gradients need a loss. Received: {model.name!r}, which isn't compiled with one. Pass "
            "`loss`, or compile the model."
        )
    return lambda x, y, outputs: model.compute_loss(x=x, y=y, y_pred=outputs, training=False)
