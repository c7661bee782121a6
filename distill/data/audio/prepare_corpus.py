"""Preparation of a corpus into shards on disk: what is missing alone, by several workers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from filelock import FileLock, Timeout

from distill.data.audio.clips import NONE, Clips, numbered
from distill.data.audio.columns import Column, pairs, writing
from distill.data.audio.corpus_columns import UNREADABLE, CorpusColumns, Job, work
from distill.data.audio.holdings import hold, trim
from distill.data.audio.listing import collection_paused
from distill.data.audio.parallel_map import parallel_map
from distill.data.audio.preparation import Loaded, Source
from distill.data.audio.scan import Scan, Seconds
from distill.data.audio.shards import LEFT_OUT
from distill.progress import PATIENCE, progress_bar

_EMPTY = hashlib.blake2b(digest_size=16)
_AT_MOST = 512
_MANY = 64  # workers of a cluster
_ROUNDS = 4  # parts of the work for each worker

Rows = dict[str, np.ndarray]
"""Of each column the number of every source's clip in it, -1 where it is missing."""


class Keys(NamedTuple):
    """What tells versions of files from others, `(C, 2)`: alone, and with mels made for them."""

    alone: np.ndarray
    with_mel: np.ndarray

    def of(self, column: str) -> np.ndarray:
        """Return the keys of a column."""
        return self.with_mel if column == "mel" else self.alone


class Reader:
    """Clips out of columns, by their numbers; of the columns it keeps where those clips lie."""

    def __init__(self, columns: Mapping[str, Column], rows: Rows, locks: list[FileLock]) -> None:
        self._locks = locks  # as long as they are read, the cache keeps them
        self._arrays = [(name, column.arrays) for name, column in columns.items()]
        places: list[np.ndarray] = []
        for name, column in columns.items():
            start = column.start[rows[name]]
            places += [column.shard[rows[name]], start, start + column.count[rows[name]]]
        # What is needed of a clip lies side by side: one miss of the processor's cache.
        self._places = np.stack(places, 1)

    def __call__(self, number: int) -> Loaded:
        """Return a clip, mapped into memory."""
        places = self._places[number].tolist()
        parts = {}
        for i, (name, arrays) in enumerate(self._arrays):
            shard, start, stop = places[3 * i : 3 * i + 3]
            parts[name] = torch.from_numpy(arrays[shard][start:stop])
        return Loaded(parts.pop("audio"), parts, {})


