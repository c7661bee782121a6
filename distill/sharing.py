"""Evaluation shared out among the processes of one training."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from distill.checks import check_number

_WANTED = "wanted where the processes of a training meet"
_WAY_OUT = "torchrun sets it; unset RANK to train in one process."

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Team:
    """The processes that evaluate together.

    Arguments:
        rank: Which of them this is, from 0.
        count: How many there are.
        gather: Returns what each of them gives, in order, to all; raises the error of any.
    """

    rank: int
    count: int
    gather: Callable[[Callable[[], Any]], list[Any]]


def count_of() -> int:
    """Return how many processes torchrun has started together with this one.

    Errors:
        ValueError: The variables by which it says so can't be.

    Example:
        >>> count_of()
        1
    """
    if not os.environ.get("RANK"):
        return 1
    count = _number("WORLD_SIZE", "1", low=1)
    _number("RANK", "0", low=0, below=count)
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if count > 1 and missing:
        raise ValueError(f"{', '.join(missing)}: {_WANTED}, got nothing. {_WAY_OUT}")
    return count


def local_rank() -> int:
    """Return which of its machine's processes this is, from 0."""
    return _number("LOCAL_RANK", os.environ.get("RANK", "0"), low=0)


def _number(name: str, default: str, **bounds: float) -> int:
    said = os.environ.get(name) or default
    value = int(said) if said.strip().lstrip("-").isdecimal() else said
    check_number(name, value, whole=True, remedy=_WAY_OUT, **bounds)
    return int(value)


_team: Team | None = None


@contextmanager
def together(team: Team | None) -> Iterator[None]:
    """Share out what is done inside; alone with `None`."""
    global _team
    former, _team = _team, team
    try:
        yield
    finally:
        _team = former


def leads() -> bool:
    """Return whether this process does what is not shared out: samples, pictures, sounds."""
    return _team is None or _team.rank == 0


def each(items: Iterable[T], work: Callable[[T], R]) -> list[R]:
    """Do some work on each item, and return all results in order, on every process.

    Results travel between processes, so tensors are to be on the CPU.

    Example:
        >>> each([1, 2, 3], lambda number: number**2)
        [1, 4, 9]
    """
    if _team is None:
        return [work(item) for item in items]
    rank, count = _team.rank, _team.count

    def mine() -> list[tuple[int, R]]:
        return [(n, work(item)) for n, item in enumerate(items) if n % count == rank]

    found = [pair for pairs in _team.gather(mine) for pair in pairs]
    return [result for _, result in sorted(found, key=lambda pair: pair[0])]
