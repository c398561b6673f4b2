"""tfmot's guide on m-by-n sparsity with one changed import: two zeros in each four inputs.

python examples/migrate/two_of_four.py
"""

from __future__ import annotations

import keras
import numpy as np
from lit_quadrants import compiled, data, fit, show

# Was: import tensorflow_model_optimization as tfmot
from keras_compress.compat import tfmot

sparsity = tfmot.sparsity.keras


def main():
    x, y = data()
    free = {"pruning_schedule": sparsity.ConstantSparsity(0.5, begin_step=0, frequency=10)}
    by_four = {"sparsity_m_by_n": (2, 4)}
    prune = sparsity.prune_low_magnitude
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            # One input channel holds no four inputs in a row.
            prune(keras.layers.Conv2D(16, 3, activation="relu", name="first"), **free),
            prune(keras.layers.Conv2D(16, 3, activation="relu", name="conv"), **by_four),
            keras.layers.Flatten(),
            prune(keras.layers.Dense(32, activation="relu", name="hidden"), **by_four),
            keras.layers.Dense(4),
        ]
    )
    fit(compiled(model), x, y, [sparsity.UpdatePruningStep()], epochs=4)
    small = sparsity.strip_pruning(model)
    kernel = keras.ops.convert_to_numpy(small.get_layer("hidden").kernel)
    fours = np.moveaxis(kernel.reshape(-1, 4, kernel.shape[-1]), 1, -1)
    print("zeros in each four inputs:", *np.unique((fours == 0).sum(axis=-1)))
    show("2:4", small, x, y)


if __name__ == "__main__":
    main()
