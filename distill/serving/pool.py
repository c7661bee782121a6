"""Worker threads and decoders that a bounded number of clients share in turn."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np

from distill.export import Metadata
from distill.frames import FrameLayout
from distill.serving.bodies import is_audio, read_body
from distill.serving.decoder import Decoder, new_folder
from distill.serving.executor import DaemonExecutor
from distill.serving.http_error import HTTPError
from distill.serving.limits import Limits
from distill.serving.server_metrics import ServerMetrics

P = ParamSpec("P")
T = TypeVar("T")
SMALL = 2**18
"""Bytes of a body that is read at once, and needs no room."""


class WorkerPool:
    """Places for clients, threads that compute for them, and processes that decode.

    All work is cut into chunks of less than a second, and the threads' queue is first come, first
    served: a long request never keeps a short one, or a stream, waiting for more than the chunks of
    those before it. Decoding and pitch can't be cut, so they run in processes, one for small bodies
    and one for large ones, which end with the client that leaves. Small arrays take neither.

    Bodies under way lie in a folder of the pool, their sizes together within a limit.

    Arguments:
        limits: How many clients, threads and bytes.
        metrics: Where refusals, and chunks that wait, are counted.

    Attributes:
        inside: Clients that have a place.
        held: Bytes of bodies under way.
        ending: Whether nobody gets a place any more.
    """

    def __init__(self, limits: Limits, metrics: ServerMetrics) -> None:
        self.limits = limits
        self.metrics = metrics
        self.inside = 0
        self.held = 0
        self.ending = False
        self._waiting: set[object] = set()
        metrics.queue.set_function(lambda: len(self._waiting))
        self.folder = new_folder()
        self._numbers = count()
        self._workers = ThreadPoolExecutor(limits.workers, "distill-worker")
        self._arrays = ThreadPoolExecutor(1, "distill-arrays")
        self._decoders = [(DaemonExecutor(), Decoder(self.folder)) for _ in ("small", "large")]

    def check(self) -> None:
        """Raise if a client would get no place.

        Errors:
            HTTPError: All are taken, or the server ends.
        """
        if self.ending:
            raise HTTPError(503, "the server ends; come again later.", 30)
        if self.inside >= self.limits.clients:
            raise self.full(f"all {self.limits.clients} places are taken")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for a client.

        Errors:
            HTTPError: See `check`.
        """
        try:
            self.check()
        except HTTPError:
            self.metrics.refused.labels("ending" if self.ending else "places").inc()
            raise
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    @contextmanager
    def body(self) -> Iterator[Path]:
        """Lend a path for the body of a request; what lies there is removed afterwards.

        A decoder that was stopped could not remove what it called by it and a suffix.
        """
        path = self.folder / f"body{next(self._numbers)}"
        try:
            yield path
        finally:
            for left in (path, *self.folder.glob(f"{path.name}.*")):
                left.unlink(missing_ok=True)

    @contextmanager
    def room(self) -> Iterator[Callable[[int], None]]:
        """Lend a function that asks for room for a body of so many bytes, all of them at once.

        Errors:
            HTTPError: The bodies under way are too many bytes together.
        """
        mine = 0

        def hold(size: int) -> None:
            nonlocal mine
            more = 0 if size <= SMALL else max(0, size - mine)
            if self.held + more > self.limits.held_bytes:
                self.metrics.refused.labels("room").inc()
                raise self.full(
                    f"the bodies under way have {self.limits.held_megabytes:g} MB together"
                )
            self.held += more
            mine += more

        try:
            yield hold
        finally:
            self.held -= mine

    def full(self, why: str) -> HTTPError:
        """Return the refusal of a pool that is full."""
        wait = self.limits.retry_after
        return HTTPError(503, f"{why}; come again in {wait} s.", wait)

    async def work(self, chunk: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Compute a chunk in a worker, in turn."""
        came, mine = time.monotonic(), object()

        def begin() -> T:
            self._waiting.discard(mine)
            self.metrics.waits.observe(time.monotonic() - came)
            return chunk(*args, **kwargs)

        self._waiting.add(mine)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._workers, begin)
        finally:
            self._waiting.discard(mine)  # where it was cancelled before its turn

    async def read(self, path: Path, metadata: Metadata) -> np.ndarray:
        """Return the frames of a body; whoever is cancelled takes the reading process along.

        Arguments:
            path: Where it lies.
            metadata: Of the sampler whose frames are made.
        """
        small, seconds = path.stat().st_size <= SMALL, self.limits.seconds
        if small and not is_audio(path):
            loop, layout = asyncio.get_running_loop(), FrameLayout(metadata.spec, whole=True)
            return await loop.run_in_executor(self._arrays, read_body, path, layout, seconds)
        executor, decoder = self._decoders[not small]
        job = executor.submit(decoder.read, path, seconds, metadata.to_json())
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            if not job.cancel() and not job.done():
                decoder.stop()
            raise

    def close(self) -> None:
        """End threads and processes, and remove what clients sent."""
        for executor, decoder in self._decoders:
            executor.close()
            decoder.close()
        for pool in (self._workers, self._arrays):
            pool.shutdown(wait=False, cancel_futures=True)
        shutil.rmtree(self.folder, ignore_errors=True)
