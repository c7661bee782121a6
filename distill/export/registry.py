"""Which backend reads which file."""

from __future__ import annotations

from pathlib import Path

from distill.export.aoti import AOTI
from distill.export.backend import Backend
from distill.export.exported import Exported
from distill.export.loops import Loops
from distill.export.onnx import ONNX
from distill.export.pt2 import PT2

# The first whose suffix fits reads the file, so the longer suffix comes before the shorter. A file
# of reduced precision is read as any other of its format.
_BACKENDS: tuple[type[Backend], ...] = (AOTI, PT2, ONNX, Loops)


def load(path: str | Path) -> Exported:
    """Load an exported sampler with the backend that its suffix names.

    Arguments:
        path: A file that a backend wrote, ending in `.aoti.pt2`, `.pt2`, `.onnx` or
            `.loops.pt`.

    Errors:
        ValueError: An unknown suffix, or a file that is truncated, foreign, or not what it says.
        FileNotFoundError: No such file.
    """
    if not isinstance(path, str | Path) or Path(path).is_dir():
        raise ValueError(
            f"distill.export.load: wanted the file of an exported sampler, got {path!r:.200}. Name "
            "one that `distill export` wrote, as runs/moons/export/student.onnx."
        )
    for backend in _BACKENDS:
        if Path(path).name.endswith(backend.suffix):
            return backend().load(path)
    known = " or ".join(backend.suffix for backend in _BACKENDS)
    raise ValueError(
        f"{path}: wanted an exported sampler ending in {known}, got "
        f"{Path(path).suffix or 'no suffix'!r}. Pass a file that `distill export` wrote."
    )


def format_of(path: str | Path) -> str:
    """Return what tells a file's format from the others of its folder.

    Example:
        >>> format_of("runs/moons/export/student.int8.onnx")
        'int8.onnx'
    """
    return Path(path).name.partition(".")[2]
