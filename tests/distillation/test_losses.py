from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress.distillation import AttentionTransfer, Hints, SoftTargets
from keras_compress.errors import KerasCompressError
from tests.distillation.nets import net


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z.astype("float64") if hasattr(z, "astype") else -z))


def told(temperature=4.0, from_logits=True, teacher_from_logits=True, kind="softmax", **kwargs):
    return SoftTargets(temperature, from_logits, teacher_from_logits, kind, **kwargs)


def number(tensor) -> float:
    return float(keras.ops.convert_to_numpy(tensor))


def logits(seed, shape=(5, 7)):
    return np.random.default_rng(seed).normal(0, 3, shape).astype("float32")


@pytest.mark.parametrize("temperature", [1, 4.0, 20.0])
def test_soft_targets_are_the_papers_formula(temperature):
    theirs, ours = logits(0), logits(1)
    p, q = softmax(theirs / temperature), softmax(ours / temperature)
    expected = temperature**2 * (p * np.log(p / q)).sum(-1).mean()
    loss = told(temperature)
    assert number(loss.compute_loss(theirs, ours)) == pytest.approx(expected, rel=1e-4)
    assert number(loss.compute_loss(theirs, theirs)) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("temperature", [1, 4.0])
@pytest.mark.parametrize("units", [1, 3])
def test_binary_soft_targets_are_the_divergence_of_both_sides(temperature, units):
    theirs, ours = logits(0, (5, units)), logits(1, (5, units))
    p, q = sigmoid(theirs / temperature), sigmoid(ours / temperature)
    sides = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    expected = temperature**2 * sides.mean()
    loss = told(temperature, kind="sigmoid")
    assert number(loss.compute_loss(theirs, ours)) == pytest.approx(expected, rel=1e-4)
    assert number(loss.compute_loss(theirs, theirs)) == pytest.approx(0.0, abs=1e-5)
    # One unit is what two classes are, of which one has no logit.
    if units == 1:
        both = [np.concatenate([z, np.zeros_like(z)], -1) for z in (theirs, ours)]
        assert number(told(temperature).compute_loss(*both)) == pytest.approx(expected, rel=1e-4)
    probabilities = told(temperature, False, False, kind="sigmoid")
    found = number(probabilities.compute_loss(sigmoid(theirs), sigmoid(ours)))
    assert found == pytest.approx(expected, rel=1e-3)


def test_a_regression_is_taught_by_the_squared_difference_at_any_temperature():
    theirs, ours = logits(0, (5, 3)), logits(1, (5, 3))
    for temperature in (1.0, 9.0):
        loss = SoftTargets(temperature, kind="regression")
        found = number(loss.compute_loss(theirs, ours))
        assert found == pytest.approx(((theirs - ours) ** 2).mean(), rel=1e-5)
    column = number(loss.compute_loss(theirs[:, 0], ours[:, 0]))
    assert column == pytest.approx(((theirs - ours)[:, 0] ** 2).mean(), rel=1e-5)


def test_what_half_precision_rounds_away_is_taken_for_the_least_it_can_hold():
    sure = np.array([[0.0, 1.0]], "float16")
    found = number(told(1.0, True, False).compute_loss(sure, np.array([[3.0, 0.0]], "float32")))
    assert found == pytest.approx(np.log1p(np.exp(3.0)), rel=1e-4)
    yes = number(
        told(4.0, True, False, kind="sigmoid").compute_loss(sure[:, 1:], logits(0, (1, 1)))
    )
    assert np.isfinite(yes)
    p, q = sigmoid(np.log(2.0**12 - 1) / 4), sigmoid(logits(0, (1, 1))[0, 0] / 4)
    expected = 16 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    assert yes == pytest.approx(expected, rel=1e-3)


