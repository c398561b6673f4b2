"""Genetic channel pruning: sensitivities, the quadratic form, the search and the trained net."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import KerasCompressError
from keras_compress.channel_pruning import Data, find_groups, genetic
from keras_compress.channel_pruning.evaluation import MaskedLoss
from keras_compress.channel_pruning.genetic import error_matrix
from keras_compress.channel_pruning.sensitivity import scan_groups
from keras_compress.channel_pruning.verification import zeroed_copy
from keras_compress.search import Journal
from tests.channel_pruning.nets import image


@pytest.fixture(scope="module")
def case():
    keras.utils.set_random_seed(0)
    inputs = image(6, 6, 2)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="stem")(inputs)
    x = layers.BatchNormalization()(x)
    y = layers.Conv2D(8, 3, padding="same", activation="relu", name="branch")(x)
    x = layers.Add()([x, layers.Conv2D(6, 1, name="back")(y)])
    model = keras.Model(inputs, layers.Dense(3, name="head")(layers.GlobalMaxPooling2D()(x)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(64, 6, 6, 2)).astype("float32")
    return model, x, generator.integers(0, 3, 64)


def test_the_quadratic_form_is_what_the_readers_lose(case):
    model, x, _ = case
    groups = find_groups(model)
    # All places of all samples: 36 drawn ones would be an estimate.
    data = Data(x, None, batch_size=64)
    matrix = error_matrix(groups, data, positions=3000)["branch"]
    until = keras.Model(model.input, model.get_layer("branch").output)
    given = keras.ops.convert_to_numpy(until(x)).astype("float64").reshape(-1, 8)
    kernel = keras.ops.convert_to_numpy(model.get_layer("back").kernel).reshape(8, 6)
    whole = np.square(given @ kernel).sum()
    for gone in ([0], [2, 5], [1, 3, 4, 7]):
        e = np.isin(np.arange(8), gone).astype(float)
        lost = np.square((given * e) @ kernel).sum()
        products = sum(
            np.square(given[:, i : i + 1] @ kernel[i : i + 1]).sum() for i in range(8)
        ) + sum(
            2 * ((given[:, [i]] @ kernel[[i]]) * (given[:, [j]] @ kernel[[j]])).sum()
            for i in range(8) for j in range(i)
        )  # fmt: skip
        assert np.isclose(products, whole)
        assert np.isclose(e @ matrix @ e, lost / whole, rtol=0.02)


def test_sensitivity_is_the_loss_of_one_group_cut(case, tmp_path):
    model, x, y = case
    groups = find_groups(model).restrict(round_to=2)
    scores = {name: np.arange(group.size, dtype=float) for name, group in groups.items()}
    journal = Journal(tmp_path / "scan.jsonl", "a net")
    loss = MaskedLoss(groups, x, y)
    found = {each.group: each for each in scan_groups(groups, scores, loss, journal=journal)}
    assert len(journal) == 1 + 2 + 3

    def mean_loss(net) -> float:
        return float(np.mean(keras.ops.convert_to_numpy(model.loss(y, net(x)))))

    keep = groups.keep_mask({"branch": np.arange(8) >= 4})
    expected = mean_loss(zeroed_copy(groups.analysis, keep)) - mean_loss(model)
    assert found["branch"].steps[2].tolist() == [False] * 4 + [True] * 4
    assert np.isclose(journal.get(["branch", 2]) - journal.get(["", 0]), expected, atol=1e-5)
    assert found["branch"].rises[0] == 0 and (np.diff(found["branch"].rises) >= 0).all()
    # It goes on from the journal, and asks for no loss again.
    again = scan_groups(groups, scores, None, journal=journal)
    assert all(np.array_equal(a.rises, found[a.group].rises) for a in again)


def test_it_cuts_trains_and_leaves_the_model(case):
    model, x, y = case
    before = [v.copy() for v in model.get_weights()]
    found = genetic(model, x, y, 0.6, round_to=2, layer_batches=2, generations=5, batch_size=16)
    assert found.report.after["macs"] <= 0.6 * found.report.before["macs"]
    assert found.report.method == "genetic" and found.model.compiled
    assert found.model.count_params() == found.report.after["parameters"]
    for a, b in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(a, b)
    # Without any training it is the plan applied, statistics aside.
    bare = genetic(
        model, x, y, 0.6, round_to=2, layer_batches=0, final_epochs=0, generations=5, batch_size=16
    )
    plain = bare.plan.apply(model)
    assert np.array_equal(bare.model.get_layer("head").kernel, plain.get_layer("head").kernel)
    assert bare.report.reestimated and not found.report.reestimated


def test_errors(case):
    model, x, y = case
    with pytest.raises(KerasCompressError, match="A target must be in reach"):
        genetic(model, x, y, 0.01, round_to=2)
    with pytest.raises(KerasCompressError, match="`layer_batches` must be an int of at least 0"):
        genetic(model, x, y, layer_batches=-1)
    bare = keras.Model(model.inputs, model.outputs)
    with pytest.raises(KerasCompressError, match="isn't compiled"):
        genetic(bare, x, y)
