"""Where trials run: processes of this machine, or a Ray cluster, behind one call."""

from __future__ import annotations

import concurrent.futures
import functools
import multiprocessing
import pickle
import secrets
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from keras_compress.errors import KerasCompressError

__all__ = ["run_in_workers"]

# Seconds between two looks at what was raised.
_LOOK = 0.1


def run_in_workers(
    function: Callable[..., Any],
    settings: Sequence[object],
    *,
    workers: int,
    backend: str = "processes",
    prepare: Callable[[], Any] | None = None,
) -> Generator[tuple[int, Any], None, None]:
    """Yield `(place in settings, function(setting))` as the calls get done.

    Closing the generator ends the processes. Arguments as for `run_trials`.

    Raises:
        KerasCompressError: If the backend is unknown, Ray is not installed, the function can't be
            sent to other processes, or a worker died.
    """
    if backend not in ("processes", "ray"):
        raise KerasCompressError(
            f'`backend` must be "processes" or "ray". Received: backend={backend!r}.'
        )
    if not settings:
        return
    if backend == "ray":
        yield from _on_ray(function, settings, prepare)
    elif workers == 1 or len(settings) == 1:
        call = _bound(function, prepare)
        for place, setting in enumerate(settings):
            yield place, call(setting)
    else:
        yield from _in_processes(function, settings, workers, prepare)


def _bound(function: Callable[..., Any], prepare: Callable[[], Any] | None) -> Callable[..., Any]:
    return function if prepare is None else functools.partial(function, prepare())


# What a worker calls, with what was prepared in it.
_CALL: dict[Any, Callable[..., Any]] = {}


def _start_worker(function: Callable[..., Any], prepare: Callable[[], Any] | None) -> None:
    # Ctrl-C reaches every process of a terminal; the one that began the search decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _CALL[0] = _bound(function, prepare)


def _call_in_worker(setting: object) -> Any:
    return _CALL[0](setting)


def _in_processes(
    function: Callable[..., Any],
    settings: Sequence[object],
    workers: int,
    prepare: Callable[[], Any] | None,
) -> Iterator[tuple[int, Any]]:
    try:
        pickle.dumps((function, prepare))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise KerasCompressError(
            f"Trials on several workers need a function that other processes find. Received: "
            f"{function!r} ({error}). Write a function of a module, or use `workers=1`."
        ) from error
    # TensorFlow's threads don't survive a fork.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = concurrent.futures.ProcessPoolExecutor(
        min(workers, len(settings)),
        mp_context=context,
        initializer=_start_worker,
        initargs=(function, prepare),
    )
    try:
        places = {
            pool.submit(_call_in_worker, setting): place for place, setting in enumerate(settings)
        }
        try:
            waiting = set(places)
            while waiting:
                # A signal that arrives just before a wait begins doesn't end it.
                done, waiting = concurrent.futures.wait(
                    waiting, timeout=_LOOK, return_when=concurrent.futures.FIRST_COMPLETED
                )
                for future in done:
                    yield places[future], future.result()
        except concurrent.futures.process.BrokenProcessPool as error:
            raise KerasCompressError(
                "A worker process ended before its trial did, perhaps for lack of memory. Start "
                "the same call again with fewer workers: with a journal it goes on where it was."
            ) from error
    except BaseException:
        # Nobody hears of the trials any more, which would go on for minutes; their checkpoints
        # stay. Those not yet begun are taken back first, so that no worker takes one of them.
        pool.shutdown(wait=False, cancel_futures=True)
        ended = set(multiprocessing.active_children()) - others
        for process in ended:
            process.terminate()
        for process in ended:
            process.join()
        raise
    pool.shutdown()


def _on_ray(
    function: Callable[..., Any], settings: Sequence[object], prepare: Callable[[], Any] | None
) -> Iterator[tuple[int, Any]]:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise KerasCompressError(
            "Trials on a Ray cluster need Ray. Install it with `pip install 'keras-compress[ray]'`."
        ) from error
    if not ray.is_initialized():
        ray.init()
    task = ray.remote(_call_on_ray)
    # Sent once to each machine, not once a trial.
    shared = ray.put((function, prepare))
    search = secrets.token_hex(8)
    places = {task.remote(search, shared, setting): place for place, setting in enumerate(settings)}
    try:
        while places:
            ready, _ = ray.wait(list(places), num_returns=1)
            for reference in ready:
                yield places.pop(reference), ray.get(reference)
    finally:
        for reference in places:
            ray.cancel(reference, force=True)


def _call_on_ray(
    search: str, shared: tuple[Callable[..., Any], Callable[[], Any] | None], setting: object
) -> Any:
    if search not in _CALL:
        _CALL.clear()
        _CALL[search] = _bound(*shared)
    return _CALL[search](setting)
