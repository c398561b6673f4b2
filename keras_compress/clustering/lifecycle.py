"""`prepare`, `finalize` and `report` of clustering."""

from __future__ import annotations

from typing import Any

from keras_compress.clustering.clusterer import (
    clustered_layers,
    codebook_for,
    weights_to_cluster,
)
from keras_compress.clustering.codebook import Codebook
from keras_compress.clustering.config import ClusteringConfig
from keras_compress.clustering.projection import CodebookProjection
from keras_compress.clustering.wrapper import Clustered
from keras_compress.engine.cloning import unwrap_layers, wrap_layers
from keras_compress.engine.optimizer import projections_of
from keras_compress.engine.report import Report, left_alone_rows, values_of, weight_report
from keras_compress.engine.weights import Selectors, WeightRef, select_weights


def prepare(model: Any, config: ClusteringConfig | None = None) -> Any:
    """Return a copy of `model` whose chosen layers are `Clustered`, on codebooks of its weights.

    The copy computes with the nearest centroids from the start and, if `model` is compiled, has
    the same compilation. Train it as you like; `finalize` gives stock layers back.

    Args:
        model: A built, trained Sequential or functional model, nested or not. For a subclassed
            model use `ClusteringCallback` alone.
        config: The `ClusteringConfig`. Defaults to `None` (16 clusters a weight).

    Raises:
        KerasCompressError: If the model is unbuilt, subclassed, prepared already or has nothing
            to cluster, if there are more clusters than distinct values, or if a weight is NaN
            or infinite.
    """
    config = config or ClusteringConfig()
    chosen = weights_to_cluster(model, config.layers)
    codebooks = {}
    for ref in chosen:
        values = values_of(ref.variable)
        codebooks[id(ref.variable)] = codebook_for(ref, values, config, resumed=False)

    wrapped: list[tuple[Clustered, list[Codebook]]] = []

    def wrap(layer: Any, indices: list[int], refs: list[WeightRef]) -> Clustered:
        wrapper = Clustered(
            layer,
            config.n_clusters,
            config.gradient_aggregation,
            indices,
            per_channel=config.per_channel,
        )
        wrapped.append((wrapper, [codebooks[id(ref.variable)] for ref in refs]))
        return wrapper

    def fill() -> None:
        for wrapper, its_codebooks in wrapped:
            wrapper.set_codebooks(its_codebooks)

    return wrap_layers(model, chosen, wrap, fill)


def finalize(model: Any) -> Any:
    """Return a copy of a clustered model in stock layers, its kernels made of shared values.

    Args:
        model: A model from `prepare`, or one that was trained with `ClusteringCallback`.

    Returns:
        A plain Keras model, compiled like `model` with an optimizer of the user's own kind. A
        subclassed model has only stock layers and is returned itself.
    """
    return unwrap_layers(model)


def report(model: Any, layers: Selectors = None) -> Report:
    """Return per weight what clustering did, or why the weight was left alone.

    Args:
        model: A model during or after clustering, finalized or not.
        layers: The selection that was clustered, as in `ClusteringConfig`. Defaults to `None`.
    """
    selection = select_weights(unwrap_layers(model) if clustered_layers(model) else model, layers)
    shared = projections_of(model, CodebookProjection.kind)
    rows = []
    for ref in selection.chosen:
        values = values_of(ref.variable)
        row = weight_report(ref, values, "clustered")
        # Told from the values: they may have been loaded from before there were clusters.
        projection: Any = shared.get(id(ref.variable))
        most = row.size // 2 if projection is None else projection.size
        if row.distinct > most:
            row = weight_report(ref, values, "left alone", "no codebook, values not shared")
        rows.append(row)
    return Report("clustering", (*rows, *left_alone_rows(selection.left_alone)))
