"""Explained variance and least squares, against NumPy's own on the same numbers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import KerasCompressError
from keras_compress.channel_pruning import (
    ChannelPlan,
    Data,
    ExplainedVariance,
    Lasso,
    cap,
    find_groups,
    prune,
)
from keras_compress.channel_pruning.compensation import compensated_copy
from keras_compress.channel_pruning.reading_layers import find_readers, kernel_matrix, read_rows
from tests.channel_pruning.nets import behind, image, randomized

pytestmark = pytest.mark.backend_independent

POSITIONS = 7


def inputs_of(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, *shape)).astype("float32")


@pytest.mark.parametrize(
    ("shape", "layer"),
    [
        ((9, 8, 3), layers.Conv2D(4, 3)),
        ((9, 8, 3), layers.Conv2D(4, (3, 2), strides=2, padding="same")),
        ((9, 8, 3), layers.Conv2D(4, 3, dilation_rate=2, padding="same", use_bias=False)),
        ((9, 3), layers.Conv1D(4, 3, padding="causal")),
        ((5, 6, 4, 2), layers.Conv3D(3, 2, padding="same")),
        ((3,), layers.Dense(4)),
        ((5, 3), layers.Dense(4)),
    ],
)
def test_rows_times_the_kernel_are_outputs(shape, layer):
    model = keras.Sequential([keras.Input(shape), layer])
    x = inputs_of(5, *shape)
    made = keras.ops.convert_to_numpy(layer(x)).reshape(5, -1, layer.output.shape[-1])
    (rows,) = read_rows(model, [layer], x, positions=POSITIONS, batch_size=5, seed=3)
    found = rows[id(layer)] @ kernel_matrix(layer)
    if layer.bias is not None:
        found += keras.ops.convert_to_numpy(layer.bias)
    drawn = np.random.default_rng((3, 0)).integers(0, made.shape[1], (5, POSITIONS))
    if made.shape[1] == 1:
        drawn = np.zeros((5, 1), int)
    expected = made[np.arange(5)[:, None], drawn].reshape(-1, made.shape[-1])
    assert np.allclose(found, expected, atol=1e-5)
    assert "call" not in vars(layer)


def test_readers_are_found_in_order():
    readers, others = find_readers(find_groups(randomized("grouped_convolutions")))
    assert [len(r.channels) for r in readers] == [32]
    assert len(others) == 1
    groups = find_groups(randomized("concatenation_with_itself"))
    (reader,), others = find_readers(groups)
    assert not others
    names = list(groups)
    # Eight, six and again eight channels, each doubled by the depthwise multiplier.
    expected = [(names[0], i) for i in range(8)] + [(names[1], i) for i in range(6)]
    expected += [(names[0], i) for i in range(8)]
    assert list(reader.channels) == [pair for pair in expected for _ in range(2)]


def two_readers() -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = image(6, 6, 3)
    x = layers.Conv2D(5, 3, activation="relu", name="made")(inputs)
    outputs = [layers.Conv2D(4, 2, name="one")(x), layers.Conv2D(3, 1, name="other")(x)]
    return keras.Model(inputs, outputs)


def explained(model, x, chosen) -> float:
    """Return the share of both readers' variance that a fit by `chosen` channels explains."""
    found = 0.0
    for name in ("one", "other"):
        layer = model.get_layer(name)
        (read,) = read_rows(model, [layer], x, positions=POSITIONS, batch_size=len(x), seed=0)
        rows = read[id(layer)] - read[id(layer)].mean(0)
        y = rows @ kernel_matrix(layer)
        given = rows[:, np.tile(np.isin(np.arange(5), chosen), rows.shape[1] // 5)]
        left = y - given @ np.linalg.lstsq(given, y, rcond=None)[0]
        found += 1 - np.square(left).sum() / np.square(y).sum()
    return found


def test_explained_variance_is_that_of_the_best_fit():
    model, x = two_readers(), inputs_of(40, 6, 6, 3)
    data = Data(x, None, batch_size=40)
    scores = ExplainedVariance(positions=POSITIONS).scores(find_groups(model), data)["made"]
    order = np.argsort(-scores, kind="stable")
    for step in range(1, 6):
        chosen = order[:step]
        assert np.isclose(scores[chosen].sum(), explained(model, x, chosen), rtol=1e-3)
        gains = [
            explained(model, x, [*order[: step - 1], c])
            for c in range(5)
            if c not in order[: step - 1]
        ]
        assert np.isclose(explained(model, x, chosen), max(gains), rtol=1e-3)
    assert np.isclose(scores.sum(), 2.0, rtol=1e-3)


def test_a_channel_that_follows_from_others_is_not_missed():
    keras.utils.set_random_seed(2)
    inputs = image(8, 8, 3)
    x = layers.Conv2D(4, 3, name="made")(inputs)
    model = behind(inputs, layers.Conv2D(5, 3, name="reads")(x))
    made = model.get_layer("made")
    kernel, bias = (keras.ops.convert_to_numpy(w).copy() for w in made.get_weights())
    kernel[..., 3] = 2 * kernel[..., 0] - kernel[..., 1]
    bias[3] = 0.7
    made.set_weights([kernel, bias])
    groups, x = find_groups(model), inputs_of(40, 8, 8, 3)
    masks = {"made": np.array([True, True, True, False])}
    copy, fitted = compensated_copy(groups, masks, x)
    assert fitted == ["reads"]
    small = ChannelPlan.of(groups, masks).apply(copy, verify=x[:4])
    found, wanted = (keras.ops.convert_to_numpy(m(x)) for m in (small, model))
    assert np.abs(found - wanted).max() < 2e-3 * np.abs(wanted).max()
    # Without the fit it would be far off.
    bare = ChannelPlan.of(groups, masks).apply(model)
    missed = np.abs(keras.ops.convert_to_numpy(bare(x)) - wanted).max()
    assert missed > 0.1 * np.abs(wanted).max()


@pytest.mark.parametrize("bias", [True, False])
def test_fits_are_least_squares_and_means_are_kept(bias):
    keras.utils.set_random_seed(3)
    inputs = image(8, 8, 3)
    x = layers.Conv2D(6, 3, activation="relu", name="made")(inputs)
    x = layers.Conv2D(4, 1, use_bias=bias, name="reads")(x)
    model = behind(inputs, layers.BatchNormalization(name="norm")(x))
    groups, x = find_groups(model), inputs_of(64, 8, 8, 3)
    masks = {"made": np.arange(6) < 4}
    copy, _ = compensated_copy(groups, masks, x, positions=36)
    until = [keras.Model(m.input, m.get_layer("norm").output) for m in (model, copy)]
    wanted, found = (keras.ops.convert_to_numpy(m(x)).reshape(-1, 4) for m in until)
    assert np.allclose(wanted.mean(0), found.mean(0), atol=0.02 * np.abs(wanted).max())
    # No other kernel on the same inputs comes nearer.
    made = keras.Model(model.input, model.get_layer("made").output)
    given = keras.ops.convert_to_numpy(made(x)).reshape(-1, 6)[:, :4].astype("float64")
    given = np.concatenate([given, np.ones((len(given), 1))], axis=1)
    best = wanted - given @ np.linalg.lstsq(given, wanted, rcond=None)[0]
    assert np.square(wanted - found).sum() < 1.02 * np.square(best).sum()


def test_rescaled_outputs_have_the_variance_they_had():
    keras.utils.set_random_seed(3)
    inputs = image(8, 8, 3)
    x = layers.Conv2D(6, 3, activation="relu", name="made")(inputs)
    model = keras.Model(inputs, layers.Conv2D(4, 1, name="reads")(x))
    groups, x = find_groups(model), inputs_of(64, 8, 8, 3)
    masks = {"made": np.arange(6) < 2}
    variances = {
        rescale: keras.ops.convert_to_numpy(
            compensated_copy(groups, masks, x, positions=36, rescale=rescale)[0](x)
        ).var((0, 1, 2))
        for rescale in (True, False)
    }
    wanted = keras.ops.convert_to_numpy(model(x)).var((0, 1, 2))
    assert np.allclose(variances[True], wanted, rtol=0.1)
    assert (variances[False] < 0.95 * wanted).all()


@pytest.mark.parametrize("norm", [True, False])
def test_the_end_of_a_branch_makes_up_for_its_shortcut(norm):
    keras.utils.set_random_seed(4)
    inputs = image(6, 6, 3)
    # The branch comes first: what counts is that it is longer.
    y = layers.ReLU(name="wide_out")(layers.Conv2D(24, 3, padding="same", name="wide")(inputs))
    y = layers.Conv2D(4, 1, name="end")(y)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="made")(inputs)
    x = layers.Conv2D(4, 1, name="shortcut")(x)
    if norm:
        bn = layers.BatchNormalization()
        y = bn(y)
        values = [0.5, 2.0, -1.0, 1e-5], [0.1] * 4, [0.2] * 4, [1.0, 4.0, 0.5, 2.0]
        bn.set_weights([np.array(v) for v in values])
    model = behind(inputs, layers.Add(name="merged")([x, y]))
    groups, x = find_groups(model), inputs_of(64, 6, 6, 3)
    masks = {"made": np.arange(6) < 3, "wide": np.arange(24) < 23}
    copy, fitted = compensated_copy(groups, masks, x, positions=200)
    assert fitted == ["shortcut", "end"]

    def made(net, name) -> np.ndarray:
        layer = net.get_layer(name)
        found = keras.ops.convert_to_numpy(keras.Model(net.input, layer.output)(x))
        return found.reshape(-1, found.shape[-1]).astype("float64")

    target = made(model, "merged") - made(copy, "shortcut")
    given = np.c_[made(copy, "wide_out")[:, :23], np.ones(len(target))]
    best = target - given @ np.linalg.lstsq(given, target, rcond=None)[0]
    left = made(copy, "merged") - made(model, "merged")
    lost = made(copy, "shortcut") - made(model, "shortcut")
    strong = 3 if norm else 4
    best, left, lost = (np.square(each).sum(0) for each in (best, left, lost))
    assert (left[:strong] < 1.02 * best[:strong]).all() and (best < 0.9 * lost).all()
    # A channel that is all but switched off is left as it is.
    assert not norm or np.isclose(left[3], lost[3], rtol=1e-2)


def test_it_is_one_argument_of_prune():
    model = randomized("residual")
    x = inputs_of(32, 12, 12, 3)
    before = [v.copy() for v in model.get_weights()]
    found = prune(
        model, 0.6, criterion="explained_variance", x=x, compensate=True, round_to=2, verify=True
    )
    assert found.report.criterion == "ExplainedVariance"
    assert len(found.report.compensated) >= 1
    assert found.report.after["macs"] <= 0.6 * found.report.before["macs"]
    for a, b in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_samples_are_needed():
    model = randomized("residual")
    with pytest.raises(KerasCompressError, match="`compensate=True` needs samples"):
        prune(model, 0.5, compensate=True)
    with pytest.raises(KerasCompressError, match="Received: no samples"):
        prune(model, 0.5, criterion="explained_variance")


def test_groups_read_otherwise_are_not_cut():
    model = randomized("recurrent_units")
    x = inputs_of(8, 12, 10)
    with pytest.raises(KerasCompressError, match="Dense layers alone"):
        ExplainedVariance().scores(find_groups(model).restrict(layers="lstm*"), Data(x, None))


def test_lasso_scores_are_the_penalties_at_which_channels_come_in():
    from sklearn.linear_model import Lasso as Solver

    model, x = two_readers(), inputs_of(60, 6, 6, 3)
    groups = find_groups(model)
    readers, _ = find_readers(groups)
    found = Lasso(positions=POSITIONS).scores(groups, Data(x, None, batch_size=60))["made"]
    assert (found > 0).all()
    # The problem of the paper, both readers' outputs below each other, by coordinate descent.
    contributions, norms = [], np.zeros(5)
    for reader in readers:
        drawn = read_rows(model, [reader.layer], x, positions=POSITIONS, batch_size=60, seed=0)
        rows, kernel = next(drawn)[id(reader.layer)], kernel_matrix(reader.layer)
        products = [rows[:, c::5] @ kernel[c::5] for c in range(5)]
        parts = np.stack([each - each.mean(0) for each in products])
        contributions.append((parts / np.sqrt(np.square(parts.sum(0)).sum())).reshape(5, -1))
        squares = np.array([np.square(kernel[c::5]).sum() for c in range(5)])
        norms += squares / squares.mean()
    whole = np.concatenate(contributions, axis=1).T
    design, target = whole / np.sqrt(norms), whole.sum(axis=1)
    for penalty in np.sort(found)[1:] * 0.999:
        solver = Solver(penalty / len(design), fit_intercept=False, tol=1e-10, max_iter=100_000)
        solver.fit(design, target)
        assert np.array_equal(np.abs(solver.coef_) > 1e-9, found > penalty)


def test_cap_goes_as_far_as_the_floor_allows():
    model = randomized("residual")
    x = inputs_of(32, 12, 12, 3)
    wanted = keras.ops.convert_to_numpy(model(x))

    def nearness(net) -> float:
        found = keras.ops.convert_to_numpy(net(x))
        return 1 - float(np.square(found - wanted).sum() / np.square(wanted).sum())

    seen = []
    settings = {"round_to": 1, "rescale": False}
    found = cap(
        model, x, nearness, max_drop=0.3, progress=lambda *each: seen.append(each), **settings
    )
    assert [name for name, _, _ in seen] == list(find_groups(model))
    steps = [1 - 0.3 * (i + 1) / len(seen) for i in range(len(seen))]
    assert all(score >= floor for (_, _, score), floor in zip(seen, steps, strict=True))
    assert nearness(found.model) >= 0.7 - 1e-3
    assert found.report.after["macs"] < found.report.before["macs"]
    kept = {row.group: row.kept for row in found.report.groups}
    assert kept == {name: number for name, number, _ in seen}
    nothing = cap(model, x, nearness, max_drop=0.0, **settings)
    assert nothing.report.after == nothing.report.before
    assert nearness(nothing.model) > 1 - 1e-9


def test_scores_of_cap_are_checked():
    model, x = randomized("residual"), inputs_of(8, 12, 12, 3)
    with pytest.raises(KerasCompressError, match="nan from `evaluate`"):
        cap(model, x, lambda net: float("nan"))
    with pytest.raises(KerasCompressError, match="`max_drop` must be at least 0"):
        cap(model, x, lambda net: 1.0, max_drop=-1)
