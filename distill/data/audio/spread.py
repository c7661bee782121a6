"""One function mapped over parts of a work: here, by processes, or by Ray on many machines."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def spread(
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
        >>> list(spread(abs, [-2]))
        [2]
    """
    if cluster is not None:
        yield from _by_ray(function, parts, cluster)
    elif workers <= 1 or len(parts) <= 1:
        yield from map(function, parts)
    else:
        with ProcessPoolExecutor(min(workers, len(parts)), _context()) as pool:
            futures = [pool.submit(function, part) for part in parts]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                for future in futures:
                    future.cancel()


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
        try:
            ray.init(
                address=None if cluster == "local" else cluster,
                log_to_driver=False,
                include_dashboard=False if cluster == "local" else None,
            )
        except ConnectionError as error:
            raise ValueError(f"data.cluster={cluster}: no Ray there ({error}).") from None
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
