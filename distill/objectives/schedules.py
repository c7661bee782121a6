"""Weights that change over training."""

from __future__ import annotations

import math

from distill.checks import check_number


class Ramp:
    """Move from `start` to `stop` while progress goes from `begin` to `end`; constant outside.

    Arguments:
        start: Value until `begin`.
        stop: Value from `end` on.
        begin: Progress at which the move starts, 0 to 1.
        end: Progress at which it is over.
        geometric: Multiply by equal factors instead of adding equal steps.

    Errors:
        ValueError: `begin` is not before `end`, or a geometric ramp touches zero.

    Example:
        >>> ramp = Ramp(start=0.0, stop=1.0, end=0.5)
        >>> ramp(0.0), ramp(0.25), ramp(0.9)
        (0.0, 0.5, 1.0)
    """

    def __init__(
        self,
        start: float,
        stop: float,
        begin: float = 0.0,
        end: float = 1.0,
        geometric: bool = False,
    ) -> None:
        for name, value in (("start", start), ("stop", stop)):
            check_number(f"Ramp: {name}", value)
        if not 0 <= begin < end <= 1:
            raise ValueError(f"Ramp: wanted 0 <= begin < end <= 1, got begin={begin}, end={end}.")
        if geometric and (start <= 0 or stop <= 0):
            raise ValueError(f"Ramp: a geometric ramp wants positive ends, got {start} and {stop}.")
        self.start, self.stop = start, stop
        self.begin, self.end = begin, end
        self.geometric = geometric

    def __repr__(self) -> str:
        """Show the settings."""
        return f"Ramp({', '.join(f'{k}={v}' for k, v in vars(self).items())})"

    def __call__(self, progress: float) -> float:
        """Return the value at a progress between 0 and 1."""
        share = min(max((progress - self.begin) / (self.end - self.begin), 0.0), 1.0)
        if self.geometric:
            return math.exp((1 - share) * math.log(self.start) + share * math.log(self.stop))
        return self.start + share * (self.stop - self.start)
