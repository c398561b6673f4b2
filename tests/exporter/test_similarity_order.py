"""The path through units on which neighbours are alike."""

import itertools

import numpy as np

from keras_compress.exporter import similarity_order


def _groups(generator, groups=6, members=5, inputs=40):
    """Units of a group look at the same inputs, and are shuffled."""
    masks = generator.random((groups, inputs)) < 0.2
    weights = np.repeat(masks, members, axis=0) * generator.normal(size=(groups * members, inputs))
    return weights[generator.permutation(len(weights))]


def test_every_unit_stands_once_and_members_of_a_group_stand_together():
    generator = np.random.default_rng(0)
    weights = np.abs(_groups(generator))
    order = similarity_order.similarity_order(weights, np.ones((len(weights), 1)))
    assert sorted(order) == list(range(len(weights)))
    places = (weights[order] != 0).astype(int)
    borders = sum(not np.array_equal(a, b) for a, b in itertools.pairwise(places))
    assert borders == 5


def test_moving_units_makes_neighbours_more_alike():
    generator = np.random.default_rng(1)
    weights = generator.normal(size=(60, 30)) * (generator.random((60, 30)) < 0.1)
    density = np.count_nonzero(weights, axis=1)
    similarity = similarity_order._similarity(weights, density)

    def score(path):
        return sum(similarity[a, b] for a, b in itertools.pairwise(path))

    greedy = similarity_order._greedy(similarity, int(np.argmax(density)))
    improved = similarity_order._improved(greedy, similarity)
    assert sorted(improved) == list(range(60))
    assert score(improved) > score(greedy) + 0.5


def test_empty_units_and_layers_of_one_or_two_are_ordered_too():
    for units in (1, 2, 3):
        order = similarity_order.similarity_order(np.zeros((units, 4)), np.zeros((units, 2)))
        assert sorted(order) == list(range(units))


def test_layers_too_large_to_compare_are_sorted_by_density(monkeypatch):
    monkeypatch.setattr(similarity_order, "_MAX_UNITS", 3)
    weights = np.array([[1, 0, 0], [1, 1, 1], [0, 0, 0], [1, 1, 0]])
    assert similarity_order.similarity_order(weights, weights).tolist() == [1, 3, 0, 2]
