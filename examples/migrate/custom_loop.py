"""tfmot's guide to loops of one's own with one changed import: a `GradientTape` under masks.

The tape and the summaries are TensorFlow's alone.

python examples/migrate/custom_loop.py
"""

from __future__ import annotations

import os
import tempfile

import keras
import tensorflow as tf
from lit_quadrants import data, show, trained

# Was: import tensorflow_model_optimization as tfmot
from keras_compress.compat import tfmot

sparsity = tfmot.sparsity.keras
UNUSED = -1


def main():
    x, y = data()
    schedule = sparsity.ConstantSparsity(0.5, begin_step=1, frequency=10)
    model = sparsity.prune_low_magnitude(trained(x, y), schedule)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.optimizer = optimizer = keras.optimizers.Adam()
    with tempfile.TemporaryDirectory() as folder:
        steps, summaries = sparsity.UpdatePruningStep(), sparsity.PruningSummaries(log_dir=folder)
        steps.set_model(model)
        summaries.set_model(model)
        steps.on_train_begin()
        for _ in range(2):
            summaries.on_epoch_begin(epoch=UNUSED)
            for begin in range(0, len(x), 32):
                steps.on_train_batch_begin(batch=UNUSED)
                with tf.GradientTape() as tape:
                    value = loss(y[begin : begin + 32], model(x[begin : begin + 32], training=True))
                variables = model.trainable_variables
                gradients = tape.gradient(value, variables)
                optimizer.apply_gradients(zip(gradients, variables, strict=True))
            steps.on_epoch_end(batch=UNUSED)
        print("summaries in", *sorted(os.listdir(folder)))
    show("own loop", sparsity.strip_pruning(model), x, y)


if __name__ == "__main__":
    main()
