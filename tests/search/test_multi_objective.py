"""Compromises between several numbers, on problems whose front is known."""

from __future__ import annotations

import sys

import pytest

from keras_compress import KerasCompressError
from keras_compress.search import FrontPoint, Journal, search_front


def two_ends(setting):
    """Best between 2 and 6 at the first place, and at 3 at the second."""
    return [
        (setting[0] - 2) ** 2 + abs(setting[1] - 3),
        (setting[0] - 6) ** 2 + abs(setting[1] - 3),
    ]


def test_it_finds_the_front(tmp_path):
    pytest.importorskip("pymoo", reason="the extra `multi-objective` isn't installed")
    journal = Journal(tmp_path / "front.jsonl", "two ends")
    settings = {"population": 16, "generations": 12, "start": [[0, 0]], "journal": journal}
    found = search_front(two_ends, [10, 8], **settings)
    expected = [FrontPoint((a, 3), ((a - 2) ** 2, (a - 6) ** 2)) for a in range(2, 7)]
    assert found == expected
    assert [0, 0] in [setting for setting, _ in journal]
    # The same search asks for nothing again.
    assert search_front(None, [10, 8], **settings) == expected


def test_an_infinite_value_is_no_compromise():
    pytest.importorskip("pymoo", reason="the extra `multi-objective` isn't installed")
    found = search_front(
        lambda s: [float("inf"), 0] if s[0] == 0 else [s[0], -s[0]],
        [4],
        population=4,
        generations=4,
    )
    assert [point.setting for point in found] == [(1,), (2,), (3,)]


def test_a_place_may_have_one_choice():
    pytest.importorskip("pymoo", reason="the extra `multi-objective` isn't installed")
    found = search_front(lambda s: [s[1], -s[1]], [1, 3], population=4, generations=4)
    assert [point.setting for point in found] == [(0, 0), (0, 1), (0, 2)]


def test_errors(monkeypatch):
    with pytest.raises(KerasCompressError, match="`choices` must be at least 1"):
        search_front(two_ends, [])
    with pytest.raises(KerasCompressError, match="`choices` must be at least 1"):
        search_front(two_ends, [3, 0])
    monkeypatch.setitem(sys.modules, "pymoo.algorithms.moo.nsga2", None)
    with pytest.raises(KerasCompressError, match=r"keras-compress\[multi-objective\]"):
        search_front(two_ends, [10, 8])
