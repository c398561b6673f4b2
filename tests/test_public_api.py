"""Locks the public names: a change here is a change for every user."""

from __future__ import annotations

import importlib

import pytest

PUBLIC = {
    "keras_compress": [
        "KerasCompressError",
        "__version__",
        "architectures",
        "bench",
        "clustering",
        "exporter",
        "inspect",
        "pack",
        "packing",
        "pruning",
        "recipes",
        "report",
        "unpack",
    ],
    "keras_compress.pruning": [
        "ConstantSparsity",
        "OneShot",
        "PolynomialDecay",
        "Pruned",
        "Pruner",
        "PruningCallback",
        "PruningConfig",
        "PruningSchedule",
        "finalize",
        "global_magnitude_masks",
        "magnitude_mask",
        "prepare",
        "report",
    ],
    "keras_compress.clustering": [
        "Clustered",
        "Clusterer",
        "ClusteringCallback",
        "ClusteringConfig",
        "Codebook",
        "finalize",
        "initial_centroids",
        "kmeans_1d",
        "make_codebook",
        "prepare",
        "report",
    ],
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_these_and_all_load(module):
    package = importlib.import_module(module)
    assert sorted(package.__all__) == sorted(PUBLIC[module])
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert set(PUBLIC[module]) <= set(dir(package))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        importlib.import_module("keras_compress").nothing  # noqa: B018
