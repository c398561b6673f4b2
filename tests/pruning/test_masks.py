"""The magnitude criterion."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_compress.pruning import global_magnitude_masks, magnitude_mask

_WEIGHTS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=4, max_side=7),
    elements=st.floats(-3, 3, width=32),
)


@given(_WEIGHTS, st.floats(0, 0.99))
def test_prunes_exactly_the_share_and_the_smallest(weight, sparsity):
    mask = magnitude_mask(weight, sparsity)
    pruned = min(round(sparsity * weight.size), weight.size - 1)
    assert mask.shape == weight.shape and mask.dtype == bool
    assert int((~mask).sum()) == pruned
    if pruned:
        assert np.abs(weight[~mask]).max() <= np.abs(weight[mask]).min()


@given(st.lists(_WEIGHTS, min_size=1, max_size=4), st.floats(0, 0.99))
def test_global_masks_rank_all_weights_together(weights, sparsity):
    masks = global_magnitude_masks(weights, sparsity)
    together = np.concatenate([w.ravel() for w in weights])
    kept = np.concatenate([m.ravel() for m in masks])
    assert int((~kept).sum()) == min(round(sparsity * together.size), together.size - 1)
    if not kept.all():
        assert np.abs(together[~kept]).max() <= np.abs(together[kept]).min()


def test_pruned_once_pruned_again_at_the_same_rate_changes_nothing():
    weight = np.random.default_rng(0).normal(size=(30, 40)).astype("float32")
    mask = magnitude_mask(weight, 0.7)
    assert np.array_equal(magnitude_mask(weight * mask, 0.7), mask)
