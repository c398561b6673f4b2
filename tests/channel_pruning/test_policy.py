"""The conditional policy: rates are met, actions are clipped, and what matters is kept."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import KerasCompressError
from keras_compress.channel_pruning import ChannelCosts, find_groups, search_policy
from keras_compress.channel_pruning.actor_critic import (
    ActorCritic,
    Network,
    Transition,
    bellman,
)
from keras_compress.channel_pruning.policy import _Walk
from keras_compress.channel_pruning.selection import removal_steps
from keras_compress.search import Journal


@pytest.fixture(scope="module")
def case():
    """A net of whose groups one matters and the other doesn't."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    vital = layers.Dense(16, activation="tanh", name="vital")(inputs)
    idle = layers.Dense(16, activation="tanh", name="idle")(inputs)
    x = layers.Concatenate()([vital, idle])
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    kernel = keras.ops.convert_to_numpy(model.get_layer("head").kernel).copy()
    kernel[16:] *= 1e-3
    model.get_layer("head").kernel.assign(kernel)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    return model, x, keras.ops.convert_to_numpy(model(x))


def test_values_follow_the_equation_of_bellman():
    found = bellman(np.array([0.0, -2.0]), np.array([False, True]), np.array([-3.0, 7.0]))
    assert found.tolist() == [-3.0, -2.0]


def test_gradients_are_those_of_differences():
    generator = np.random.default_rng(0)
    network = Network(3, 1e-3, generator)
    x, up = generator.normal(size=(5, 3)), generator.normal(size=(5, 1))
    by_weights, by_inputs = network.gradients(x, up)
    step = 1e-6
    for array, found in ((x, by_inputs), *zip(network.weights, by_weights, strict=True)):
        for place in list(np.ndindex(array.shape))[:: max(array.size // 7, 1)]:
            values = []
            for sign in (1, -1):
                array[place] += sign * step
                values.append(float((network(x) * up).sum()))
                array[place] -= sign * step
            assert np.isclose((values[0] - values[1]) / (2 * step), found[place], atol=1e-5)


def test_an_agent_learns_what_earns_most():
    agent = ActorCritic(1, seed=0)
    generator = np.random.default_rng(0)
    for _ in range(200):
        state, action = generator.random(1).astype("float32"), float(generator.random())
        agent.remember(Transition(state, action, -((action - 0.8) ** 2), state, True))
    before = abs(agent.act(np.array([0.5], "float32")) - 0.8)
    for _ in range(800):
        agent.learn()
    assert abs(agent.act(np.array([0.5], "float32")) - 0.8) < min(0.15, before)


def test_actions_are_clipped_to_what_the_rate_allows(case):
    groups = find_groups(case[0]).restrict(round_to=1)
    steps = {name: removal_steps(group, np.arange(16.0)) for name, group in groups.items()}
    walk, costs = _Walk(groups, steps), ChannelCosts(groups)
    for rate in (0.2, 0.5, 0.9):
        chosen, states, taken = walk.go(rate, lambda state: 1.0)
        masks = walk.masks(chosen)
        limit = rate * costs.full["macs"]
        # All that could be kept of the first group was, and then of the second.
        assert costs.total(masks)["macs"] <= limit
        for place, name in enumerate(steps):
            if chosen[place]:
                rest = {n: steps[n][-1] for n in list(steps)[place + 1 :]}
                more = {**masks, name: steps[name][chosen[place] - 1], **rest}
                assert costs.total(more)["macs"] > limit
        assert [state[-1] for state in states] == pytest.approx([rate] * 2)
        assert taken == [mask.mean() for mask in masks.values()]


def test_one_search_serves_all_rates(case, tmp_path):
    model, x, y = case
    journal = Journal(tmp_path / "policy.jsonl", "a net")
    settings = {"rates": (0.3, 0.7), "episodes": 60, "round_to": 1, "reestimate": 0}
    policy = search_policy(model, x, y, journal=journal, **settings)
    groups, kept = find_groups(model), {}
    for rate in (0.3, 0.5, 0.7):
        masks = policy.masks(rate)
        total = ChannelCosts(groups).total(masks)["macs"]
        assert total <= rate * ChannelCosts(groups).full["macs"]
        kept[rate] = [int(masks[name].sum()) for name in ("vital", "idle")]
    assert all(vital > idle for vital, idle in kept.values()), kept
    assert kept[0.3][0] < kept[0.7][0] or kept[0.3][1] < kept[0.7][1]
    pruned = policy.prune(0.5)
    assert pruned.report.after["macs"] <= 0.5 * pruned.report.before["macs"]
    assert pruned.model.get_layer("vital").units == kept[0.5][0]
    assert 1 < len(journal) <= 60
    with pytest.raises(KerasCompressError, match=r"trained for, 0\.3 to 0\.7"):
        policy.prune(0.9)


def test_errors(case):
    model, x, y = case
    with pytest.raises(KerasCompressError, match="`rates` are two shares"):
        search_policy(model, x, y, rates=(0.8, 0.3))
    with pytest.raises(KerasCompressError, match="A target must be in reach"):
        search_policy(model, x, y, rates=(0.01, 0.3))
