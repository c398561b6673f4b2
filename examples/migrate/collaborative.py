"""tfmot's guides to PQAT, CQAT and PCQAT with one changed import.

Pruned and clustered weights are trained on 8-bit integers, with and without a scheme that keeps
their zeros and shared values.

python examples/migrate/collaborative.py
"""

from __future__ import annotations

import numpy as np
from lit_quadrants import compiled, data, fit, trained

# Was: import tensorflow_model_optimization as tfmot
from keras_compress.compat import tfmot

sparsity, clustering = tfmot.sparsity.keras, tfmot.clustering.keras
quantization, combine = tfmot.quantization.keras, tfmot.experimental.combine


def pruned(base, x, y):
    schedule = sparsity.ConstantSparsity(0.5, begin_step=0, frequency=10)
    model = compiled(sparsity.prune_low_magnitude(base, pruning_schedule=schedule), 1e-4)
    fit(model, x, y, [sparsity.UpdatePruningStep()])
    return sparsity.strip_pruning(model)


def clustered(base, x, y, **settings):
    model = clustering.cluster_weights(base, 8, **settings)
    fit(compiled(model, 1e-4), x, y, epochs=1)
    return clustering.strip_clustering(model)


def show(title, model, x, y):
    accuracy = model.evaluate(x, y, verbose=0)[1]
    for layer in model.layers:
        for weight in layer.weights:
            if "kernel" in weight.name and "hidden" in layer.name:
                values = weight.numpy()
                zeros, distinct = np.mean(values == 0), np.unique(values).size
                print(f"{title}: {zeros:.1%} zeros, {distinct} values, accuracy {accuracy:.1%}")


def quantized(title, model, scheme, x, y):
    annotated = quantization.quantize_annotate_model(model)
    aware = quantization.quantize_apply(annotated, scheme)
    show(title, fit(compiled(aware, 1e-4), x, y, epochs=1), x, y)


def main():
    x, y = data()
    base = trained(x, y)
    sparse = pruned(base, x, y)
    show("QAT", fit(compiled(quantization.quantize_model(sparse), 1e-4), x, y, epochs=1), x, y)
    quantized("PQAT", sparse, combine.Default8BitPrunePreserveQuantizeScheme(), x, y)
    shared = clustered(base, x, y, cluster_per_channel=True)
    quantized("CQAT", shared, combine.Default8BitClusterPreserveQuantizeScheme(False), x, y)
    both = clustered(sparse, x, y, preserve_sparsity=True)
    quantized("PCQAT", both, combine.Default8BitClusterPreserveQuantizeScheme(), x, y)


if __name__ == "__main__":
    main()
