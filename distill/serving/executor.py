"""An executor of one daemon thread, which the end of the process does not wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any


class DaemonExecutor:
    """Runs jobs one after the other, as an executor of one thread does.

    An interpreter that ends joins the threads of executors: one that waits for a process to start
    would hold it up.

    Example:
        >>> executor = DaemonExecutor()
        >>> executor.submit(max, 1, 2).result()
        2
        >>> executor.close()
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[..., Any], Any] | None] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, call: Callable[..., Any], *args: Any) -> Future[Any]:
        """Put a job at the end of the queue."""
        job: Future[Any] = Future()
        self._jobs.put((job, call, args))
        return job

    def close(self) -> None:
        """Take no more jobs up."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, call, args = item
            if job.set_running_or_notify_cancel():
                try:
                    job.set_result(call(*args))
                except BaseException as error:
                    job.set_exception(error)
