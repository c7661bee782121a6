"""SIGINT and SIGTERM: leave at a moment that suits, with a line, and with nothing half written."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AGAIN = 0.05  # seconds until a signal that was swallowed comes once more


class Interrupted(KeyboardInterrupt):
    """Somebody asked the process to end.

    Arguments:
        number: Of the signal.
        text: One line about what was done.

    Example:
        >>> Interrupted(signal.SIGTERM).code, str(Interrupted(signal.SIGINT))
        (143, 'interrupted')
    """

    def __init__(self, number: int = signal.SIGINT, text: str | None = None) -> None:
        super().__init__(text or ("terminated" if number == signal.SIGTERM else "interrupted"))
        self.number = number

    @property
    def code(self) -> int:
        """Exit code, as shells count: 128 and the signal."""
        return 128 + self.number


class StopRequest:
    """Whether a signal has come in, and how it is taken.

    While `at_once` is true a signal raises `Interrupted` right away; else it is noted in `number`,
    and the owner leaves when it suits. A second signal always raises.

    Arguments:
        at_once: Where to begin.
    """

    def __init__(self, at_once: bool = False) -> None:
        self.number: int | None = None
        self.at_once = at_once

    def check(self) -> None:
        """Raise `Interrupted` if a signal has been noted."""
        if self.number is not None:
            raise Interrupted(self.number)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Raise at once for a while, also for a signal noted before."""
        former, self.at_once = self.at_once, True
        try:
            self.check()
            yield
        finally:
            self.at_once = former

    def take(self, number: int, frame: FrameType | None = None) -> None:
        """Take a signal."""
        again, self.number = self.number is not None, number
        if self.at_once or again:
            raise Interrupted(number)


def _send(number: int) -> None:
    """Send a signal to the main thread, whose waiting it ends; to this one it would not."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)
    else:
        signal.raise_signal(number)


@contextmanager
def interruptible(at_once: bool = True) -> Iterator[StopRequest]:
    """Take SIGINT and SIGTERM as a request; the former handlers come back at the end.

    Outside the main thread, where Python hears no signals, and where a signal is ignored (nohup),
    nothing changes.

    Arguments:
        at_once: Raise at once, so that `finally` clauses clean up; else note it only.

    Example:
        >>> with interruptible(at_once=False) as request:
        ...     signal.raise_signal(signal.SIGTERM)
        ...     print(request.number == signal.SIGTERM)
        True
    """
    request = StopRequest(at_once)
    former: dict[int, Any] = {}
    unraisable = sys.unraisablehook

    def once_more(args: sys.UnraisableHookArgs) -> None:
        """Send a signal again whose exception fell into a destructor, from which none comes out."""
        if isinstance(args.exc_value, Interrupted):
            timer = threading.Timer(_AGAIN, _send, [args.exc_value.number])
            timer.daemon = True
            timer.start()
        else:
            unraisable(args)

    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                former[number] = signal.signal(number, request.take)
    if former:
        sys.unraisablehook = once_more
    try:
        yield request
    finally:
        if former:
            sys.unraisablehook = unraisable
        for taken, handler in former.items():
            signal.signal(taken, handler)
