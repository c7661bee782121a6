"""Who is being served: a bounded number of clients, who share a few threads in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from distill.serving.limits import Limits
from distill.serving.refusal import Refusal

P = ParamSpec("P")
T = TypeVar("T")


class House:
    """Places for clients, and threads that work for them.

    All work is cut into chunks of less than a second, and the threads' queue is first come, first
    served: a long request never keeps a short one, or a stream, waiting for more than the chunks of
    those before it. A client that leaves takes at most its chunk in progress with it.

    Arguments:
        limits: How many clients and threads.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.inside = 0
        self._workers = ThreadPoolExecutor(limits.workers, "distill-worker")
        # Decoding and pitch tracking take long and can't be cut: a thread of their own.
        self._reader = ThreadPoolExecutor(1, "distill-reader")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for a client.

        Errors:
            Refusal: All are taken.
        """
        if self.inside >= self.limits.clients:
            raise Refusal(
                503,
                f"all {self.limits.clients} places are taken; come again in "
                f"{self.limits.retry_after} s.",
                self.limits.retry_after,
            )
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def work(self, chunk: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Compute a chunk in a worker, in turn."""
        return await self._in(self._workers, chunk, *args, **kwargs)

    async def read(self, reading: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Decode what a client sent."""
        return await self._in(self._reader, reading, *args, **kwargs)

    def close(self) -> None:
        """Let the threads end; what waits for them is dropped."""
        for pool in (self._workers, self._reader):
            pool.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    async def _in(
        pool: ThreadPoolExecutor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, lambda: call(*args, **kwargs))
