"""The processes of one training, as torchrun starts them, and the twin of a training alone.

Every process runs the same loop on its own rows of each batch. What they tell each other travels
on two ways: gradients by the backend of the device, all else by gloo, which waits as long as the
slowest needs and notices at once when another has ended.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from distill.errors import describe
from distill.interruption import Interrupted, StopRequest
from distill.sharing import Team, local_rank, together

T = TypeVar("T")
_PATIENCE = timedelta(days=30)
_BROKEN = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe")


class LostRankError(ConnectionError):
    """Another process of the training has ended.

    Arguments:
        count: How many there were.
    """

    def __init__(self, count: int) -> None:
        super().__init__(
            f"another of the {count} processes of this training has ended, so it can't go on. See "
            "what that one says; a checkpoint that was written is whole: go on with resume=true, "
            "with as many processes as there are."
        )


class ToldElsewhereError(Exception):
    """An error that another process tells.

    Arguments:
        code: The exit code.
    """

    def __init__(self, code: int) -> None:
        super().__init__("another process says why")
        self.code = code


class Alone:
    """A training of one process: what several would do together costs nothing.

    Attributes:
        count: Number of processes.
        rank: Which of them this is.
        leads: Whether it writes files and speaks.
    """

    count = 1
    rank = 0
    leads = True

    def rows(self, size: int) -> tuple[int, int]:
        """Return the first row of a batch that is this process's, and the one after its last."""
        return self.rank * size // self.count, (self.rank + 1) * size // self.count

    def wrapped(self, task: nn.Module) -> nn.Module:
        """Return the task, whose backward pass averages gradients over processes."""
        return task

    def total(self, numbers: Tensor) -> Tensor:
        """Add up numbers `(N,)` over processes."""
        return numbers

    def across(self, value: Tensor) -> Tensor:
        """Add up a tensor over processes, and pass the gradient back to each."""
        return value

    def reported(self, numbers: Tensor) -> Tensor:
        """Add up numbers `(N,)` on the CPU, for people and decisions."""
        return numbers

    def once(self, work: Callable[[], T]) -> T:
        """Do some work in one process, and return its result, or raise its error, in all."""
        return work()

    def in_turn(self, work: Callable[[], T]) -> T:
        """Do some work in each process, first in one of each machine: what it keeps is found."""
        return work()

    def watch(self, look: Callable[[], T]) -> T:
        """Evaluate together; the result is that of the process that leads."""
        return look()

    def leave_if_asked(self, request: StopRequest) -> None:
        """Raise `Interrupted` if any process has been sent a signal."""
        request.check()


