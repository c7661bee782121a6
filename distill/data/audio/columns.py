"""A column of a corpus on disk: one kind of array (samples, mel, F0) of every clip, in shards."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

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
    """The index of all shards of a column.

    Shards that are damaged, or have no index yet, are not seen: their clips are prepared again.

    Arguments:
        folder: See `column_folder`.

    Attributes:
        arrays: Of its shards.
        shard: Which of them holds each clip's array `(C,)`.
        start: First row of it.
        count: Rows of each clip's array `(C,)`, -1 for a file that is left out.
        rate: Sample rate of each file, Hz.
        notes: What is remarked on a clip, or why it is left out, by its number.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.arrays = Arrays([])
        self.notes: dict[int, list[str]] = {}
        parts, shards, total = [], [], 0
        for path in sorted(folder.glob(f"*/*{INDEX}")):
            found = read_index(path)
            if found is None:
                continue
            rows, notes = found
            parts.append(rows)
            shards.append(np.full(len(rows), len(self.arrays.paths)))
            self.notes |= {total + int(i): text for i, text in notes.items()}
            self.arrays.paths.append(path.with_suffix(".npy"))
            total += len(rows)
        rows = np.concatenate(parts) if parts else np.zeros(0, ROW)
        self.shard = np.concatenate(shards) if shards else np.zeros(0, int)
        self.start, self.count = rows["start"].copy(), rows["count"].copy()
        self.rate, self.clipped = rows["rate"].copy(), rows["clipped"].copy()
        self._keys = pairs(rows["key"].tobytes())

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Return the number of each key's clip `(K,)`, -1 where it is not there.

        Arguments:
            keys: Pairs of 64 bits `(K, 2)`.
        """
        if not len(self._keys):
            return np.full(len(keys), -1)
        order = np.argsort(self._keys[:, 0], kind="stable")
        at = np.searchsorted(self._keys[order, 0], keys[:, 0])
        found = order[np.minimum(at, len(order) - 1)]
        return np.where((self._keys[found] == keys).all(1), found, -1)

    def place(self, number: int) -> Place:
        """Return where a clip's array lies."""
        start = int(self.start[number])
        path = str(self.arrays.paths[self.shard[number]])
        return Place(path, start, start + int(self.count[number]))


class Arrays:
    """The arrays of shards, each mapped into memory when it is first asked for.

    Arguments:
        paths: Their files.
    """

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self._mapped: dict[int, np.ndarray] = {}

    def __getitem__(self, shard: int) -> np.ndarray:
        found = self._mapped.get(shard)
        if found is None:
            found = self._mapped[shard] = mapped(self.paths[shard]).numpy()
        return found


def pairs(keys: bytes) -> np.ndarray:
    """Return keys that stand end to end as pairs of 64 bits `(K, 2)`.

    Example:
        >>> pairs(bytes(16)).tolist()
        [[0, 0]]
    """
    return np.frombuffer(keys, "<u8").reshape(-1, 2)


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
