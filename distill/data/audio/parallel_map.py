"""A function mapped over parts of a work: here, by processes, or by Ray on many machines."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any, TypeVar

from distill.checks import check_cluster
from distill.interruption import Interrupted, interruptible

T = TypeVar("T")
R = TypeVar("R")


def parallel_map(
    function: Callable[[T], R], parts: Sequence[T], workers: int = 1, cluster: str | None = None
) -> Iterator[R]:
    """Yield the results of a function of each part, as they come.

    Arguments:
        function: Of a part; it can be pickled, and so can parts and results.
        parts: Of the work.
        workers: Processes on this machine; 1 does it here.
        cluster: Address of a Ray cluster, in place of them: `auto`, `local`, or HOST:PORT.

    Errors:
        ValueError: A cluster is named, and Ray is not installed or not there.

    Example:
        >>> list(parallel_map(abs, [-2]))
        [2]
    """
    if cluster is not None:
        yield from _by_ray(function, parts, cluster)
    elif workers <= 1 or len(parts) <= 1:
        yield from map(function, parts)
    else:
        with process_pool(min(workers, len(parts)), _context()) as pool:
            futures = [pool.submit(ending, function, part) for part in parts]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                for future in futures:
                    future.cancel()


@contextmanager
def process_pool(count: int, context: Any) -> Iterator[ProcessPoolExecutor]:
    """Lend a pool of processes, which end with an error or a signal: nobody waits for their parts.

    Arguments:
        count: Of processes.
        context: How they start.
    """
    with ProcessPoolExecutor(count, context, _deaf) as pool:
        try:
            yield pool
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            raise


def ending(function: Callable[[T], R], part: T) -> R:
    """Call a function in a process of a pool: SIGTERM ends both, by its `finally` clauses."""
    try:
        with interruptible():
            return function(part)
    except Interrupted as request:
        os._exit(request.code)  # before it takes another part


def _deaf() -> None:
    """Leave Ctrl-C, which a terminal sends to all, to the owner, who ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _context() -> Any:
    """Return how to start processes: at once where it is safe, else afresh.

    A fork of a process with other threads may hang on a lock that one of them held.
    """
    alone = sys.platform == "linux" and threading.active_count() == 1
    return multiprocessing.get_context("fork" if alone else "spawn")


def _by_ray(function: Callable[[T], R], parts: Sequence[T], cluster: str) -> Iterator[R]:
    try:
        import ray
    except ImportError:
        raise ValueError(
            f"data.cluster={cluster}: Ray is not installed. `pip install distill[cluster]`, or "
            "use data.workers=N on this machine."
        ) from None
    mine = not ray.is_initialized()
    if mine:
        check_cluster("data.cluster", cluster)
        try:
            ray.init(
                address=None if cluster == "local" else cluster,
                log_to_driver=False,
                include_dashboard=False if cluster == "local" else None,
            )
        except ConnectionError as error:
            raise ValueError(
                f"data.cluster={cluster}: no Ray there ({error}). Start one with `ray start "
                "--head`, and set RAY_AUTH_MODE=token here if it wants a token."
            ) from None
    try:
        task: Any = ray.remote(_call)
        shared = ray.put(function)
        waiting = [task.remote(shared, part) for part in parts]
        while waiting:
            done, waiting = ray.wait(waiting)
            yield from ray.get(done)
    finally:
        if mine:
            ray.shutdown()


def _call(function: Callable[[T], R], part: T) -> R:
    return function(part)
