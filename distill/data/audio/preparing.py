"""A corpus prepared into shards: what is missing alone, by as many as there are."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from distill.data.audio.clips import NONE, Clips, numbered
from distill.data.audio.columns import Column, writing
from distill.data.audio.preparation import Loaded, Source
from distill.data.audio.scan import Scan, Seconds
from distill.data.audio.shards import LEFT_OUT
from distill.data.audio.shelf import UNREADABLE, Job, Shelf, work
from distill.data.audio.spread import spread

_PATIENCE = 5.0
_AT_MOST = 512
_MANY = 64  # workers of a cluster
_ROUNDS = 4  # parts of the work for each worker

Rows = dict[str, np.ndarray]
"""Of each column the number of every source's clip in it, -1 where it is missing."""


class Keys(NamedTuple):
    """16 bytes for a version of a file, and for one with the mel that was made for it."""

    alone: bytes
    with_mel: bytes

    def of(self, column: str) -> bytes:
        """Return the key of a column."""
        return self.with_mel if column == "mel" else self.alone


class Reader:
    """Clips out of columns."""

    def __init__(self, columns: Mapping[str, Column], rows: Rows) -> None:
        self._columns, self._rows = columns, rows

    def __call__(self, number: int) -> Loaded:
        """Return a clip, mapped into memory."""
        parts = {
            name: self._columns[name].values(rows[number]) for name, rows in self._rows.items()
        }
        return Loaded(parts.pop("audio"), parts, {})


def prepared(
    shelf: Shelf,
    sources: Sequence[Source],
    workers: int = 1,
    cluster: str | None = None,
) -> tuple[Clips, Scan]:
    """Return a corpus out of its shards, after preparing what is not in them.

    Arguments:
        shelf: Where they are.
        sources: The files.
        workers: Processes on this machine.
        cluster: Address of a Ray cluster in place of them; its machines share the folders.

    Errors:
        ValueError: The cache can't be written.
    """
    unread: dict[str, str] = {}
    keyed = list(_keyed(shelf.root, sources, unread))
    sources, keys = [source for source, _ in keyed], [key for _, key in keyed]
    columns, rows = _look(shelf, keys)
    missing = _missing(shelf, columns, rows)
    recalled = len(sources) - len(missing)
    if len(missing):
        with _alone(shelf):
            # Another process may have done it meanwhile.
            columns, rows = _look(shelf, keys)
            missing = _missing(shelf, columns, rows)
            jobs = [_job(sources[i], keys[i], columns, rows, i) for i in missing.tolist()]
            crew = max(workers, 1) if cluster is None else _MANY
            size = min(_AT_MOST, max(1, -(-len(jobs) // (_ROUNDS * crew))))
            parts = [jobs[i : i + size] for i in range(0, len(jobs), size)]
            began, done = time.monotonic(), recalled
            for count, reasons in spread(partial(work, shelf), parts, workers, cluster):
                unread |= reasons
                done += count
                if time.monotonic() - began > _PATIENCE:
                    began = time.monotonic()
                    print(f"prepared {done} of {len(sources)} files", flush=True)
        columns, rows = _look(shelf, keys)
    return _gathered(shelf, sources, columns, rows, set(missing.tolist()), unread)


def _keyed(
    root: Path, sources: Sequence[Source], unread: dict[str, str]
) -> Iterator[tuple[Source, Keys]]:
    """Yield files with what tells them, and these versions of them, from others."""
    prefix = str(root)
    for source in sources:
        try:
            alone = _version(source.path, prefix)
            given = b"" if source.mel is None else _version(source.mel, prefix)
        except OSError as error:
            unread[source.name] = f"{UNREADABLE}: {error.strerror}"
            continue
        key = hashlib.blake2b(alone, digest_size=16).digest()
        both = hashlib.blake2b(alone + given, digest_size=16).digest() if given else key
        yield source, Keys(key, both)


def _version(path: Path, prefix: str) -> bytes:
    text = os.fspath(path)
    stat = os.stat(text)
    return os.fsencode(f"{text.removeprefix(prefix)}\0{stat.st_size}\0{stat.st_mtime_ns}")


def _look(shelf: Shelf, keys: Sequence[Keys]) -> tuple[dict[str, Column], Rows]:
    columns = {name: Column(folder) for name, folder in shelf.folders.items()}
    rows = {name: column.find([key.of(name) for key in keys]) for name, column in columns.items()}
    return columns, rows


def _missing(shelf: Shelf, columns: Mapping[str, Column], rows: Rows) -> np.ndarray:
    """Return the numbers of the files of which something is not there."""
    found = [rows[name] >= 0 for name in shelf.wanted]
    out = [_left_out(columns[name], rows[name]) for name in shelf.wanted]
    return np.flatnonzero(~np.all(found, 0) & ~np.any(out, 0))


def _left_out(column: Column, rows: np.ndarray) -> np.ndarray:
    out = np.zeros(len(rows), bool)
    there = rows >= 0
    out[there] = column.count[rows[there]] == LEFT_OUT
    return out


def _job(source: Source, keys: Keys, columns: Mapping[str, Column], rows: Rows, number: int) -> Job:
    """Return what is to be done for one file, and what of it is there."""
    there = {name: int(rows[name][number]) for name in columns}
    found = {name: columns[name].place(row) for name, row in there.items() if row >= 0}
    return Job(source, {name: keys.of(name) for name in columns}, found)


def _gathered(
    shelf: Shelf,
    sources: Sequence[Source],
    columns: Mapping[str, Column],
    rows: Rows,
    fresh: set[int],
    unread: dict[str, str],
) -> tuple[Clips, Scan]:
    """Make clips and their report of what the columns hold."""
    out = {name: _left_out(columns[name], rows[name]) for name in shelf.wanted}
    scan = Scan(rejects=dict(unread))
    for name, left in out.items():
        for i in np.flatnonzero(left).tolist():
            scan.rejects[sources[i].name] = columns[name].notes[int(rows[name][i])][0]
    used = np.flatnonzero(
        np.all([rows[name] >= 0 for name in shelf.wanted], 0) & ~np.any(list(out.values()), 0)
    )
    kept = {name: rows[name][used] for name in shelf.wanted}
    audio = columns["audio"]
    sites = audio.count[kept["audio"]]
    chosen = [sources[i] for i in used.tolist()]
    names = [source.name for source in chosen]
    speakers, known = numbered([source.speaker for source in chosen])
    labels = [NONE if source.label is None else source.label for source in chosen]
    scan.seconds = Seconds(names, sites / shelf.prepare.sample_rate)
    rates, counts = np.unique(audio.rate[kept["audio"]], return_counts=True)
    scan.rates.update(dict(zip(rates.tolist(), counts.tolist(), strict=True)))
    scan.recalled = len(used) - len(fresh.intersection(used.tolist()))
    if audio.notes:
        for name, row in zip(names, kept["audio"].tolist(), strict=True):
            if row in audio.notes:
                scan.notes[name] = "; ".join(audio.notes[row])
    read = Reader({name: columns[name] for name in shelf.wanted}, kept)
    return Clips(names, sites, read, speakers, known, np.array(labels, int)), scan


@contextmanager
def _alone(shelf: Shelf) -> Iterator[None]:
    """Wait until no other process prepares the same."""
    folder = shelf.folders["audio"]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        print(f"waiting for another process that prepares {shelf.root}", flush=True)
        lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()
