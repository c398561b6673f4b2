"""A search for the best compromises between several numbers: NSGA-II, by pymoo.

Deb, Pratap, Agarwal, Meyarivan 2002, "A fast and elitist multiobjective genetic algorithm".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_compress.argument_checks import check_count
from keras_compress.errors import KerasCompressError
from keras_compress.search.journal import Journal
from keras_compress.search.progress import Progress
from keras_compress.search.trials import run_trials

__all__ = ["FrontPoint", "search_front"]


@dataclass(frozen=True)
class FrontPoint:
    """A compromise: no other setting tried is at least as good in all and better in one.

    Attributes:
        setting: The choice made at each place.
        values: What it came to; less is better.
    """

    setting: tuple[int, ...]
    values: tuple[float, ...]


def search_front(
    function: Callable[..., Sequence[float]],
    choices: Sequence[int],
    *,
    objectives: int = 2,
    population: int = 24,
    generations: int = 10,
    start: Sequence[Sequence[int]] = (),
    seed: int = 0,
    workers: int = 1,
    backend: str = "processes",
    prepare: Callable[[], Any] | None = None,
    journal: Journal | None = None,
    progress: Progress | None = None,
) -> list[FrontPoint]:
    """Return the best compromises among all settings that were tried, the first value rising.

    Args:
        function: Takes a setting, a list of an int for each place, and returns what is to be made
            small, a number each; with `prepare`, as in `run_trials`.
        choices: How many choices there are at each place; a setting has 0 to that less 1 there.
        objectives: How many numbers `function` returns. Defaults to `2`.
        population: Settings in a generation. Defaults to `24`.
        generations: How many of them. Defaults to `10`.
        start: Settings to begin with; the rest of the first generation is by chance. Defaults to
            none.
        seed: Of the search. Defaults to `0`.
        workers: As in `run_trials`. Defaults to `1`.
        backend: As in `run_trials`. Defaults to `"processes"`.
        prepare: As in `run_trials`. Defaults to `None`.
        journal: As in `run_trials`: a search that was stopped goes on. Defaults to `None`.
        progress: Told of each trial. Defaults to `None`.

    Raises:
        KerasCompressError: If pymoo isn't installed, or an argument is out of range.
    """
    for name, value in (("population", population), ("generations", generations)):
        check_count(name, value)
    if not len(choices) or min(choices) < 1:
        raise KerasCompressError(
            f"`choices` must be at least 1 at each of one or more places. Received: {choices!r}."
        )
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.evaluator import Evaluator
        from pymoo.core.problem import Problem
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair
        from pymoo.problems.static import StaticProblem
    except ImportError as error:
        raise KerasCompressError(
            "A search over several objectives needs pymoo. Received: an environment without it. "
            "Install it with `pip install 'keras-compress[multi-objective]'`."
        ) from error
    progress = progress or Progress()
    tops = np.asarray(choices, np.int64) - 1
    generator = np.random.default_rng(seed)
    first = generator.integers(0, tops + 1, (population, len(tops)))
    given = np.asarray(list(start), np.int64).reshape(-1, len(tops))[:population]
    first[: len(given)] = np.clip(given, 0, tops)
    problem = Problem(n_var=len(tops), n_obj=objectives, xl=0, xu=tops, vtype=int)
    repair = RoundingRepair()
    algorithm = NSGA2(
        pop_size=population,
        sampling=first,
        crossover=SBX(prob=1.0, eta=3.0, vtype=float, repair=repair),
        mutation=PM(prob=1.0, eta=3.0, vtype=float, repair=repair),
    )
    algorithm.setup(problem, termination=("n_gen", generations), seed=seed, verbose=False)
    tried: dict[tuple[int, ...], tuple[float, ...]] = {}
    progress.begin("Compromises", population * generations)
    while algorithm.has_next():
        asked = algorithm.ask()
        if asked is None:
            # No setting is left that wasn't tried.
            break
        settings = np.clip(np.rint(asked.get("X")), 0, tops).astype(int).tolist()
        trials = run_trials(
            function,
            settings,
            workers=workers,
            backend=backend,
            prepare=prepare,
            journal=journal,
            on_result=lambda trial: progress.advance(),
        )
        values = [[float(v) for v in trial.result] for trial in trials]
        if any(len(each) != objectives for each in values):
            raise KerasCompressError(
                f"A trial must return {objectives} numbers. Received: {values[0]!r}."
            )
        tried.update((tuple(s), tuple(v)) for s, v in zip(settings, values, strict=True))
        # NSGA-II compares distances: what is infinitely bad is only very bad.
        known = np.nan_to_num(np.array(values), nan=1e30, posinf=1e30)
        Evaluator().eval(StaticProblem(problem, F=known), asked)
        algorithm.tell(infills=asked)
    progress.end()
    return _best(tried)


def _best(tried: dict[tuple[int, ...], tuple[float, ...]]) -> list[FrontPoint]:
    """Return what no other dominates, of equal ones the first."""
    settings, values = list(tried), np.array(list(tried.values()))
    kept = [i for i in range(len(values)) if not _dominated(values, i)]
    points = [FrontPoint(settings[i], tuple(values[i].tolist())) for i in kept]
    return sorted(points, key=lambda point: point.values)


def _dominated(values: NDArray[np.float64], i: int) -> bool:
    if not np.isfinite(values[i]).all():
        return True
    as_good = (values <= values[i]).all(axis=1)
    better = (values < values[i]).any(axis=1)
    same_before = (values[:i] == values[i]).all(axis=1).any()
    return bool((as_good & better).any() or same_before)