def prepared(
    store: CorpusColumns,
    sources: Sequence[Source],
    workers: int = 1,
    cluster: str | None = None,
    limit: float | None = None,
) -> tuple[Clips, Scan]:
    """Return a corpus out of its shards, after preparing what is not in them.

    Arguments:
        store: Where they are.
        sources: The files.
        workers: Processes on this machine.
        cluster: Address of a Ray cluster in place of them; its machines share the folders.
        limit: Of the cache, GB; what was not used for longest is removed beyond it.

    Errors:
        ValueError: The cache can't be written.
    """
    locks = hold(store.cache, store.touched)
    unread: dict[str, str] = {}
    with collection_paused():
        sources, keys = _keyed(store.root, sources, unread)
    columns, rows = _look(store, keys)
    missing = _missing(columns, rows)
    if len(missing):
        with _alone(store):
            # Another process may have done it meanwhile.
            columns, rows = _look(store, keys)
            missing = _missing(columns, rows)
            jobs = _jobs(store, sources, keys, missing)
            processes = max(workers, 1) if cluster is None else _MANY
            size = min(_AT_MOST, max(1, -(-len(jobs) // (_ROUNDS * processes))))
            parts = [jobs[i : i + size] for i in range(0, len(jobs), size)]
            done = len(sources) - len(jobs)
            bar = progress_bar("prepare", len(sources), done, unit="files", delay=PATIENCE)
            with bar:
                for count, reasons in parallel_map(partial(work, store), parts, workers, cluster):
                    unread |= reasons
                    bar.update(count)
        columns, rows = _look(store, keys)
        for gone in trim(store.cache, limit):
            print(f"removed from the cache: {gone.folder.name} of {gone.root}", flush=True)
    return _gathered(store, sources, columns, rows, missing, unread, locks)


def _keyed(
    root: Path, sources: Sequence[Source], unread: dict[str, str]
) -> tuple[list[Source], Keys]:
    """Return the files that are there, with their keys."""
    prefix = str(root)
    there, alone, with_mel = [], [], []
    for source in sources:
        try:
            key = _version(source.path, prefix)
            if source.mel is not None:
                with_mel.append(hashlib.blake2b(key + _version(source.mel, prefix)).digest()[:16])
        except OSError as error:
            unread[source.name] = f"{UNREADABLE}: {error.strerror}"
            continue
        alone.append(key)
        there.append(source)
    mine = pairs(b"".join(alone))
    return there, Keys(mine, pairs(b"".join(with_mel)) if with_mel else mine)


def _version(path: str | Path, prefix: str) -> bytes:
    """Return 16 bytes for a file's path below the corpus, size and time."""
    stat = os.stat(path)
    text = f"{str(path).removeprefix(prefix)}\0{stat.st_size}\0{stat.st_mtime_ns}"
    key = _EMPTY.copy()  # twice as fast as a new one
    key.update(text.encode("utf-8", "surrogateescape"))
    return key.digest()


def _look(
    store: CorpusColumns, keys: Keys, names: Sequence[str] | None = None
) -> tuple[dict[str, Column], Rows]:
    folders = store.folders
    columns = {name: Column(folders[name]) for name in names or store.wanted}
    return columns, {name: column.find(keys.of(name)) for name, column in columns.items()}


def _missing(columns: Mapping[str, Column], rows: Rows) -> np.ndarray:
    """Return the numbers of the files of which something is not there."""
    found = [rows[name] >= 0 for name in columns]
    out = [_left_out(columns[name], rows[name]) for name in columns]
    return np.flatnonzero(~np.all(found, 0) & ~np.any(out, 0))


def _left_out(column: Column, rows: np.ndarray) -> np.ndarray:
    out = np.zeros(len(rows), bool)
    there = rows >= 0
    out[there] = column.count[rows[there]] == LEFT_OUT
    return out


def _jobs(
    store: CorpusColumns, sources: Sequence[Source], keys: Keys, missing: np.ndarray
) -> list[Job]:
    """Return what is to be done, with what is there of it, steps on the way too."""
    columns, rows = _look(store, keys, list(store.folders))
    jobs = []
    # A file that is listed under two names is one.
    _, first = np.unique(keys.with_mel[missing], axis=0, return_index=True)
    for i in missing[np.sort(first)].tolist():
        there = {name: int(rows[name][i]) for name in columns}
        found = {name: columns[name].place(row) for name, row in there.items() if row >= 0}
        jobs.append(Job(sources[i], {name: keys.of(name)[i].tobytes() for name in columns}, found))
    return jobs


def _gathered(
    store: CorpusColumns,
    sources: Sequence[Source],
    columns: Mapping[str, Column],
    rows: Rows,
    fresh: np.ndarray,
    unread: dict[str, str],
    locks: list[FileLock],
) -> tuple[Clips, Scan]:
    """Make clips and their report of what the columns hold."""
    out = {name: _left_out(columns[name], rows[name]) for name in columns}
    scan = Scan(rejects=dict(unread))
    for name, left in out.items():
        for i in np.flatnonzero(left).tolist():
            scan.rejects[sources[i].name] = columns[name].notes[int(rows[name][i])][0]
    whole = np.all([rows[name] >= 0 for name in columns], 0) & ~np.any(list(out.values()), 0)
    used = np.flatnonzero(whole)
    kept = {name: rows[name][used] for name in columns}
    audio = columns["audio"]
    sites = audio.count[kept["audio"]]
    chosen = [sources[i] for i in used.tolist()]
    names = [source.name for source in chosen]
    speakers, known = numbered([source.speaker for source in chosen])
    labels = [NONE if source.label is None else source.label for source in chosen]
    scan.seconds = Seconds(names, sites / store.prepare.sample_rate)
    rates, counts = np.unique(audio.rate[kept["audio"]], return_counts=True)
    scan.rates.update(dict(zip(rates.tolist(), counts.tolist(), strict=True)))
    scan.recalled = len(used) - int(whole[fresh].sum())
    noted = np.isin(kept["audio"], list(audio.notes)) if audio.notes else np.zeros(0)
    for i in np.flatnonzero(noted).tolist():
        scan.notes[names[i]] = "; ".join(audio.notes[int(kept["audio"][i])])
    return Clips(
        names, sites, Reader(columns, kept, locks), speakers, known, np.array(labels, int)
    ), scan


@contextmanager
def _alone(store: CorpusColumns) -> Iterator[None]:
    """Wait until no other process prepares the same."""
    folder = store.folders["audio"]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        print(f"waiting for another process that prepares {store.root}", flush=True)
        lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()
