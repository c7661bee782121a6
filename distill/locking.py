"""Locks of folders and files: one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"
"""In a folder that is worked in."""


@contextmanager
def locked(file: Path, who: str, other: str) -> Iterator[None]:
    """Hold a lock, which the end of the process releases, too.

    Arguments:
        file: That stands for it.
        who: Subject of the line that tells that it is taken.
        other: What to name another of, as in `folder with run=`.

    Errors:
        BlockingIOError: Another process has it.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with locked(Path(folder.name) / LOCK, "another", "folder"):
        ...     print("alone")
        alone
        >>> folder.cleanup()
    """
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"{who} is at work there. Wait for it, or name another {other}."
        ) from None
    try:
        yield
    finally:
        lock.release()
