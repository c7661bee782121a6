"""Honest timing: fixed work, warm-up, competitors that take turns, medians and spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

Device = torch.device | str


@dataclass(frozen=True)
class Timing:
    """Seconds of runs that did the same work.

    Arguments:
        times: Of each run that counted.
        computed: Whether they were computed from a part of the work, not measured.

    Example:
        >>> timing = Timing((2.0, 1.0, 9.0))
        >>> timing.median, timing.minimum, timing.maximum, timing.rate(10)
        (2.0, 1.0, 9.0, 5.0)
    """

    times: tuple[float, ...]
    computed: bool = False

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Timing:
        """Rebuild the record that `dataclasses.asdict` gives, also after a trip through JSON."""
        return cls(tuple(map(float, values["times"])), bool(values["computed"]))

    @property
    def median(self) -> float:
        """The number to quote."""
        return statistics.median(self.times)

    @property
    def minimum(self) -> float:
        """Fastest run."""
        return min(self.times)

    @property
    def maximum(self) -> float:
        """Slowest run."""
        return max(self.times)

    @property
    def runs(self) -> int:
        """How many counted; 0 where the time was computed."""
        return 0 if self.computed else len(self.times)

    def rate(self, count: float = 1) -> float:
        """Return how many per second, if a run makes `count`."""
        return count / self.median


@dataclass(frozen=True)
class Turn:
    """What a competitor does when its turn comes: every time the same work.

    Arguments:
        run: The work; its result is thrown away.
        device: A GPU is waited for before and after each run.
    """

    run: Callable[[], object]
    device: Device = "cpu"


def take_turns(
    turns: Sequence[Turn],
    rounds: int = 5,
    warmup_rounds: int = 1,
    seconds: float | None = None,
    least: int = 1,
) -> list[Timing | Exception]:
    """Time competitors round by round, so that a machine that drifts hits all of them alike.

    In each round every one runs once, in the order given. The first rounds warm up and do not
    count. One that has used up its time sits out the rounds that are left; one that fails is out.

    Arguments:
        turns: The competitors.
        rounds: Rounds that count.
        warmup_rounds: Rounds before them.
        seconds: A competitor begins no further run that would take it beyond this, with what its
            warm-up took.
        least: Runs of each that count whatever they take.

    Returns:
        For each, its times, or the exception that it raised.

    Errors:
        ValueError: No rounds.

    Example:
        >>> order = []
        >>> turns = [Turn(lambda: order.append("a")), Turn(lambda: order.append("b"))]
        >>> [timing.runs for timing in take_turns(turns, rounds=2, warmup_rounds=1)]
        [2, 2]
        >>> "".join(order)
        'ababab'
    """
    if rounds < 1 or least < 1:
        raise ValueError(f"take_turns: wanted rounds and least >= 1, got {rounds} and {least}.")
    times: list[list[float]] = [[] for _ in turns]
    spent, last = [0.0] * len(turns), [0.0] * len(turns)
    failed: dict[int, Exception] = {}
    for number in range(-warmup_rounds, rounds):
        for i, turn in enumerate(turns):
            over = seconds is not None and spent[i] + last[i] > seconds
            if i in failed or (over and len(times[i]) >= least):
                continue
            try:
                last[i] = once(turn.run, turn.device)
            except Exception as error:
                failed[i] = error
                continue
            spent[i] += last[i]
            if number >= 0:
                times[i].append(last[i])
    return [failed[i] if i in failed else Timing(tuple(own)) for i, own in enumerate(times)]


def measure(
    run: Callable[[], object],
    rounds: int = 5,
    warmup_rounds: int = 1,
    seconds: float | None = None,
    device: Device = "cpu",
) -> Timing:
    """Time one function by itself; what it raises is raised.

    Arguments:
        run: What to time.
        rounds: Most runs that count.
        warmup_rounds: Runs before them.
        seconds: As for `take_turns`.
        device: Likewise.

    Example:
        >>> measure(lambda: None, rounds=3).runs
        3
    """
    (found,) = take_turns([Turn(run, device)], rounds, warmup_rounds, seconds)
    if isinstance(found, Exception):
        raise found
    return found


def _wait_for_mps(_: Device) -> None:
    torch.mps.synchronize()


WAITS: dict[str, Callable[[Device], None]] = {
    "cuda": torch.cuda.synchronize,
    "mps": _wait_for_mps,
}
"""How to wait for devices that compute on their own."""


def once(run: Callable[[], object], device: Device = "cpu") -> float:
    """Return the seconds of one run."""
    wait = WAITS.get(torch.device(device).type)
    if wait:
        wait(device)
    start = time.perf_counter()
    run()
    if wait:
        wait(device)
    return time.perf_counter() - start
