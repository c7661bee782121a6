"""Where frames come from, chunk by chunk: files, audio, a pipe."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from distill.data.audio.files import SUFFIXES
from distill.data.audio.inputs import read_inputs
from distill.serving.frames import FrameLayout

_MAGIC = {b"RIFF": ".wav", b"fLaC": ".flac"}


def open_source(name: str, layout: FrameLayout, chunk: int, pipe: BinaryIO) -> Iterator[np.ndarray]:
    """Yield rows `(chunk, width)` of frames, the last ones perhaps fewer.

    A `.npy` file of rows and raw frames on the pipe are read as they are needed; audio, whose mel
    and F0 are computed, and `.pt` files are read whole.

    Arguments:
        name: A file, or `-` for the pipe: raw little-endian float32 rows, or a wav or flac file.
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
                    while block := pipe.read(2**20):
                        file.write(block)
                rows = _without(f"{folder}/", path, layout)
            return _cut(rows, layout, chunk, "stdin")
        return _raw(head, pipe, layout, chunk)
    path = Path(name).expanduser()
    if path.suffix.lower() == ".npy":
        return _cut(_mapped(path, layout), layout, chunk, str(path))
    if path.is_dir() or path.suffix.lower() not in (".pt", *SUFFIXES):
        known = ", ".join((".npy", ".pt", *SUFFIXES))
        raise ValueError(f"{path}: wanted one file among {known}, or - for stdin.")
    return _cut(read_rows(path, layout), layout, chunk, str(path))


def read_rows(path: Path, layout: FrameLayout) -> np.ndarray:
    """Read audio or a `.pt` file whole, as rows `(F, width)` of the model's frames."""
    kinds = layout.spec.features
    framed = {name: kinds[name] for name in layout.sizes}
    (given,) = read_inputs(path, replace(layout.spec, features=framed))
    return layout.join(given.features)


def _without(folder: str, path: Path, layout: FrameLayout) -> np.ndarray:
    """Read a temporary file, whose folder tells a user nothing."""
    try:
        return read_rows(path, layout)
    except ValueError as error:
        raise ValueError(str(error).replace(folder, "")) from None


def _mapped(path: Path, layout: FrameLayout) -> np.ndarray:
    """Open an array without reading it, turned into rows."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"{path}: can't read it as an array ({reason}).") from None
    values = layout.turned(values)
    good = values.ndim == 2 and values.shape[1] in layout.widths
    layout.rows(values[:1] if good else values, str(path))
    return values


def _cut(rows: np.ndarray, layout: FrameLayout, chunk: int, name: str) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), chunk):
        yield layout.rows(rows[start : start + chunk], name)


def _raw(head: bytes, pipe: BinaryIO, layout: FrameLayout, chunk: int) -> Iterator[np.ndarray]:
    size = 4 * layout.width
    begun = False
    while True:
        block = head + pipe.read(chunk * size - len(head))
        head = b""
        if len(block) % size:
            raise ValueError(
                f"stdin: ended within a frame: {len(block) % size} of its {size} bytes ("
                f"{layout.width} float32 numbers: {layout})."
            )
        if block:
            yield layout.rows(np.frombuffer(block, "<f4").reshape(-1, layout.width), "stdin")
        elif not begun:
            raise ValueError("stdin: no frames.")
        begun = True
        if len(block) < chunk * size:
            return