def test_outputs_are_summed_by_their_weights_in_any_structure():
    theirs = {"a": logits(0), "b": logits(1, (5, 1)), "c": logits(2, (5, 2))}
    ours = {"a": logits(3), "b": logits(4, (5, 1)), "c": logits(5, (5, 2))}
    kinds = {"a": "softmax", "b": "sigmoid", "c": "regression"}
    parts = [number(told(2.0, kind=kinds[k]).compute_loss(theirs[k], ours[k])) for k in "abc"]
    loss = told(2.0, kind=kinds, output_weights={"a": 2.0, "b": 3.0})
    expected = 2 * parts[0] + 3 * parts[1] + parts[2]
    assert number(loss.compute_loss(theirs, ours)) == pytest.approx(expected, rel=1e-5)
    lists = told(2.0, kind=list(kinds.values()), output_weights=[2.0, 3.0, 0])
    found = number(lists.compute_loss(list(theirs.values()), list(ours.values())))
    assert found == pytest.approx(2 * parts[0] + 3 * parts[1], rel=1e-5)
    with pytest.raises(KerasCompressError, match="must have the shape"):
        loss.validate_outputs(theirs, {**ours, "b": logits(4, (5, 2))})
    with pytest.raises(KerasCompressError, match="must have the shape"):
        loss.validate_outputs(theirs, {**ours, "d": ours["c"]})
    with pytest.raises(KerasCompressError, match="structure of the outputs"):
        told(kind=["softmax", "sigmoid"]).compute_loss(theirs, ours)


def test_alone_it_must_be_told_what_outputs_are():
    with pytest.raises(KerasCompressError, match="Pass `kind="):
        SoftTargets().compute_loss(logits(0), logits(1))
    with pytest.raises(KerasCompressError, match="Pass `from_logits=True`"):
        SoftTargets(kind="softmax").compute_loss(logits(0), logits(1))
    with pytest.raises(KerasCompressError, match="Pass `teacher_from_logits=True`"):
        SoftTargets(from_logits=True, kind="softmax").compute_loss(logits(0), logits(1))
    with pytest.raises(KerasCompressError, match="over one unit is always 1"):
        told().compute_loss(logits(0, (5, 1)), logits(1, (5, 1)))


def test_probabilities_are_softened_like_the_logits_they_came_from():
    theirs, ours = logits(0), logits(1)
    expected = number(told(5.0).compute_loss(theirs, ours))
    both = told(5.0, False, False)
    assert number(both.compute_loss(softmax(theirs), softmax(ours))) == pytest.approx(
        expected, rel=1e-4
    )
    mixed = told(5.0, True, False)
    assert number(mixed.compute_loss(softmax(theirs), ours)) == pytest.approx(expected, rel=1e-4)


def test_small_probabilities_count():
    # Below the 1e-7 at which Keras' divergence clips: the ranking of the wrong classes.
    theirs = np.array([[30.0, 5.0, 0.0]], "float32")
    ours = np.array([[30.0, 0.0, 5.0]], "float32")
    assert number(told(1.0).compute_loss(theirs, ours)) > 0
    zeros = told(2.0, False, False)
    assert np.isfinite(number(zeros.compute_loss(np.eye(3, dtype="float32"), np.eye(3)[::-1])))


def test_a_hint_of_equal_shape_is_the_plain_distance():
    a, b = logits(0, (2, 4, 4, 3)), logits(1, (2, 4, 4, 3))
    loss = Hints("conv", "conv")
    assert loss.make_projection(a.shape, b.shape) is None
    assert number(loss.compute_loss(a, b)) == pytest.approx(((a - b) ** 2).mean(), rel=1e-5)


def test_a_hint_is_projected_to_the_teachers_channels_and_resized_to_the_students_map():
    theirs, ours = logits(0, (2, 8, 8, 5)), logits(1, (2, 4, 4, 3))
    loss = Hints("conv", "conv")
    projection = loss.make_projection(theirs.shape, ours.shape)
    matrix = np.array(keras.ops.convert_to_numpy(projection.projection))
    assert matrix.shape == (3, 5)
    pooled = theirs.reshape(2, 4, 2, 4, 2, 5).mean((2, 4))
    expected = ((ours @ matrix - pooled) ** 2).mean()
    assert number(loss.compute_loss(theirs, ours)) == pytest.approx(expected, rel=1e-4)


