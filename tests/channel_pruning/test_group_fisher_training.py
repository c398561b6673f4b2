"""Group Fisher pruning while training: its score, its steps, and what comes out."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import KerasCompressError
from keras_compress.channel_pruning import (
    ChannelCosts,
    Data,
    GroupFisher,
    GroupFisherTrainer,
    Target,
    find_groups,
    prune_while_training,
)
from tests.channel_pruning.nets import image


def coupled() -> keras.Model:
    """Three layers read the channels of `stem`, which two layers make; a branch has its own."""
    keras.utils.set_random_seed(0)
    inputs = image(6, 6, 2)
    x = layers.Conv2D(8, 3, padding="same", name="stem")(inputs)
    y = layers.Conv2D(12, 3, padding="same", activation="relu", name="branch")(x)
    x = layers.Add()([x, layers.Conv2D(8, 3, padding="same", name="back")(y)])
    x = layers.GlobalAveragePooling2D()(layers.Activation("tanh")(x))
    model = keras.Model(inputs, layers.Dense(3, name="head")(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return model


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(48, 6, 6, 2)).astype("float32")
    return x, generator.integers(0, 3, 48)


def test_scores_are_half_the_fisher_information_of_coupled_factors(data):
    x, y = data[0][:20], data[1][:20]
    model = coupled()
    # Nothing moves, and no removal falls into these batches, the last of which is shorter.
    # Averages of the factors, which replace them in the end, are 1 as well.
    model.compile(keras.optimizers.SGD(0.0, use_ema=True), model.loss)
    expected = GroupFisher().scores(find_groups(model), Data(x, y, batch_size=4))
    trainer = GroupFisherTrainer(model, interval=100, batch_size=8, round_to=1)
    trainer.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    found = trainer.scores()
    assert list(found) == ["stem", "branch"]
    for name, scores in found.items():
        assert np.allclose(scores, expected[name], rtol=1e-4, atol=0), name
    assert np.array_equal(keras.ops.convert_to_numpy(trainer.factors), np.ones((8, 20)))


def test_each_step_takes_the_least_for_what_it_saves(data):
    trainer = GroupFisherTrainer(
        coupled(), 0.4, interval=2, per="macs", batch_size=8, round_to=1, min_channels=2
    )
    groups, seen = find_groups(coupled()), []
    remove = trainer.remove

    def watched(batch):
        scores = trainer.scores()
        seen.append((scores, remove(batch)))
        return seen[-1][1]

    trainer.remove = watched
    trainer.fit(*data, batch_size=8, epochs=50, verbose=0)
    masks = {name: np.ones(group.size, bool) for name, group in groups.items()}
    for number, (scores, removal) in enumerate(seen, 1):
        costs = ChannelCosts(groups)
        costs.reset(masks)
        merits = {
            (name, c): scores[name][c] / costs.saved(name, np.array([c]))["macs"]
            for name, mask in masks.items()
            for c in np.flatnonzero(mask)
            if mask.sum() > 2
        }
        assert merits[removal.group, removal.channels[0]] == min(merits.values())
        assert removal.batch == 2 * number
        masks[removal.group][list(removal.channels)] = False
    assert trainer.reached
    assert [removal for _, removal in seen] == list(trainer.removals)


def test_what_was_removed_stays_out_of_the_training(data):
    model = coupled()
    before = [v.copy() for v in model.get_weights()]
    trainer = GroupFisherTrainer(model, 0.5, interval=3, batch_size=16, round_to=2)
    trainer.fit(*data, batch_size=16, epochs=50, verbose=0)
    pruned = trainer.finalize()
    kept = pruned.plan.kept["branch"]
    gone = [i for i in range(12) if i not in kept]
    reads = keras.ops.convert_to_numpy(trainer.net.get_layer("back").kernel)
    assert gone and not reads[:, :, gone].any() and reads[:, :, list(kept)].all()
    small, whole = (keras.ops.convert_to_numpy(m(data[0])) for m in (pruned.model, trainer))
    assert np.abs(small - whole).max() < 1e-5 * np.abs(whole).max()
    assert pruned.report.after["macs"] <= 0.5 * pruned.report.before["macs"]
    assert pruned.model.count_params() == pruned.report.after["parameters"]
    assert pruned.model.compiled
    # It was trained, and the user's model wasn't.
    assert not np.allclose(reads[:, :, list(kept)], before[4][:, :, list(kept)])
    for a, b in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_it_is_one_call(data):
    found = prune_while_training(
        coupled(), *data, Target(parameters=0.6), interval=2, batch_size=16, round_to=4, verbose=0
    )
    assert found.report.after["parameters"] <= 0.6 * found.report.before["parameters"]
    assert found.report.method == "while training"
    assert all(row.kept % 4 == 0 for row in found.report.groups)


def test_units_that_are_read_within_a_layer_are_left_alone():
    recurrent = layers.LSTM(4, name="recurrent")
    model = keras.Sequential(
        [keras.Input((5, 2)), layers.Conv1D(6, 2, name="made"), recurrent, layers.Dense(2)]
    )
    model.compile("sgd", "mse")
    trainer = GroupFisherTrainer(model, 0.9, round_to=1)
    assert list(trainer.scores()) == ["made"]
    left = {row.group: row.reason for row in trainer.finalize().report.groups}
    assert left == {"made": "", "recurrent": "the criterion has no score for it"}
    with pytest.raises(KerasCompressError, match="read by another layer"):
        GroupFisherTrainer(model, 0.9, round_to=1, veto="made")


def test_errors(data):
    with pytest.raises(KerasCompressError, match="`interval` must be an int of at least 1"):
        GroupFisherTrainer(coupled(), 0.9, interval=0)
    with pytest.raises(KerasCompressError, match="A target must be in reach"):
        GroupFisherTrainer(coupled(), 0.001)
    with pytest.raises(KerasCompressError, match="`per` must be one of"):
        GroupFisherTrainer(coupled(), 0.9, per="milliseconds")
    with pytest.raises(KerasCompressError, match="at most 32 samples"):
        GroupFisherTrainer(coupled(), 0.9).fit(*data, batch_size=64)
    with pytest.raises(KerasCompressError, match="isn't compiled"):
        prune_while_training(keras.Sequential([image(), layers.Conv2D(3, 1)]), *data)
