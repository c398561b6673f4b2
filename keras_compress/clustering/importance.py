"""How much each weight matters: the diagonal of the Fisher information, from gradients.

The second derivative of the loss weighs the error that sharing a value makes (Choi, El-Khamy
and Lee, arXiv 1612.01543, section 3: Hessian-weighted k-means). Near a minimum its expectation
is that of the squared gradient, which any framework gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_compress.engine.weights import Selectors, select_weights
from keras_compress.errors import KerasCompressError


def fisher_importance(
    model: Any,
    x: np.ndarray,
    y: np.ndarray,
    loss: Callable[[Any, Any], Any],
    *,
    layers: Selectors = None,
    batches: int = 64,
    batch_size: int = 8,
) -> dict[str, np.ndarray]:
    """Return the mean squared gradient of each value, for `ClusteringConfig(importance=...)`.

    Small batches are nearer to the gradient of single samples, and slower. A hundredth of the
    mean is added everywhere: no value is worthless because a few samples didn't use it.

    Example:

    ```python
    loss = keras.losses.SparseCategoricalCrossentropy()
    importance = fisher_importance(model, x[:512], y[:512], loss)
    config = ClusteringConfig(16, importance=importance)
    ```

    Args:
        model: A built model.
        x: Inputs, samples first.
        y: Targets.
        loss: Called with targets and outputs, returns a scalar or values to be averaged.
        layers: Which layers, as in `ClusteringConfig`. Defaults to `None`.
        batches: Batches to average over, if there are so many samples. Defaults to `64`.
        batch_size: Samples of each. Defaults to `8`.

    Returns:
        Arrays shaped like the weights, of mean 1, by `path/name` of the weight.

    Raises:
        KerasCompressError: If there are no samples or no weights, a gradient is missing or not
            finite, or the back end has no gradients here (TensorFlow, JAX and torch have).
    """
    chosen = select_weights(model, layers).chosen
    count = min(batches, -(-len(x) // batch_size))
    if not chosen or count < 1:
        raise KerasCompressError(
            "Importance needs samples and weights to compress. Received: "
            f"{len(x)} samples and {len(chosen)} weights."
        )
    variables = [ref.variable for ref in chosen]
    gradients_of = _gradient_function(model, variables, loss)
    sums = [np.zeros(ref.shape, dtype=np.float64) for ref in chosen]
    for batch in range(count):
        part = slice(batch * batch_size, (batch + 1) * batch_size)
        for total, gradient in zip(sums, gradients_of(x[part], y[part]), strict=True):
            total += np.square(np.asarray(gradient, dtype=np.float64))
    found = {}
    for ref, total in zip(chosen, sums, strict=True):
        mean = total.mean()
        if not np.isfinite(mean) or mean <= 0:
            raise KerasCompressError(
                "Importance needs finite gradients that aren't all zero. Received: "
                f"{ref.label} with a mean square of {mean / count:g}."
            )
        found[ref.label] = ((total / mean + 0.01) / 1.01).astype(np.float32)
    return found


def _gradient_function(model: Any, variables: list[Any], loss: Any) -> Any:
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function(reduce_retracing=True)
        def gradients(x: Any, y: Any) -> Any:
            with tf.GradientTape() as tape:
                value = keras.ops.mean(loss(y, model(x, training=False)))
            found = tape.gradient(value, [variable.value for variable in variables])
            return [tf.convert_to_tensor(each) for each in found]

        return lambda x, y: [g.numpy() for g in gradients(tf.constant(x), tf.constant(y))]
    if backend == "jax":
        import jax

        def value_of(values: Any, x: Any, y: Any) -> Any:
            with keras.StatelessScope(list(zip(variables, values, strict=True))):
                return keras.ops.mean(loss(y, model(x, training=False)))

        step = jax.jit(jax.grad(value_of))
        return lambda x, y: step([variable.value for variable in variables], x, y)
    if backend == "torch":

        def torch_gradients(x: Any, y: Any) -> Any:
            import torch

            value = keras.ops.mean(loss(keras.ops.convert_to_tensor(y), model(x, training=False)))
            found = torch.autograd.grad(value, [variable.value for variable in variables])
            return [gradient.detach().cpu().numpy() for gradient in found]

        return torch_gradients
    raise KerasCompressError(
        f'Gradients are taken on TensorFlow, JAX and torch. Received: the back end "{backend}".'
    )


def importance_for(label: str, values: Any, importance: Any) -> np.ndarray | None:
    """Return the importance of the weight `label`, checked, or `None` where none is given."""
    if importance is None or label not in importance:
        return None
    found = np.asarray(importance[label], dtype=np.float64)
    shape = np.shape(values)
    if found.shape != shape or not np.isfinite(found).all() or found.min() < 0 or not found.any():
        raise KerasCompressError(
            "An importance must have the shape of its weight, and be finite, at least 0 and not "
            f"all 0. Received: {found.shape} for {label} of shape {shape}."
        )
    return found / found.mean()
