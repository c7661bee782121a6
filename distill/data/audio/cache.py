"""What was computed of a file, kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.files import FullDiskError, atomic_write

_VERSION = 1


class Cache:
    """Results on disk under a key, each file whole or not there at all.

    An interrupted run finds what it has finished; one key may be written by several processes.

    Arguments:
        folder: Where; `None` keeps nothing.

    Errors:
        ValueError: The folder can't be written.

    Example:
        >>> Cache(None).recall({"of": "what"}, lambda: {"value": torch.ones(2)})["value"]
        tensor([1., 1.])
    """

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else Path(folder).expanduser()

    def recall(self, key: Mapping[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what is kept under a key, or make it and keep it.

        Arguments:
            key: Plain values that determine the result.
            make: Its computation: tensors and values of JSON by name.
        """
        if self.folder is None:
            return make()
        path = self._path(key)
        try:
            return _read(path)
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            pass  # not there, or damaged: it is made again, and replaced
        value = make()
        self._write(path, value)
        return value

    def has(self, key: Mapping[str, Any]) -> bool:
        """Return whether something is kept under a key."""
        return self.folder is not None and self._path(key).is_file()

    def _path(self, key: Mapping[str, Any]) -> Path:
        assert self.folder is not None
        text = json.dumps({"version": _VERSION, **key}, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        return self.folder / name[:2] / f"{name[2:]}.bin"

    def _write(self, path: Path, value: dict[str, Any]) -> None:
        try:
            # A file that a power cut spoils is seen as such, and made again.
            with atomic_write(path, durable=False) as draft, draft.open("wb") as file:
                tensors = {k: v for k, v in value.items() if isinstance(v, Tensor)}
                plain = {k: v for k, v in value.items() if k not in tensors}
                head = json.dumps({"tensors": list(tensors), "plain": plain}).encode()
                for array in (
                    np.frombuffer(head, np.uint8),
                    *(t.numpy() for t in tensors.values()),
                ):
                    np.save(file, array)
        except OSError as error:
            why = "no space left" if isinstance(error, FullDiskError) else error.strerror
            raise ValueError(
                f"cache: can't write to {self.folder} ({why}). Name another folder, as in "
                "data.cache=FOLDER, or keep nothing with data.cache=null."
            ) from error


def _read(path: Path) -> dict[str, Any]:
    """Read arrays laid end to end, the first of them a JSON text: quicker than an archive."""
    with path.open("rb") as file:
        head = json.loads(np.load(file, allow_pickle=False).tobytes())
        tensors = {k: torch.from_numpy(np.load(file, allow_pickle=False)) for k in head["tensors"]}
    return tensors | head["plain"]


def identity(path: Path) -> dict[str, Any]:
    """Return what tells a file, and this version of it, from others."""
    stat = path.stat()
    return {"path": str(path.resolve()), "size": stat.st_size, "time": stat.st_mtime_ns}
