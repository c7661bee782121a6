"""Progress for people: one moving line in a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time


class Progress:
    """Report steps with rate and time left.

    In a terminal one line is rewritten a few times a second; in a pipe or a file a plain line is
    printed every `interval` seconds.

    Arguments:
        name: What is running.
        total: Number of steps.
        start: Steps already done.
        interval: Seconds between plain lines.
    """

    def __init__(self, name: str, total: int, start: int = 0, interval: float = 10.0) -> None:
        self.name, self.total, self.start = name, total, start
        self.live = sys.stderr.isatty()
        self.interval = 0.2 if self.live else interval
        self.began = self.shown = time.monotonic()

    def update(self, done: int, **numbers: float) -> None:
        """Show that `done` steps are over, with some numbers, if it is time to."""
        now = time.monotonic()
        if done < self.total and now - self.shown < self.interval:
            return
        self.shown = now
        rate = (done - self.start) / max(now - self.began, 1e-9)
        left = (self.total - done) / max(rate, 1e-9)
        text = "  ".join(f"{key} {value:.4g}" for key, value in numbers.items())
        line = f"{self.name}  {done}/{self.total}  {rate:.1f} steps/s  {clock(left)} left  {text}"
        end = "\n" if not self.live or done >= self.total else ""
        print(f"\r\x1b[K{line}" if self.live else line, end=end, file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """Write seconds as h:mm:ss.

    Example:
        >>> clock(3671)
        '1:01:11'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
