"""Columns: one kind of result for every clip of a corpus, in shards."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from distill.data.audio.shards import INDEX, ROW, Entry, mapped, read_index, write_shard
from distill.files import FullDiskError, write_json

ABOUT = "about.json"
FOLDER = "shards"
_VERSION = 1
_AT_ONCE = 2**26  # bytes
_PATIENCE = 20.0  # s


class Place(NamedTuple):
    """Where the array of a clip lies: file, first row, and the row after its last."""

    path: str
    start: int
    stop: int


def column_folder(cache: Path, root: Path, name: str, settings: Mapping[str, Any]) -> Path:
    """Return the folder of a column: what determines its numbers determines its name.

    Arguments:
        cache: Folder of all that is prepared.
        root: Of the corpus.
        name: Of the result: `audio`, `mel` and so on.
        settings: Plain values that it depends on.
    """
    about = {"version": _VERSION, "root": os.fspath(root), "of": name, **settings}
    text = json.dumps(about, sort_keys=True)
    return cache / FOLDER / f"{name}-{hashlib.blake2b(text.encode(), digest_size=10).hexdigest()}"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say of what goes wrong with writing what to do about it.

    Errors:
        ValueError: The folder can't be written, or is full.
    """
    try:
        yield
    except OSError as error:
        why = "no space left" if isinstance(error, FullDiskError) else error.strerror
        raise ValueError(
            f"cache: can't write to {folder} ({why}). Name another folder, as in "
            "data.cache=FOLDER, or keep nothing with data.cache=null."
        ) from error


class Column:
    """The index of all shards of a column, and their arrays by row.

    Shards that are damaged, or have no index yet, are not seen: their clips are prepared again.

    Arguments:
        folder: See `column_folder`.

    Attributes:
        count: Rows of each clip's array `(C,)`, -1 for a file that is left out.
        rate: Sample rate of each file, Hz.
        notes: What is remarked on a clip, or why it is left out, by its number.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths: list[Path] = []
        self._arrays: dict[int, Tensor] = {}
        self.notes: dict[int, list[str]] = {}
        parts, shards, total = [], [], 0
        for path in sorted(folder.glob(f"*/*{INDEX}")):
            found = read_index(path)
            if found is None:
                continue
            rows, notes = found
            parts.append(rows)
            shards.append(np.full(len(rows), len(self._paths)))
            self.notes |= {total + int(i): text for i, text in notes.items()}
            self._paths.append(path.with_suffix(".npy"))
            total += len(rows)
        rows = np.concatenate(parts) if parts else np.zeros(0, ROW)
        self._shard = np.concatenate(shards) if shards else np.zeros(0, int)
        self._start, self.count = rows["start"].copy(), rows["count"].copy()
        self.rate, self.clipped = rows["rate"].copy(), rows["clipped"].copy()
        self._keys = rows["key"].copy()

    def find(self, keys: Sequence[bytes]) -> np.ndarray:
        """Return the number of each key's clip, -1 where it is not there."""
        known = {key: i for i, key in enumerate(self._keys.tolist())}
        return np.fromiter((known.get(key, -1) for key in keys), int, len(keys))

    def place(self, number: int) -> Place:
        """Return where a clip's array lies."""
        start = int(self._start[number])
        path = str(self._paths[self._shard[number]])
        return Place(path, start, start + int(self.count[number]))

    def values(self, number: int) -> Tensor:
        """Return a clip's array, mapped into memory."""
        shard = int(self._shard[number])
        if shard not in self._arrays:
            self._arrays[shard] = mapped(self._paths[shard])
        start = int(self._start[number])
        return self._arrays[shard][start : start + int(self.count[number])]


class Writer:
    """Gathers clips of a column, and writes a shard now and then.

    Arguments:
        folder: Of the column; each machine writes into a folder of its own inside.
        about: What the column is, for people and for the report.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self._folder, self._about = folder, about
        self._entries: list[Entry] = []
        self._bytes, self._since = 0, time.monotonic()

    def add(self, entry: Entry) -> None:
        """Take a clip."""
        self._entries.append(entry)
        self._bytes += 0 if entry.values is None else entry.values.nbytes

    @property
    def is_due(self) -> bool:
        """Whether it is time to write."""
        return self._bytes > _AT_ONCE or time.monotonic() - self._since > _PATIENCE

    def flush(self) -> None:
        """Write what has come together."""
        self._since = time.monotonic()
        if not self._entries:
            return
        with writing(self._folder):
            about = self._folder / ABOUT
            if not about.is_file():
                write_json(about, self._about)
            write_shard(self._folder / (platform.node() or "machine"), self._entries)
        self._entries, self._bytes = [], 0
