"""Where frames come from, chunk by chunk: files, audio, a pipe."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from distill.data.audio.inputs import INPUT_SUFFIXES, read_input
from distill.frames import FrameLayout

_MAGIC = {b"RIFF": ".wav", b"fLaC": ".flac", b"\x93NUM": ".npy", b"PK\x03\x04": ".pt"}
_BLOCK = 2**20
"""Bytes of the pipe that are read at once."""


def open_source(name: str, layout: FrameLayout, chunk: int, pipe: BinaryIO) -> Iterator[np.ndarray]:
    """Yield full rows `(chunk, width)` of a model's frames, the last ones perhaps fewer.

    Raw frames on the pipe are read as they are needed, files whole, with what rows lack filled in
    as `FrameLayout.complete` does.

    Arguments:
        name: A file, or `-` for the pipe: raw little-endian float32 rows, or the content of a wav,
            flac, `.npy` or `.pt` file.
        layout: Of the model's frames.
        chunk: Frames at a time.
        pipe: What `-` reads from.

    Errors:
        FileNotFoundError: No such file.
        ValueError: What can't be used, with the reason; no frames at all.
    """
    if name == "-":
        head = pipe.read(4)
        if head in _MAGIC:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"stdin{_MAGIC[head]}"
                with path.open("wb") as file:
                    file.write(head)
                    while block := pipe.read(_BLOCK):
                        file.write(block)
                return _cut(read_rows(path, layout, "stdin"), chunk)
        return _raw(head, pipe, layout, chunk)
    path = Path(name).expanduser()
    if path.is_dir() or path.suffix.lower() not in INPUT_SUFFIXES:
        known = ", ".join(INPUT_SUFFIXES)
        raise ValueError(f"{path}: wanted one file among {known}, or - for stdin.")
    return _cut(read_rows(path, layout), chunk)


def read_rows(path: Path, layout: FrameLayout, name: str | None = None) -> np.ndarray:
    """Read a file whole, as full rows `(F, width)` of the model's frames.

    Arguments:
        path: Of audio or frames.
        layout: Of the model.
        name: What to call it in an error, if its path would tell a user nothing.
    """
    kinds = layout.spec.features
    framed = {feature: kinds[feature] for feature in layout.sizes}
    try:
        features, _ = read_input(path, replace(layout.spec, features=framed))
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), name or str(path))) from None
    return layout.complete(layout.join(features))


def _cut(rows: np.ndarray, chunk: int) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), chunk):
        yield rows[start : start + chunk]


def _raw(head: bytes, pipe: BinaryIO, layout: FrameLayout, chunk: int) -> Iterator[np.ndarray]:
    size = 4 * layout.width
    begun = False
    while True:
        block = head + _read(pipe, chunk * size - len(head))
        head = b""
        if len(block) % size:
            raise ValueError(
                f"stdin: ended within a frame: {len(block) % size} of its {size} bytes ("
                f"{layout.width} float32 numbers: {layout})."
            )
        if block:
            rows = np.frombuffer(block, "<f4").reshape(-1, layout.width)
            yield layout.complete(layout.rows(rows, "stdin"))
        elif not begun:
            raise ValueError("stdin: no frames.")
        begun = True
        if len(block) < chunk * size:
            return


def _read(pipe: BinaryIO, size: int) -> bytes:
    """Read so many bytes, or all there are, which alone take memory."""
    parts = []
    while size and (part := pipe.read(min(size, _BLOCK))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
