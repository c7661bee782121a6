"""The cache of prepared audio: what it holds, and its bound, least recently used first."""

from __future__ import annotations

import itertools
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from distill.data.audio.columns import ABOUT, FOLDER
from distill.data.audio.shards import INDEX, read_index

_HOLDS = "holds"
_USED = ".used"
_LOCK = ".lock"
_EARLIER = re.compile("[0-9a-f]{2}")  # folders of single files, which earlier versions made
_GIGA = 1e9
_number = itertools.count()


class Holding(NamedTuple):
    """Something that the cache holds.

    Arguments:
        folder: Where; its name begins with what it is: `audio`, `mel`, `hertz`, `f0`, `phase`.
        root: Of the corpus that it was made of.
        size: Bytes.
        used: When it was used last, seconds since the epoch.
        held: Whether a running process works with it.
    """

    folder: Path
    root: str
    size: int
    used: float
    held: bool


def hold(cache: Path, folders: Iterable[Path]) -> list[FileLock]:
    """Mark columns as in use, as long as the process lives and what is returned does.

    A cache that can't be written is not cleared either.
    """
    locks = []
    try:
        with _alone(cache):
            for folder in folders:
                home = folder / _HOLDS
                home.mkdir(parents=True, exist_ok=True)
                (folder / _USED).touch()
                name = f"{platform.node()}-{os.getpid()}-{next(_number)}{_LOCK}"
                lock = FileLock(home / name, timeout=0, thread_local=False)
                lock.acquire()
                locks.append(lock)
    except OSError:
        pass
    return locks


def holdings(cache: Path) -> list[Holding]:
    """Return what a cache holds, what was used last first."""
    found = [_holding(about.parent) for about in (cache / FOLDER).glob(f"*/{ABOUT}")]
    earlier = [p for p in cache.glob("*") if _EARLIER.fullmatch(p.name) and p.is_dir()]
    for folder in earlier:
        size, newest = _measured(folder)
        found.append(Holding(folder, "an earlier version", size, newest, False))
    return sorted(found, key=lambda holding: -holding.used)


def trim(cache: Path, limit: float | None) -> list[Holding]:
    """Remove what was not used for longest, until a cache is within its limit.

    Arguments:
        cache: The folder.
        limit: GB; `None` for no limit.

    Returns:
        What was removed; never what a running process holds.
    """
    removed: list[Holding] = []
    if limit is None or not cache.is_dir():
        return removed
    with suppress(OSError), _alone(cache):
        there = holdings(cache)
        total = sum(holding.size for holding in there)
        for holding in reversed(there):
            if total <= limit * _GIGA:
                break
            if not holding.held:
                shutil.rmtree(holding.folder, ignore_errors=True)
                total -= holding.size
                removed.append(holding)
    return removed


def table(cache: Path, limit: float | None) -> str:
    """Return what a cache holds, in Markdown."""
    there = holdings(cache)
    total = sum(holding.size for holding in there) / _GIGA
    most = "no limit" if limit is None else f"at most {limit:g} GB, least recently used goes first"
    rows = [f"Cache {cache}: {total:.3f} GB ({most})", ""]
    rows += ["| corpus | what | files | MB | last used | in use |", "|---|---|---|---|---|---|"]
    now = time.time()
    old = [holding for holding in there if not (holding.folder / ABOUT).is_file()]
    for holding in (h for h in there if h not in old):
        indices = (read_index(path) for path in holding.folder.glob(f"*/*{INDEX}"))
        count = sum(len(found[0]) for found in indices if found is not None)
        what = holding.folder.name.partition("-")[0]
        days = (now - holding.used) / 86_400
        ago = "today" if days < 1 else f"{days:.0f} days ago"
        megabytes, held = f"{holding.size / 1e6:,.1f}", "yes" if holding.held else "no"
        rows.append(f"| {holding.root} | {what} | {count} | {megabytes} | {ago} | {held} |")
    if old:
        size = sum(holding.size for holding in old) / 1e6
        rows.append(f"| of an earlier version | all | | {size:,.1f} | | no |")
    return "\n".join(rows)


def _alone(cache: Path) -> FileLock:
    folder = cache / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / _LOCK)


def _holding(folder: Path) -> Holding:
    try:
        root = str(json.loads((folder / ABOUT).read_text("utf-8"))["root"])
    except (OSError, ValueError, KeyError):
        root = "unknown"
    size, newest = _measured(folder)
    with suppress(OSError):
        newest = (folder / _USED).stat().st_mtime
    return Holding(folder, root, size, newest, _is_held(sorted((folder / _HOLDS).glob("*"))))


def _is_held(locks: Sequence[Path]) -> bool:
    """Whether a living process has one of the locks; those that dead ones left are removed."""
    held = False
    for path in locks:
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            held = True
            continue
        lock.release()
        path.unlink(missing_ok=True)
    return held


def _measured(folder: Path) -> tuple[int, float]:
    size, newest = 0, 0.0
    for home, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                stat = os.stat(os.path.join(home, name))
                size, newest = size + stat.st_size, max(newest, stat.st_mtime)
    return size, newest
