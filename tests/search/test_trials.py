"""A function mapped over settings: in order, on other processes, on Ray, and not twice."""

from __future__ import annotations

import os
import sys
import types
from typing import Any

import pytest

from keras_compress.errors import KerasCompressError
from keras_compress.search import Journal, Trial, run_trials


def test_results_come_in_the_order_of_the_settings():
    seen = []
    trials = run_trials(abs, [-3, 2, -1], on_result=seen.append)
    assert trials == [Trial(-3, 3), Trial(2, 2), Trial(-1, 1)] == seen
    assert run_trials(abs, []) == []


def test_a_worker_prepares_once_and_passes_it_on():
    prepared = []

    def load():
        prepared.append(1)
        return "model"

    trials = run_trials(lambda loaded, n: f"{loaded}{n}", [1, 2], prepare=load)
    assert [trial.result for trial in trials] == ["model1", "model2"] and prepared == [1]


def test_workers_are_other_processes():
    # A function that every interpreter has: a worker need not be able to import the tests.
    process = os.path.realpath("/proc/self")
    if process == "/proc/self":
        pytest.skip("no /proc to ask for the process")
    trials = run_trials(os.path.realpath, ["/proc/self", "/proc/self"], workers=2)
    found = [trial.result for trial in trials]
    assert len(found) == 2 and process not in found
    # os.getcwd takes nothing: what is prepared comes before the setting.
    joined = run_trials(os.path.join, ["a", "b"], workers=2, prepare=os.getcwd)
    assert [trial.result for trial in joined] == [os.path.join(os.getcwd(), n) for n in "ab"]
    alone = run_trials(os.path.realpath, ["/proc/self"], workers=4)
    assert alone[0].result == process


def test_what_is_in_the_journal_is_not_tried_again(tmp_path):
    path, tried = tmp_path / "search.jsonl", []

    def trial(setting):
        tried.append(setting["n"])
        if setting["n"] == 3 and len(tried) == 3:
            raise KeyboardInterrupt
        return (setting["n"], 1.5)

    settings = [{"n": n, "seed": 0} for n in (1, 2, 3, 3)]
    with pytest.raises(KeyboardInterrupt):
        run_trials(trial, settings, journal=Journal(path, "it"))
    trials = run_trials(trial, settings, journal=Journal(path, "it"))
    assert tried == [1, 2, 3, 3]
    # As JSON holds them, new ones and old ones.
    assert [trial.result for trial in trials] == [[1, 1.5], [2, 1.5], [3, 1.5], [3, 1.5]]
    assert run_trials(trial, settings[::-1], journal=Journal(path, "it")) == trials[::-1]
    assert len(tried) == 4


def test_what_a_trial_raises_is_raised_and_the_rest_is_kept(tmp_path):
    journal = Journal(tmp_path / "search.jsonl", "it")
    for workers in (1, 2):
        with pytest.raises(ValueError, match="abc"):
            run_trials(int, ["12", "abc"], journal=journal, workers=workers)
    assert journal.get("12") == 12


def fake_ray(monkeypatch, cancelled):
    ray: Any = types.SimpleNamespace(
        started=False,
        is_initialized=lambda: ray.started,
        init=lambda: setattr(ray, "started", True),
        put=lambda value: value,
        remote=lambda function: types.SimpleNamespace(
            remote=lambda *arguments: (function, arguments)
        ),
        # The last first: a cluster keeps no order.
        wait=lambda references, num_returns: (references[-1:], references[:-1]),
        get=lambda reference: reference[0](*reference[1]),
        cancel=lambda reference, force: cancelled.append(reference[1][2]),
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    return ray


def test_a_ray_cluster_takes_the_same_function(monkeypatch):
    cancelled = []
    ray = fake_ray(monkeypatch, cancelled)
    trials = run_trials(pow, [1, 2, 3], backend="ray", prepare=lambda: 2)
    assert [trial.result for trial in trials] == [2, 4, 8] and ray.started and not cancelled
    with pytest.raises(ValueError, match="abc"):
        run_trials(int, ["12", "abc"], backend="ray")
    assert cancelled == ["12"]


def test_missing_ray_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(KerasCompressError, match=r"keras-compress\[ray\]"):
        run_trials(abs, [1], backend="ray")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "slurm"}, "backend='slurm'"),
        ({"workers": 0}, "workers=0"),
        ({"workers": 2, "function": lambda setting: setting}, "function of a module"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(KerasCompressError, match=message):
        run_trials(**{"function": abs, "settings": [1, 2], **arguments})


def test_a_worker_that_dies_is_told():
    with pytest.raises(KerasCompressError, match="ended before its trial did"):
        run_trials(os._exit, [3, 3], workers=2)
