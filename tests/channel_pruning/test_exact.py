"""A smaller net computes what the larger one does with the removed channels at zero."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress.channel_pruning import ChannelPlan, find_groups
from keras_compress.channel_pruning.verification import difference_to_zeroed, run, zeroed_copy
from tests.channel_pruning.nets import chosen, random_masks, randomized, samples

pytestmark = pytest.mark.backend_independent

#: Channels that may go: without a word beside it, all that a net makes but its outputs, those that
#: go together counted once.
FREE = {
    "batch_norm_flatten_dense": 8 + 12 + 20,
    "sequential_with_slopes_by_channel": 8 + 7,
    "slopes_by_place": 8 + 4,
    "residual": 8 + 6,
    "squeeze_excite_by_reshape": 8 + 4,
    "squeeze_excite_by_operations": 8 + 4,
    "squeeze_excite_by_expanded_axes": 8,
    # The map itself has one channel.
    "one_map_for_all_channels": 8,
    "concatenation_with_itself": 8 + 6,
    "dense_block": 6 + 4 + 4,
    # Of 8 channels in 4 groups 2 by 2 go together, as do those of 16; 16 lone ones go with them.
    "grouped_convolutions": 6,
    "separable_and_transposed": 8 + 10 + 6,
    # What is called twice in a row makes as many channels as the image has.
    "layer_called_twice_in_a_row": 7,
    "layers_shared_by_two_inputs": 8 + 6,
    "nested_models_called_twice": 8 + 6 + 7,
    "nested_model_of_dicts": 8 + 4 + 5,
    "shortcut_padded_by_operations": 16,
    "shortcut_padded_by_layers": 16,
    "shuffle_by_layers": 12,
    "shuffle_by_operations": 12,
    "shuffle_by_taking": 8 + 6,
    "hard_swish_by_operations": 8,
    "constants_by_channel": 8,
    "choice_by_a_comparison": 8,
    # Not the 8 that it goes over.
    "layer_normalization": 16,
    # 16 in 4 groups, of which one of each goes.
    "group_normalization": 4 + 6,
    # Not the 8 of the softmax and those that they are multiplied with.
    "softmax_within": 7,
    "channels_first_by_permuting": 8,
    "axes_moved_by_operations": 8,
    "image_to_sequence": 8 + 6 + 5,
    "vector_to_image": 8 + 6,
    "stacked_and_squeezed": 8 + 4,
    "unknown_sides": 8 + 6,
    "several_outputs": 8 + 6,
    "one_dimension": 6 + 8 + 5,
    "three_dimensions": 6 + 5,
    # Values are cut in all heads at once.
    "heads_of_attention": 16 + 4 + 5 + 16 + 8,
    "heads_between_two_sequences": 16 + 9 + 4,
    # Of 4 times 6 the last axis.
    "equations": 8 + 6 + 7 + 9,
    # Both ways of a layer have the same units.
    "recurrent_units": 8 + 6 + 5 + 4 + 4,
    "convolutional_recurrent_units": 6 + 5 + 7,
    # Of 8 as 2 times 4 the last axis.
    "layers_for_each_step": 4 + 6 + 4,
    "heads_that_share_keys": 16 + 3,
    "repeated_steps": 6 + 4,
    "words": 8 + 6,
}


@pytest.mark.parametrize("name", chosen())
def test_removed_is_zeroed(name):
    model = randomized(name)
    before = [keras.ops.convert_to_numpy(v).copy() for v in model.variables]
    groups = find_groups(model)
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
