"""Progress for people: a bar in a terminal or notebook, plain lines in a log."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Iterable, Iterator
from typing import Any, TextIO, TypeVar

from tqdm.auto import tqdm
from tqdm.std import tqdm as PlainBar

T = TypeVar("T")
PATIENCE = 5.0
"""Seconds that a work may take before it shows a bar."""


class LogBar(PlainBar):
    """A bar that prints lines of its own, for a pipe or a file."""

    last_print_n: float

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Print where it is, once there is something to tell."""
        if self.n > self.initial:
            self.fp.write(f"{msg or self}\n")
            self.fp.flush()
        return True

    def close(self) -> None:
        """Print the end, if that has not been done."""
        if self.last_print_n < self.n and self._time() >= self.start_t + self.delay:
            self.display()
        self.last_print_n = self.n


def progress_bar(
    name: str,
    total: int,
    start: int = 0,
    interval: float = 10.0,
    unit: str = "steps",
    delay: float = 0.0,
) -> PlainBar[Any]:
    """Return a bar of steps with rate and time left, to be used in a `with`.

    Arguments:
        name: What is running.
        total: Number of steps.
        start: Steps already done.
        interval: Seconds between lines of a log.
        unit: What is counted.
        delay: Seconds before anything is shown.

    Example:
        >>> with progress_bar("training", total=4) as bar:
        ...     show(bar, 4, loss=0.5)
    """
    live = sys.stderr.isatty() or "ipykernel" in sys.modules
    kind, seconds = (tqdm, 0.2) if live else (LogBar, interval)
    columns, rows = shutil.get_terminal_size()
    form = "{desc}  {n}/{total}  {rate_fmt}  {remaining} left{postfix}"
    return kind(
        desc=name,
        total=total,
        initial=start,
        unit=f" {unit}",
        delay=delay,
        mininterval=seconds,
        miniters=1,  # else a thread of tqdm's own looks after it
        ncols=columns,
        nrows=rows,
        file=sys.stderr,
        bar_format=None if live else form,
    )


def show(bar: PlainBar[Any], done: int, **numbers: float) -> None:
    """Show that `done` steps are over, with some numbers, if it is time to."""
    bar.set_postfix(numbers, refresh=False)
    bar.update(done - bar.n)


def tracked(
    items: Iterable[T], name: str, total: int | None = None, unit: str = "clips"
) -> Iterator[T]:
    """Yield items, and show how many are done and what remains once that takes longer.

    Arguments:
        items: What is worked on.
        name: What is running.
        total: How many there are, where they do not know it.
        unit: What they are.

    Example:
        >>> sum(tracked([1, 2], "adding"))
        3
    """
    if total is None:
        assert isinstance(items, Collection)
        total = len(items)
    with progress_bar(name, total, unit=unit, delay=PATIENCE) as bar:
        for item in items:
            yield item
            bar.update()


def say(text: str, file: TextIO | None = None) -> None:
    """Print a line above any bar; to the standard output by default."""
    tqdm.write(text, file=file)
