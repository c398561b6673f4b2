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


def number(tensor) -> float:
    return float(keras.ops.convert_to_numpy(tensor))


def logits(seed, shape=(5, 7)):
    return np.random.default_rng(seed).normal(0, 3, shape).astype("float32")


@pytest.mark.parametrize("temperature", [1, 4.0, 20.0])
def test_soft_targets_are_the_papers_formula(temperature):
    theirs, ours = logits(0), logits(1)
    p, q = softmax(theirs / temperature), softmax(ours / temperature)
    expected = temperature**2 * (p * np.log(p / q)).sum(-1).mean()
    loss = SoftTargets(temperature)
    assert number(loss.compute_loss(theirs, ours)) == pytest.approx(expected, rel=1e-4)
    assert number(loss.compute_loss(theirs, theirs)) == pytest.approx(0.0, abs=1e-5)


def test_probabilities_are_softened_like_the_logits_they_came_from():
    theirs, ours = logits(0), logits(1)
    expected = number(SoftTargets(5.0).compute_loss(theirs, ours))
    both = SoftTargets(5.0, from_logits=False)
    assert number(both.compute_loss(softmax(theirs), softmax(ours))) == pytest.approx(
        expected, rel=1e-4
    )
    mixed = SoftTargets(5.0, teacher_from_logits=False)
    assert number(mixed.compute_loss(softmax(theirs), ours)) == pytest.approx(expected, rel=1e-4)


def test_small_probabilities_count():
    # Below the 1e-7 at which Keras' divergence clips: the ranking of the wrong classes.
    theirs = np.array([[30.0, 5.0, 0.0]], "float32")
    ours = np.array([[30.0, 0.0, 5.0]], "float32")
    assert number(SoftTargets(1.0).compute_loss(theirs, ours)) > 0
    zeros = SoftTargets(2.0, from_logits=False)
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
        (lambda: AttentionTransfer("a", "b", power=0), "power=0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(KerasCompressError, match=message):
        make()


def test_a_softmax_taken_for_logits_is_refused():
    probabilities = net(4, "sure", activation="softmax")
    plain = net(4, "student")
    with pytest.raises(KerasCompressError, match="teacher_from_logits=True and 'sure'"):
        SoftTargets().validate_model_compatibility(probabilities, plain)
    with pytest.raises(KerasCompressError, match=r"from_logits=True and 'sure'"):
        SoftTargets().validate_model_compatibility(plain, probabilities)
    SoftTargets(teacher_from_logits=False).validate_model_compatibility(probabilities, plain)


def test_layers_of_unequal_rank_are_refused():
    maps, vectors = logits(0, (2, 4, 4, 3)), logits(1, (2, 48))
    with pytest.raises(KerasCompressError, match="shapes of one rank"):
        Hints("a", "b").make_projection(maps.shape, vectors.shape)
    with pytest.raises(KerasCompressError, match="rank 4"):
        AttentionTransfer("a", "b").validate_outputs(vectors, vectors)
