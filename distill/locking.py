"""Locks of folders and files: one process at a time."""

from __future__ import annotations

import errno
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
        PermissionError: The folder may not be written to.

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
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise PermissionError(
            f"{file.parent}: wanted a folder that may be written to, and it may only be read "
            f"({error.strerror}). Name another {other}, or copy it to where you may write."
        ) from error
    try:
        yield
    finally:
        lock.release()
