"""A smaller net computes what the larger one does with the removed channels at zero."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress.channel_pruning import ChannelPlan, find_groups
from keras_compress.channel_pruning.verification import difference_to_zeroed, run, zeroed_copy
from tests.channel_pruning.nets import chosen, random_masks, randomized, samples

#: Channels that may go and those that a net makes, of nets of which not all but the last may.
FREE = {
    "layer_called_twice_in_a_row": 7,
    "layer_normalization": 16,
    "softmax_within": 7,
    "one_map_for_all_channels": 8,
    "shuffle_by_layers": 12,
    "residual": 14,
    "squeeze_excite_by_reshape": 12,
    "shortcut_padded_by_operations": 16,
    "nested_models_called_twice": 21,
    # Of 8 channels in 4 groups 2 by 2 go together, as do those of 16; 16 lone ones go with them.
    "grouped_convolutions": 6,
    # Values are cut in all heads at once.
    "heads_of_attention": 16 + 4 + 5 + 16 + 8,
    "heads_between_two_sequences": 16 + 9 + 4,
    "group_normalization": 4 + 6,
}


@pytest.mark.parametrize("name", chosen())
def test_removed_is_zeroed(name):
    model = randomized(name)
    before = [keras.ops.convert_to_numpy(v).copy() for v in model.variables]
    groups = find_groups(model)
    assert len(groups) > 0
    if name in FREE:
        assert sum(group.size for group in groups.values()) == FREE[name]
    masks = random_masks(groups)
    plan = ChannelPlan.of(groups, masks)
    assert plan.removed > 0
    small = plan.apply(model)
    assert type(small) is type(model)
    assert small.count_params() < model.count_params()
    x = samples(model)
    full = run(model, x)
    zeroed = run(zeroed_copy(groups.analysis, groups.keep_mask(masks)), x)
    scale = max(np.abs(a).max() for a in zeroed)
    assert _largest_difference(run(small, x), zeroed) < 1e-5 * scale
    # Zeroing must show, or the equality would say nothing.
    assert _largest_difference(full, zeroed) > 1e-3 * scale
    for value, variable in zip(before, model.variables, strict=True):
        assert np.array_equal(value, keras.ops.convert_to_numpy(variable))


def _largest_difference(some, others) -> float:
    return max(np.abs(a - b).max() for a, b in zip(some, others, strict=True))


@pytest.mark.parametrize(
    "name", ["sequential_with_slopes_by_channel", "shuffle_by_operations", "nested_model_of_dicts"]
)
def test_a_smaller_net_is_saved_and_loaded(name, tmp_path):
    model = randomized(name)
    x, groups = samples(model), find_groups(model)
    small = ChannelPlan.of(groups, random_masks(groups)).apply(model)
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    assert _largest_difference(run(small, x), run(loaded, x)) < 1e-6


@pytest.mark.parametrize("name", ["residual", "shuffle_by_layers", "nested_models_called_twice"])
def test_a_smaller_net_can_be_cut_again(name):
    model = randomized(name)
    small = ChannelPlan.of(find_groups(model), random_masks(find_groups(model))).apply(model)
    groups = find_groups(small)
    masks = random_masks(groups, seed=3)
    smaller = ChannelPlan.of(groups, masks).apply(small, verify=samples(small))
    assert smaller.count_params() < small.count_params()


def test_the_difference_finds_a_wrong_weight():
    model = randomized("residual")
    groups = find_groups(model)
    masks = random_masks(groups)
    small = ChannelPlan.of(groups, masks).apply(model)
    keep, x = groups.keep_mask(masks), samples(model)
    assert difference_to_zeroed(groups.analysis, keep, small, x) < 1e-5
    kernel = small.layers[1].kernel
    kernel.assign(kernel + 0.01)
    assert difference_to_zeroed(groups.analysis, keep, small, x) > 1e-4
