"""Numba's cache on disk, made safe for processes that compile at the same time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

_begun: set[str] = set()


@cache
def guard_cache() -> None:
    """Let one process at a time save to an index, and its data before the index names them.

    Numba reads an index, takes the next free name, and writes both anew: two processes that
    compile two signatures of a function at once take the same name, and from then on every process
    loads the one's code for the other's arguments. Imports numba.

    Source: numba/numba, issues 4807 and 10128.
    """
    from numba.core.caching import IndexDataCacheFile

    def save(self: Any, key: Any, data: Any) -> None:
        with _turn(f"{self._index_path}.lock"):
            overloads = self._load_index()
            names = {self._data_name(i) for i in range(1, len(overloads) + 2)}
            name = overloads.get(key) or min(names - set(overloads.values()))
            self._save_data(name, data)
            self._save_index({**overloads, key: name})

    IndexDataCacheFile.save = save  # type: ignore[method-assign]


@contextmanager
def first_alone(what: str, folder: Path) -> Iterator[None]:
    """Hold other processes back from the first call of `what`, which compiles.

    A generalized ufunc of numba lies in two files, which fit each other only where one process
    wrote both. Files of two processes that compiled it at once end every later call in a
    segmentation fault.

    Arguments:
        what: Name of what is called.
        folder: Where its code lies, and its cache, if that can be written to.

    Source: numba/numba, issue 10128.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name, first_alone("example", Path(name)):
        ...     print("compiled")
        compiled
    """
    if what in _begun:
        yield
        return
    guard_cache()
    if not os.access(folder, os.W_OK):  # numba's cache is the user's own then
        folder = Path.home() / ".cache" / "distill"
    with _turn(folder / f".{what}.lock"):
        yield
    _begun.add(what)


@contextmanager
def _turn(file: str | Path) -> Iterator[None]:
    """Hold a lock, or none where the disk has no locks."""
    lock = FileLock(file)
    with suppress(OSError, NotImplementedError):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
