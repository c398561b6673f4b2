"""tfmot's guide on sparsity-preserving clustering with one changed import.

python examples/migrate/sparse_clustering.py
"""

from __future__ import annotations

from lit_quadrants import compiled, data, fit, show, trained

# Was: import tensorflow_model_optimization as tfmot
from keras_compress.compat import tfmot

sparsity, clustering = tfmot.sparsity.keras, tfmot.clustering.keras


def main():
    x, y = data()
    base = trained(x, y)
    schedule = sparsity.ConstantSparsity(0.5, begin_step=0, frequency=10)
    model = compiled(sparsity.prune_low_magnitude(base, pruning_schedule=schedule))
    fit(model, x, y, [sparsity.UpdatePruningStep()])
    pruned = sparsity.strip_pruning(model)
    show("pruned", pruned, x, y)

    for keep in (False, True):
        # tfmot's guide imports this `cluster_weights` from a private module.
        model = clustering.cluster_weights(pruned, 8, preserve_sparsity=keep)
        fit(compiled(model, 1e-4), x, y, epochs=1)
        title = "clustered, zeros kept" if keep else "clustered"
        show(title, clustering.strip_clustering(model), x, y)


if __name__ == "__main__":
    main()
