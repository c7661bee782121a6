"""Shards: the arrays of many clips end to end in one `.npy`, with an index of them beside it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from distill.files import atomic_write

INDEX = ".rows"
ROW = np.dtype(
    [("key", "V16"), ("start", "<i8"), ("count", "<i8"), ("rate", "<i4"), ("clipped", "<i4")]
)
"""Of a clip: key, first row and number of rows of its array, sample rate, clipped samples."""
LEFT_OUT = -1
"""Number of rows of a file that is left out."""


class Entry(NamedTuple):
    """What a shard keeps of a clip.

    Arguments:
        key: 16 bytes that tell the file, and this version of it, from others.
        values: Its array `(N, ...)`, or `None` for a file that is left out.
        rate: Sample rate of the file, Hz.
        clipped: Its clipped samples.
        notes: What was done to it, or why it is left out.
    """

    key: bytes
    values: Tensor | None
    rate: int = 0
    clipped: int = 0
    notes: Sequence[str] = ()


def write_shard(folder: Path, entries: Sequence[Entry]) -> Path:
    """Write a shard, and then its index: without an index it does not count.

    Both names follow from the keys: what is prepared twice at the same time is written once.

    Arguments:
        folder: Where.
        entries: At least one; arrays of one type, and of one shape but for the first axis.

    Returns:
        The array's file.

    Errors:
        OSError: The folder can't be written; no room.
    """
    rows = np.zeros(len(entries), ROW)
    given = [entry.values for entry in entries if entry.values is not None]
    start = 0
    for row, entry in zip(rows, entries, strict=True):
        count = LEFT_OUT if entry.values is None else len(entry.values)
        row["key"] = np.void(entry.key)
        row["start"], row["count"] = start, count
        row["rate"], row["clipped"] = entry.rate, entry.clipped
        start += max(count, 0)
    name = hashlib.blake2b(b"".join(entry.key for entry in entries), digest_size=12).hexdigest()
    path = folder / f"{name}.npy"
    head = given[0].numpy()[:0] if given else np.zeros(0, np.int16)
    with atomic_write(path) as draft, draft.open("wb") as file:
        described = np.lib.format.header_data_from_array_1_0(head)
        described["shape"] = (start, *head.shape[1:])
        np.lib.format.write_array_header_1_0(file, described)
        for values in given:
            file.write(np.ascontiguousarray(values.numpy()).data)
    notes = {i: list(entry.notes) for i, entry in enumerate(entries) if entry.notes}
    with atomic_write(path.with_suffix(INDEX)) as draft, draft.open("wb") as file:
        np.save(file, rows)
        file.write(json.dumps({"size": path.stat().st_size, "notes": notes}).encode())
    return path


def read_index(path: Path) -> tuple[np.ndarray, dict[str, Any]] | None:
    """Return rows and notes of an index; `None` where it, or its array, is damaged or gone."""
    try:
        with path.open("rb") as file:
            rows = np.load(file, allow_pickle=False)
            said = json.loads(file.read())
        whole = path.with_suffix(".npy").stat().st_size == said["size"]
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    return (rows, said["notes"]) if whole and rows.dtype == ROW else None


def mapped(path: Path) -> Tensor:
    """Map an array's file into memory: only what is looked at is read.

    The mapping is private, so nothing that is written to the tensor reaches the file, and it holds
    no file open, so that their number has no limit.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> entries = [Entry(bytes(16), torch.tensor([1, 2])), Entry(bytes(16), torch.tensor([3]))]
        >>> mapped(write_shard(Path(folder.name), entries))
        tensor([1, 2, 3])
        >>> folder.cleanup()
    """
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        skipped = file.tell() // dtype.itemsize  # the head's length is a multiple of 64
    kind = torch.from_numpy(np.zeros(0, dtype)).dtype
    flat = torch.from_file(str(path), shared=False, size=skipped + math.prod(shape), dtype=kind)
    return flat[skipped:].view(shape)
