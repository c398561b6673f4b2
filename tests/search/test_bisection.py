"""One number, narrowed round by round."""

from __future__ import annotations

import pytest

from keras_compress.errors import KerasCompressError
from keras_compress.search import Bracket, bisect


def within(limit):
    return lambda values: [value <= limit for value in values]


def test_it_closes_in_from_either_side():
    found = bisect(within(1.7), 0.0, 4.0, rounds=30)
    assert found.met <= 1.7 < found.unmet and found.unmet - found.met < 1e-8
    above = bisect(lambda values: [value >= 1.7 for value in values], 4.0, 0.0, rounds=30)
    assert above.unmet < 1.7 <= above.met


def test_several_points_a_round_and_even_ratios():
    rounds = []

    def is_met(values):
        rounds.append(values)
        return within(30)(values)

    found = bisect(is_met, 1.0, 16.0, rounds=1, points=3, scale="log")
    assert rounds == [pytest.approx([2, 4, 8])] and found == Bracket(pytest.approx(8), 16.0, 1)
    seen = []
    found = bisect(is_met, 1.0, 1e6, rounds=2, first=[10, 100], points=1, scale="log",
                   on_round=seen.append)  # fmt: skip
    assert rounds[1] == [10, 100] and rounds[2] == pytest.approx([1000**0.5])
    assert seen == [Bracket(10, 100, 1), Bracket(10, pytest.approx(31.6, abs=0.1), 2)]


def test_it_ends_at_the_resolution_and_where_nothing_is_left():
    found = bisect(within(0.3), 0.0, 1.0, rounds=99, resolution=0.1)
    assert found.rounds == 4 and found.unmet - found.met <= 0.1
    assert bisect(within(9), 2.0, 2.0, rounds=3) == Bracket(2.0, 2.0, 0)
    # All met, the last point being the end itself.
    assert bisect(within(9), 0.0, 2.0, rounds=3, first=[1, 2]).met == 2.0


def test_on_and_off_the_nearest_to_the_unmet_end_counts():
    found = bisect(lambda values: [v in (1, 3) for v in values], 0, 5, rounds=1, first=[1, 2, 3, 4])
    assert found == Bracket(3.0, 4.0, 1)


def test_whole_numbers_alone_down_to_two_neighbours():
    tried = []

    def is_met(values):
        tried.extend(values)
        return within(5)(values)

    assert bisect(is_met, 0, 8, rounds=9, scale="integer") == Bracket(5.0, 6.0, 3)
    assert tried == [4, 6, 5]
    assert bisect(is_met, 5, 6, rounds=9, scale="integer").rounds == 0
    falling = bisect(lambda v: [x >= 3 for x in v], 9, 0, rounds=9, points=3, scale="integer")
    assert (falling.met, falling.unmet) == (3, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rounds": 0}, "rounds=0"),
        ({"points": 0}, "points=0"),
        ({"scale": "cubic"}, "scale='cubic'"),
        ({"scale": "log"}, "above 0"),
        ({"scale": "integer", "unmet": 1.5}, "whole ends"),
        ({"unmet": float("nan")}, "finite ends"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(KerasCompressError, match=message):
        bisect(**{"is_met": within(1), "met": 0.0, "unmet": 1.0, "rounds": 3, **arguments})
