"""What each pattern keeps together, on scores and on the kernels of each kind of layer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import keras_compress
from keras_compress import exporter, pruning
from keras_compress.engine.weights import iter_weights
from keras_compress.errors import KerasCompressError
from keras_compress.pruning import Blocks, Filters, NofM, Pruned, PruningConfig, Unstructured
from keras_compress.pruning.patterns import get_pattern
from keras_compress.pruning.ranking import keep_highest
from keras_compress.tflite.reader import read_tflite
from tests.training import sequential, tensorflow_only

pytestmark = pytest.mark.backend_independent

_SCORES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=4, max_side=7),
    elements=st.floats(0, 3, width=32),
)
_KERNELS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=4, max_side=9),
    elements=st.floats(0, 3, width=32),
)


def random(*shape):
    return np.abs(np.random.default_rng(0).normal(size=shape).astype("float32"))


@given(_SCORES, st.floats(0, 0.99))
def test_unstructured_prunes_exactly_the_share_and_the_lowest(scores, sparsity):
    mask = Unstructured().mask(scores, sparsity)
    pruned = min(round(sparsity * scores.size), scores.size - 1)
    assert mask.shape == scores.shape and mask.dtype == bool
    assert int((~mask).sum()) == pruned
    if pruned:
        assert scores[~mask].max() <= scores[mask].min()


@given(st.lists(_SCORES, min_size=1, max_size=4), st.floats(0, 0.99))
def test_weights_ranked_together_have_the_share_together(scores, sparsity):
    masks = Unstructured().masks(scores, sparsity, together=True)
    together = np.concatenate([each.ravel() for each in scores])
    kept = np.concatenate([mask.ravel() for mask in masks])
    assert int((~kept).sum()) == min(round(sparsity * together.size), together.size - 1)
    if not kept.all():
        assert together[~kept].max() <= together[kept].min()


def test_pruned_once_pruned_again_at_the_same_rate_changes_nothing():
    scores = random(30, 40)
    mask = Unstructured().mask(scores, 0.7)
    assert np.array_equal(Unstructured().mask(scores * mask, 0.7), mask)


def test_two_of_four_inputs_of_each_output_are_kept():
    scores = random(3, 3, 8, 5)
    mask = NofM(2, 4).mask(scores, 0.5)
    groups = np.moveaxis(mask, -2, -1).reshape(-1, 4)
    assert (groups.sum(axis=1) == 2).all()
    ranked = np.moveaxis(scores, -2, -1).reshape(-1, 4)
    assert (
        ranked.min(axis=1, where=groups, initial=9) >= ranked.max(1, where=~groups, initial=0)
    ).all()


@given(_KERNELS, st.sampled_from([(1, 2), (2, 4), (1, 4), (5, 8)]), st.floats(0, 1))
def test_groups_take_the_pattern_as_the_schedule_rises(scores, n_of_m, share):
    pattern = NofM(*n_of_m)
    mask = pattern.mask(scores, share * pattern.max_sparsity)
    n, m = n_of_m
    inputs_last = np.moveaxis(mask, -2, -1)
    padded = np.pad(inputs_last, [(0, 0)] * (mask.ndim - 1) + [(0, -mask.shape[-2] % m)])
    real = np.pad(
        np.ones_like(inputs_last), [(0, 0)] * (mask.ndim - 1) + [(0, -mask.shape[-2] % m)]
    )
    kept, size = padded.reshape(-1, m).sum(1), real.reshape(-1, m).sum(1)
    patterned = kept <= n
    assert (kept[~patterned] == size[~patterned]).all()
    # Groups of n values or fewer at the border are whole either way.
    assert (
        round(share * len(kept)) <= patterned.sum() <= round(share * len(kept)) + (size <= n).sum()
    )
    if share == 1:
        assert patterned.all()


def test_the_groups_that_lose_least_go_first():
    scores = np.ones((8, 1))
    scores[:4, 0] = [5, 1, 1, 5]
    scores[4:, 0] = [5, 2, 2, 5]
    mask = NofM(2, 4).mask(scores, 0.25)
    assert mask[:, 0].tolist() == [True, False, False, True, True, True, True, True]


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_blocks_go_whole_by_their_pooled_score(pooling):
    scores = np.full((4, 4), 2.0)
    scores[:2, :2] = [[3.0, 0.0], [0.0, 0.0]]
    mask = Blocks((2, 2), pooling).mask(scores, 0.25)
    weak = mask[:2, :2]
    assert weak.all() == (pooling == "max") and (weak.all() or not weak.any())
    assert int((~mask).sum()) == 4


@given(_KERNELS, st.tuples(st.integers(1, 4), st.integers(1, 4)), st.floats(0, 0.99))
def test_blocks_are_whole_at_each_place_and_may_be_cut_at_the_border(scores, size, sparsity):
    mask = Blocks(size).mask(scores, sparsity)
    assert mask.shape == scores.shape
    height, width = size
    count = pruned = 0
    for matrix in mask.reshape(-1, *mask.shape[-2:]):
        for top in range(0, matrix.shape[0], height):
            for left in range(0, matrix.shape[1], width):
                block = matrix[top : top + height, left : left + width]
                assert block.all() or not block.any()
                count, pruned = count + 1, pruned + int(not block.any())
    assert pruned == min(round(sparsity * count), count - 1)


@pytest.mark.parametrize(("norm", "kept"), [("l1", [False, True]), ("l2", [True, False])])
def test_the_weaker_filter_goes_whole(norm, kept):
    mask = Filters(norm).mask(np.array([[3.0, 2.0], [0.0, 2.0]]), 0.5)
    assert mask.tolist() == [kept, kept]


def test_filters_may_span_two_axes_and_one_is_always_kept():
    scores = random(3, 3, 4, 2)
    mask = Filters(axes=(2, 3)).mask(scores, 0.75)
    alive = mask.reshape(9, 8)
    assert (alive.all(0) | ~alive.any(0)).all() and alive.any(0).sum() == 2
    assert Filters(axes=(2, 3)).mask(scores, 0.999).any()


def test_no_layer_is_emptied_where_units_of_all_are_ranked_together():
    strong, weak = 100 * random(3, 3, 2, 4), 1e-6 * random(16, 8)
    for pattern in (Filters(), Blocks((1, 2))):
        kept = pattern.masks([strong, weak], 0.9, together=True)
        assert kept[0].any() and kept[1].any()
        assert kept[0].mean() > kept[1].mean()


def layer_refs(layer, shape):
    layer.build(shape)
    return {ref.name: ref for ref in iter_weights(layer)}


@pytest.mark.parametrize(
    ("layer", "shape", "name", "axis"),
    [
        (keras.layers.Dense(3), (None, 8), "kernel", 0),
        (keras.layers.Conv2D(3, 2), (None, 5, 5, 8), "kernel", 2),
        (keras.layers.Conv2DTranspose(3, 2), (None, 5, 5, 8), "kernel", 3),
        (keras.layers.SeparableConv2D(3, 2), (None, 5, 5, 8), "pointwise_kernel", 2),
        (keras.layers.EinsumDense("abc,cd->abd", (None, 3)), (None, 4, 8), "kernel", 0),
        (keras.layers.EinsumDense("abc,dc->abd", (None, 3)), (None, 4, 8), "kernel", 1),
        (keras.layers.EinsumDense("abc,cde->abde", (None, 3, 2)), (None, 4, 8), "kernel", 0),
    ],
    ids=["dense", "conv", "transposed", "separable", "einsum", "einsum-turned", "heads"],
)
def test_groups_run_along_the_inputs_of_each_kind_of_layer(layer, shape, name, axis):
    ref = layer_refs(layer, shape)[name]
    assert ref.shape[axis] == 8
    scores = random(*ref.shape)
    mask = NofM(2, 4).mask(scores, 0.5, ref)
    assert (np.moveaxis(mask, axis, -1).reshape(-1, 4).sum(1) == 2).all()
    np.testing.assert_array_equal(mask, NofM(2, 4, axis=axis).mask(scores, 0.5))


@pytest.mark.parametrize(
    ("layer", "shape", "name", "patterns"),
    [
        (keras.layers.DepthwiseConv2D(2), (None, 5, 5, 8), "kernel", [NofM(2, 4)]),
        (keras.layers.Embedding(9, 4), (None, 3), "embeddings", [NofM(2, 4), Filters()]),
        (
            keras.layers.EinsumDense("abcd,cde->abe", (None, 3)),
            (None, 4, 8, 2),
            "kernel",
            [NofM(2, 4)],
        ),
        (
            keras.layers.EinsumDense("abc,cde->abde", (None, 3, 2)),
            (None, 4, 8),
            "kernel",
            [Filters()],
        ),
    ],
    ids=["depthwise", "embedding", "two-inputs", "two-outputs"],
)
def test_where_a_pattern_cannot_be_laid_it_says_why(layer, shape, name, patterns):
    ref = layer_refs(layer, shape)[name]
    assert all(pattern.why_not(ref) for pattern in patterns)
    assert Unstructured().why_not(ref) is None and Blocks((1, 2)).why_not(ref) is None


@pytest.mark.parametrize(
    "pattern",
    [Unstructured(), Blocks((1, 4), "max"), NofM(1, 4), Filters("l2"), Filters(axes=(0, 1))],
    ids=repr,
)
def test_patterns_are_frozen_and_serialize(pattern):
    record = keras.saving.serialize_keras_object(pattern)
    again = keras.saving.deserialize_keras_object(record)
    assert again == pattern and hash(again) == hash(pattern)
    scores = random(3, 3, 8, 4)
    sparsity = 0.5 * pattern.max_sparsity
    np.testing.assert_array_equal(again.mask(scores, sparsity), pattern.mask(scores, sparsity))
    with pytest.raises(AttributeError):
        pattern.norm = "l1"


def test_patterns_have_names():
    assert get_pattern("unstructured") == Unstructured()
    assert get_pattern("filters") == Filters()
    assert get_pattern("1:4") == NofM(1, 4)
    assert PruningConfig(pattern="1:4").schedule(0) == 0.75
    assert PruningConfig(pattern="2:4").schedule(0) == PruningConfig().schedule(0) == 0.5


@pytest.mark.parametrize(
    "make",
    [
        lambda: NofM(4, 4),
        lambda: NofM(0, 4),
        lambda: NofM(2.0, 4),
        lambda: Blocks((0, 2)),
        lambda: Blocks(4),
        lambda: Blocks((1, 2), "sum"),
        lambda: Filters("l3"),
        lambda: get_pattern("checkerboard"),
        lambda: get_pattern(4),
        lambda: PruningConfig(0.75, pattern="2:4"),
        lambda: NofM(2, 4).mask(np.ones((4, 4)), 0.6),
        lambda: PruningConfig(0.5, layers="hidden", pattern=5),
    ],
)
def test_bad_patterns_state_rule_and_value(make):
    with pytest.raises(KerasCompressError, match="Received"):
        make()


def test_a_pattern_selects_what_it_can_be_laid_on():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            keras.layers.DepthwiseConv2D(3, name="depthwise"),
            keras.layers.Conv2D(4, 1, name="pointwise"),
        ]
    )
    selection = PruningConfig(pattern="2:4").select(model)
    assert [ref.path for ref in selection.chosen] == ["pointwise"]
    reasons = {ref.label: reason for ref, reason in selection.left_alone}
    assert "inputs" in reasons["depthwise/kernel"]
    with pytest.raises(KerasCompressError, match="depthwise/kernel"):
        PruningConfig(pattern="2:4", layers="depthwise").select(model)
    assert len(PruningConfig(pattern="filters").select(sequential()).chosen) == 3
    wrapped = pruning.prepare(model, PruningConfig(pattern="2:4"))
    assert [type(layer) for layer in wrapped.layers] == [keras.layers.DepthwiseConv2D, Pruned]


@tensorflow_only
def test_two_of_four_lie_side_by_side_in_the_tflite_file():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 8)),
            keras.layers.Conv2D(8, 3, name="conv"),
            keras.layers.Conv2DTranspose(8, 3, name="up"),
            keras.layers.Flatten(),
            keras.layers.Dense(12, name="dense"),
        ]
    )
    model.compile("sgd", "mse")
    config = PruningConfig(pattern="2:4")
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 8)).astype("float32")
    model.fit(x, np.zeros((8, 12)), verbose=0, callbacks=[pruning.PruningCallback(config)])
    found = 0
    for tensor in read_tflite(exporter.convert(keras_compress.finalize(model)).tflite).tensors:
        values = tensor.array() if tensor.is_constant else np.empty(0)
        if values.ndim in (2, 4) and np.mean(values == 0) == 0.5:
            assert (np.count_nonzero(values.reshape(-1, 4), axis=1) == 2).all()
            found += 1
    assert found == 3


def test_the_highest_are_kept_and_as_many_as_must_be():
    scores = [np.array([3.0, 1.0]), np.array([[2.0]])]
    assert [kept.tolist() for kept in keep_highest(scores, 0.6)] == [[True, False], [[False]]]
    assert sum(kept.sum() for kept in keep_highest(scores, 1.0)) == 1
    assert sum(kept.sum() for kept in keep_highest(scores, 1.0, minimum=0)) == 0