class Ranks(Alone):
    """A training of several processes.

    Arguments:
        store: Where they met.
        rank: Which of them this is.
        count: How many there are.
        cuda: Whether gradients are on GPUs.
    """

    def __init__(self, store: dist.Store, rank: int, count: int, cuda: bool) -> None:
        self.rank, self.count, self.leads = rank, count, rank == 0
        self._store = dist.PrefixStore("distill", store)
        dist.init_process_group(
            "nccl" if cuda else "gloo",
            store=dist.PrefixStore("training", store),
            rank=rank,
            world_size=count,
            timeout=_PATIENCE,
        )
        # A union with the number of a stranger to the group in newer torches, which none here is.
        self._words: Any = dist.new_group(backend="gloo", timeout=_PATIENCE)
        # Sums inside a loss must not fall between the gradients of the backward pass.
        self._sums: Any = dist.new_group(timeout=_PATIENCE)

    def wrapped(self, task: nn.Module) -> nn.Module:
        """Wrap it for data-parallel training."""
        device = next(task.parameters()).device
        known = inspect.signature(DistributedDataParallel).parameters
        newer = "forward_sync_buffers" in known  # by which newer torches mean the same
        apart: Any = {"forward_sync_buffers" if newer else "broadcast_buffers": False}
        return DistributedDataParallel(
            task,
            device_ids=[device] if device.type == "cuda" else None,
            **apart,  # statistics are those of the whole batch everywhere
            find_unused_parameters=True,  # terms of an objective may come and go
        )

    def total(self, numbers: Tensor) -> Tensor:
        """Add up numbers `(N,)` over processes."""
        numbers = numbers.clone()
        dist.all_reduce(numbers, group=self._sums)
        return numbers

    def across(self, value: Tensor) -> Tensor:
        """Add up a tensor over processes, and pass the gradient back to each."""
        return _Across.apply(value, self._sums)

    def reported(self, numbers: Tensor) -> Tensor:
        """Add up numbers `(N,)` on the CPU."""
        dist.all_reduce(numbers, group=self._words)
        return numbers

    def once(self, work: Callable[[], T]) -> T:
        """Do some work in the process that leads."""
        return self.gather(work if self.leads else lambda: None)[0]

    def in_turn(self, work: Callable[[], T]) -> T:
        """Do some work in each process, first in one of each machine."""
        done: list[T] = []
        first = local_rank() == 0
        for turn in (first, not first):
            self.gather(lambda turn=turn: done.append(work()) if turn else None)  # type: ignore[misc]
        return done[0]

    def watch(self, look: Callable[[], T]) -> T:
        """Evaluate together."""
        found: list[T] = []
        with together(Team(self.rank, self.count, self.gather)):
            self.gather(lambda: found.append(look()))
        return found[0]

    def leave_if_asked(self, request: StopRequest) -> None:
        """Raise `Interrupted` in all processes after the same step."""
        number = torch.tensor(request.number or 0)
        dist.all_reduce(number, dist.ReduceOp.MAX, self._words)
        if number:
            raise Interrupted(int(number))

    def gather(self, work: Callable[[], Any]) -> list[Any]:
        """Return the result of some work of each process, in order; raise the error of any."""
        result: tuple[Any, BaseException | None]
        try:
            result = work(), None
        except Exception as error:
            if is_broken(error):
                raise
            result = None, error
        told: list[Any] = [None] * self.count
        plain = result[0], None if result[1] is None else code_of(result[1])
        dist.all_gather_object(told, plain, self._words)
        codes = [code for _, code in told if code is not None]
        if result[1] is not None:
            raise result[1]
        if codes:
            raise ToldElsewhereError(codes[0])
        return [value for value, _ in told]

    def tells(self, text: str) -> bool:
        """Return whether this process is to tell a line: the first that has it is."""
        try:
            return self._store.add(text, 1) == 1
        except RuntimeError:  # the machine where they met has ended
            return True

    def close(self) -> None:
        """End together."""
        dist.barrier(self._words)
        dist.destroy_process_group()


class _Across(torch.autograd.Function):
    """A sum over processes: the gradient of each one's part is that of the sum."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, group: Any) -> Tensor:
        ctx.group = group
        value = value.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(value, group=group)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        grad = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad, group=ctx.group)
        return grad, None


@contextmanager
def losing(ranks: Alone) -> Iterator[None]:
    """Say it in words where processes lose each other.

    Errors:
        LostRankError: Another process has ended.
    """
    try:
        yield
    except Exception as error:
        if ranks.count == 1 or not is_broken(error):
            raise
        raise LostRankError(ranks.count) from error


def code_of(error: BaseException) -> int:
    """Return the exit code of an error."""
    return error.code if isinstance(error, ToldElsewhereError) else describe(error).code


def is_broken(error: BaseException) -> bool:
    """Return whether an error says that processes have lost each other."""
    if isinstance(error, dist.DistError | LostRankError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _BROKEN)


_here: Alone = Alone()


def here() -> Alone:
    """Return the processes of the session that is open, or the twin of one alone."""
    return _here


def stand(ranks: Alone) -> None:
    """Let `here` return these processes."""
    global _here
    _here = ranks
