"""Schedules are pure functions of the step, check their arguments and serialize."""

from __future__ import annotations

import keras
import pytest

from keras_compress import KerasCompressError
from keras_compress.pruning import ConstantSparsity, OneShot, PolynomialDecay, PruningConfig
from keras_compress.pruning.schedules import last_due_step

pytestmark = pytest.mark.backend_independent


def test_polynomial_decay_follows_zhu_and_gupta():
    schedule = PolynomialDecay(0.5, 0.9, begin_step=10, end_step=110, power=3)
    assert schedule(9) == 0.0
    assert schedule(10) == pytest.approx(0.5)
    assert schedule(60) == pytest.approx(0.9 + (0.5 - 0.9) * 0.5**3)
    assert schedule(110) == schedule(10_000) == pytest.approx(0.9)


def test_constant_and_one_shot():
    constant = ConstantSparsity(0.8, begin_step=5)
    assert [constant(4), constant(5), constant(99)] == [0.0, 0.8, 0.8]
    assert [OneShot(0.8, step=5)(s) for s in (4, 5, 99)] == [0.0, 0.8, 0.8]


@pytest.mark.parametrize(
    "schedule",
    [ConstantSparsity(0.3, 1, 9), OneShot(0.4, 7), PolynomialDecay(0.1, 0.6, 2, 8, power=2)],
    ids=lambda s: type(s).__name__,
)
def test_schedules_serialize(schedule):
    record = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(record)
    assert again == schedule
    assert [again(step) for step in range(12)] == [schedule(step) for step in range(12)]


@pytest.mark.parametrize(
    ("step", "due"), [(0, None), (4, None), (5, 5), (14, 5), (15, 15), (23, 15), (24, 24), (99, 24)]
)
def test_masks_are_due_at_begin_then_regularly_and_at_the_end(step, due):
    schedule = PolynomialDecay(0.0, 0.5, begin_step=5, end_step=24)
    assert last_due_step(schedule, step, frequency=10) == due


def test_a_plain_callable_is_due_for_ever():
    assert last_due_step(lambda step: 0.5, 1234, frequency=100) == 1200


@pytest.mark.parametrize(
    "make",
    [
        lambda: ConstantSparsity(1.0),
        lambda: ConstantSparsity(-0.1),
        lambda: ConstantSparsity(float("nan")),
        lambda: ConstantSparsity("much"),
        lambda: ConstantSparsity(0.5, begin_step=5, end_step=4),
        lambda: ConstantSparsity(0.5, begin_step=-1),
        lambda: OneShot(0.5, step=1.5),
        lambda: PolynomialDecay(0.0, 1.0, 0, 10),
        lambda: PolynomialDecay(0.0, 0.5, 10, 10),
        lambda: PolynomialDecay(0.0, 0.5, 10, 5),
        lambda: PolynomialDecay(0.0, 0.5, 0, 5, power=0),
        lambda: PruningConfig(1.5),
        lambda: PruningConfig(0.5, scope="model"),
        lambda: PruningConfig(0.5, frequency=0),
    ],
)
def test_bad_arguments_state_rule_and_value(make):
    with pytest.raises(KerasCompressError, match="Received"):
        make()
