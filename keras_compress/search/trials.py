"""Trials: a function mapped over settings, side by side, and not again if a journal has it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from keras_compress.argument_checks import check_count
from keras_compress.search.journal import Journal, setting_key
from keras_compress.search.workers import run_in_workers

__all__ = ["Trial", "run_trials"]


@dataclass(frozen=True)
class Trial:
    """What one setting came to.

    Attributes:
        setting: The setting.
        result: What the function returned for it.
    """

    setting: Any
    result: Any


def run_trials(
    function: Callable[..., Any],
    settings: Sequence[object],
    *,
    workers: int = 1,
    backend: str = "processes",
    prepare: Callable[[], Any] | None = None,
    journal: Journal | None = None,
    on_result: Callable[[Trial], object] | None = None,
) -> list[Trial]:
    """Call `function(setting)` for each setting; the result doesn't depend on `workers`.

    Example:

    ```python
    journal = search.Journal("squares.jsonl", search.fingerprint("squares"))
    trials = search.run_trials(abs, [-1, 2, -3], journal=journal)
    [trial.result for trial in trials]  # [1, 2, 3]
    ```

    Args:
        function: Makes a trial. With other processes it must be picklable: a function of a module,
            or an object of a class of one. A function of its setting alone (seeds included) gives
            the same results on any number of workers.
        settings: What to try.
        workers: Trials that run side by side in processes of this machine; with 1, or a single
            setting, they run in this process, in order. Defaults to `1`.
        backend: `"processes"`, or `"ray"` for the Ray cluster that this process is connected to
            (or one of this machine's processors), which decides how many run side by side.
            Defaults to `"processes"`.
        prepare: Called once in each worker; what it returns goes before the setting,
            `function(prepared, setting)`. For what is large or slow to load. Defaults to `None`.
        journal: A `Journal`: what it has is not tried again, a setting that stands twice is tried
            once, and each result is recorded as soon as it is there. Settings and results must
            then be what JSON can hold. Defaults to `None`.
        on_result: Called in this process with each new `Trial`, as it gets done; what it raises
            ends the search and its workers. Defaults to `None`.

    Returns:
        The trials, in the order of `settings`.

    Raises:
        KerasCompressError: If an argument is out of range, Ray is not installed, the function
            can't be sent to other processes, or a worker died. What a trial raises is raised, and
            ends the others.
    """
    check_count("workers", workers)
    done: dict[int, Any] = {}
    waiting: list[int] = []
    tried: set[str] = set()
    for place, setting in enumerate(settings):
        if journal is None:
            waiting.append(place)
        elif setting not in journal and (key := setting_key(setting)) not in tried:
            tried.add(key)
            waiting.append(place)
    running = run_in_workers(
        function,
        [settings[place] for place in waiting],
        workers=workers,
        backend=backend,
        prepare=prepare,
    )
    with contextlib.closing(running):
        for index, result in running:
            place = waiting[index]
            if journal is not None:
                result = journal.record(settings[place], result)
            done[place] = result
            if on_result is not None:
                on_result(Trial(settings[place], result))
    return [
        Trial(setting, done[place] if journal is None else journal.get(setting))
        for place, setting in enumerate(settings)
    ]