def test_attention_is_the_papers_formula_for_any_widths():
    theirs, ours = logits(0, (2, 4, 4, 6)), logits(1, (2, 4, 4, 3))

    def attention(features):
        flat = (features.astype("float64") ** 2).sum(-1).reshape(2, -1)
        return flat / np.linalg.norm(flat, axis=-1, keepdims=True)

    expected = ((attention(theirs) - attention(ours)) ** 2).sum(-1).mean()
    loss = AttentionTransfer("a", "b")
    assert number(loss.compute_loss(theirs, ours)) == pytest.approx(expected, rel=1e-4)
    assert number(loss.compute_loss(2 * ours, ours)) == pytest.approx(0.0, abs=1e-6)
    larger = np.repeat(np.repeat(theirs, 2, 1), 2, 2)
    assert number(loss.compute_loss(larger, ours)) == pytest.approx(expected, rel=1e-4)
    uneven = logits(2, (2, 5, 7, 6))
    assert np.isfinite(number(loss.compute_loss(uneven, ours)))


def test_a_dead_layer_has_a_finite_attention_loss():
    dead = np.zeros((2, 4, 4, 3), "float32")
    assert np.isfinite(number(AttentionTransfer("a", "b").compute_loss(dead, dead)))


@pytest.mark.parametrize(
    "loss",
    [
        SoftTargets(3.0, from_logits=False, teacher_from_logits=True),
        SoftTargets(3.0, kind=["softmax", "sigmoid"], output_weights=[1.0, 0.5]),
        Hints("a", "b", loss="mae", teacher=1),
        AttentionTransfer("a", "b", power=1.0, teacher=1),
    ],
)
def test_losses_serialize(loss):
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(loss)
    assert keras.saving.serialize_keras_object(again) == config


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftTargets(0), "temperature=0"),
        (lambda: SoftTargets(float("nan")), "temperature=nan"),
        (lambda: SoftTargets("hot"), "temperature='hot'"),
        (lambda: Hints("conv", None), "student_layer_name=None"),
        (lambda: Hints("", "conv"), "teacher_layer_name=''"),
        (lambda: SoftTargets(kind="logits"), "kind='logits'"),
        (lambda: SoftTargets(from_logits=[True, 1]), r"from_logits=\[True, 1\]"),
        (lambda: SoftTargets(output_weights=-1), "output_weights=-1"),
        (lambda: AttentionTransfer("a", "b", power=0.5), r"power=0\.5"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(KerasCompressError, match=message):
        make()


def test_a_softmax_taken_for_logits_is_refused():
    probabilities = net(4, "sure", activation="softmax")
    plain = net(4, "student")
    with pytest.raises(KerasCompressError, match="teacher_from_logits=True and 'sure'"):
        told().validate_model_compatibility(probabilities, plain)
    with pytest.raises(KerasCompressError, match=r"from_logits=True and 'sure'"):
        told().validate_model_compatibility(plain, probabilities)
    with pytest.raises(KerasCompressError, match="from_logits=False and 'student'"):
        SoftTargets(from_logits=False).validate_model_compatibility(probabilities, plain)
    with pytest.raises(KerasCompressError, match="to be taught as 'sigmoid'"):
        SoftTargets(kind="sigmoid").validate_model_compatibility(probabilities, plain)
    SoftTargets().validate_model_compatibility(probabilities, plain)


def test_layers_of_unequal_rank_are_refused():
    maps, vectors = logits(0, (2, 4, 4, 3)), logits(1, (2, 48))
    with pytest.raises(KerasCompressError, match="shapes of one rank"):
        Hints("a", "b").make_projection(maps.shape, vectors.shape)
    with pytest.raises(KerasCompressError, match="as many steps"):
        Hints("a", "b").validate_outputs(logits(0, (2, 1, 3)), logits(1, (2, 4, 3)))
    with pytest.raises(KerasCompressError, match="rank 4"):
        AttentionTransfer("a", "b").validate_outputs(vectors, vectors)
