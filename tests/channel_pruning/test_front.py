"""Rates by a multi-objective search, against every combination there is."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import KerasCompressError
from keras_compress.channel_pruning import ChannelCosts, Target, find_groups, search_rates
from keras_compress.channel_pruning.verification import zeroed_copy

pytest.importorskip("pymoo", reason="the extra `multi-objective` isn't installed")


def test_the_front_is_that_of_all_combinations():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(6, activation="tanh", name="first"),
            layers.Dense(8, activation="tanh", name="second"),
            layers.Dense(2),
        ]
    )
    model.compile("sgd", "mse")
    generator = np.random.default_rng(0)
    x = generator.normal(size=(32, 6)).astype("float32")
    y = np.asarray(model(x)) + 0.01
    front = search_rates(
        model, x, y, population=12, generations=10, round_to=2, costs=("macs", "parameters")
    )
    groups = find_groups(model).restrict(round_to=2)
    costs = ChannelCosts(groups)
    l1 = {n: np.abs(np.asarray(model.get_layer(n).kernel)).sum(0) for n in groups}
    every = []
    for first, second in itertools.product((2, 4, 6), (2, 4, 6, 8)):
        masks = {
            name: np.isin(np.arange(groups[name].size), np.argsort(-l1[name])[:number])
            for name, number in (("first", first), ("second", second))
        }
        found = np.asarray(zeroed_copy(groups.analysis, groups.keep_mask(masks))(x))
        total = costs.total(masks)
        every.append((float(np.square(found - y).mean()), total["macs"], total["parameters"]))
    best = {
        (c[1], c[2])
        for c in every
        if not any(all(a <= b for a, b in zip(o, c, strict=True)) and o != c for o in every)
    }
    assert {(p.costs["macs"], p.costs["parameters"]) for p in front.points} == best
    losses = {each[1:]: each[0] for each in every}
    for point in front.points:
        expected = losses[point.costs["macs"], point.costs["parameters"]]
        assert np.isclose(point.loss, expected, rtol=1e-4)

    pruned = front.prune(Target(parameters=0.7))
    assert pruned.report.after["parameters"] <= 0.7 * pruned.report.before["parameters"]
    assert pruned.model.count_params() == pruned.report.after["parameters"]
    allowed = [c for c in every if c[2] <= 0.7 * costs.full["parameters"]]
    assert np.isclose(front.within(Target(parameters=0.7)).loss, min(allowed)[0], rtol=1e-4)
    with pytest.raises(KerasCompressError, match="among the compromises found"):
        front.prune(0.01)
    with pytest.raises(KerasCompressError, match="`costs` must be"):
        search_rates(model, x, y, costs=("seconds",))
