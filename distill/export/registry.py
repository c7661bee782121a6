"""Which backend reads which file."""

from __future__ import annotations

from pathlib import Path

from distill.export.backend import Backend
from distill.export.exported import Exported
from distill.export.onnx import ONNX
from distill.export.pt2 import PT2

_BACKENDS: tuple[type[Backend], ...] = (PT2, ONNX)


def load(path: str | Path) -> Exported:
    """Load an exported sampler with the backend that its suffix names.

    Arguments:
        path: A file that a backend wrote, ending in `.pt2` or `.onnx`.

    Errors:
        ValueError: An unknown suffix, or a file that is truncated, foreign, or not what it says.
        FileNotFoundError: No such file.
    """
    known = {backend.suffix: backend for backend in _BACKENDS}
    suffix = Path(path).suffix
    if suffix not in known:
        raise ValueError(
            f"{path}: wanted an exported sampler ending in {' or '.join(known)}, got "
            f"{suffix or 'no suffix'!r}. Pass a file that `distill export` wrote."
        )
    return known[suffix]().load(path)
