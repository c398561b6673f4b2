"""How much each weight matters: the diagonal of the Fisher information, from gradients.

The second derivative of the loss weighs the error that sharing a value makes (Choi, El-Khamy
and Lee, arXiv 1612.01543, section 3: Hessian-weighted k-means). Near a minimum its expectation
is that of the squared gradient, which any framework gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.engine.importance import gradient_function
from keras_compress.engine.weights import Selectors, select_weights
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


def fisher_importance(
    model: keras.Model,
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
    gradients_of = gradient_function(
        lambda x, y: keras.ops.mean(loss(y, model(x, training=False))), variables
    )
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


def importance_for(label: str, values: Tensor, importance: Any) -> np.ndarray | None:
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
