"""The batches of a training, made ready while a step runs."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from distill.contract import Batch
from distill.data import Data

MOST_AHEAD = 100  # each takes its memory


class Batches:
    """The training batches of steps in a row, on their device.

    A thread makes the next ones, `train_batch` being a function of the step alone; it uses no
    random state. For a GPU they lie in pinned memory, and copying does not hold up the step.

    Arguments:
        data: Where they come from.
        size: Values in each.
        seed: Of the batches.
        device: Where they go.
        ahead: How many are ready beyond the one in use; 0 makes each when it is taken, `None` is 2
            for a GPU and 0 on a CPU.
        rows: The first of a batch to take, and the one after the last; all by default.

    Example:
        >>> from distill.data import Banana
        >>> with Batches(Banana(), 4, 0, torch.device("cpu"), ahead=2) as batches:
        ...     batches.take(0).x.shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        data: Data,
        size: int,
        seed: int,
        device: torch.device,
        ahead: int | None = 0,
        rows: tuple[int, int] | None = None,
    ) -> None:
        self.data, self.size, self.seed, self.device = data, size, seed, device
        self.rows = rows or (0, size)
        self._ahead = 2 * (device.type != "cpu") if ahead is None else ahead
        self._next = 0
        self._ready: deque[Future[Batch]] = deque()
        self._thread: ThreadPoolExecutor | None = None

    def __enter__(self) -> Batches:
        if self._ahead:
            self._thread = ThreadPoolExecutor(1, "batches")
        return self

    def __exit__(self, *_: Any) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def take(self, step: int) -> Batch:
        """Return the batch of a step; quickest for one step after another.

        Errors:
            Exception: What `train_batch` raises.
        """
        if self._thread is None:
            return self._made(step).to(self.device)
        if not self._ready or step != self._next:
            while self._ready:
                self._ready.pop().cancel()
            self._ready.append(self._thread.submit(self._made, step))
        self._next = step + 1
        batch = self._ready.popleft().result()
        for later in range(len(self._ready), self._ahead):
            self._ready.append(self._thread.submit(self._made, self._next + later))
        return batch.to(self.device, non_blocking=True)

    def _made(self, step: int) -> Batch:
        batch = self.data.train_rows(step, self.size, self.seed, *self.rows)
        return batch.pin_memory() if self.device.type == "cuda" and self._ahead else batch
