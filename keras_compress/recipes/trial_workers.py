"""Where trials run: processes of this machine, or a Ray cluster, behind one call."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from keras_compress.errors import KerasCompressError

__all__ = ["run_all"]


def run_all(
    function: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    *,
    workers: int,
    backend: str = "processes",
) -> Generator[tuple[int, Any], None, None]:
    """Yield `(place in calls, function(*call))` as the calls get done.

    Args:
        function: A function of a module, so that another process finds it.
        calls: Its arguments, call by call.
        workers: How many run side by side; with 1 they run in this process, in order. Closing the
            generator ends the processes.
        backend: `"processes"` of this machine or `"ray"`, a cluster that sees the same files.

    Raises:
        KerasCompressError: If the backend is unknown, Ray is not installed, or a worker died.
    """
    if backend == "ray":
        yield from _on_ray(function, calls)
    elif backend != "processes":
        raise KerasCompressError(
            f'`backend` must be "processes" or "ray". Received: backend={backend!r}.'
        )
    elif workers == 1 or len(calls) == 1:
        for place, call in enumerate(calls):
            yield place, function(*call)
    else:
        yield from _in_processes(function, calls, workers)


def _in_processes(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], workers: int
) -> Iterator[tuple[int, Any]]:
    # TensorFlow's threads don't survive a fork.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = concurrent.futures.ProcessPoolExecutor(
        min(workers, len(calls)),
        mp_context=context,
        # Ctrl-C reaches every process of a terminal; this one is the one that decides.
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        places = {pool.submit(function, *call): place for place, call in enumerate(calls)}
        try:
            for future in concurrent.futures.as_completed(places):
                yield places[future], future.result()
        except concurrent.futures.process.BrokenProcessPool as error:
            raise KerasCompressError(
                "A worker process ended before its trial did, perhaps for lack of memory. Start "
                "the same call again with fewer workers: it goes on at the last checkpoints."
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
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[int, Any]]:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise KerasCompressError(
            "Trials on a Ray cluster need Ray. Install it with `pip install 'keras-compress[ray]'`."
        ) from error
    if not ray.is_initialized():
        ray.init()
    task = ray.remote(function)
    places = {task.remote(*call): place for place, call in enumerate(calls)}
    while places:
        ready, _ = ray.wait(list(places), num_returns=1)
        for reference in ready:
            yield places.pop(reference), ray.get(reference)
