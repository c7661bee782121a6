"""Links inside a run: a stage writes into its run, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path


def check_inside(place: Path) -> None:
    """Raise if what is written at a place in a run, or below it, would go out of the run by a link.

    A run may be a link as a whole. But who was given one has not looked at all that lies in it, and
    a link there could lead what a stage writes to any file of the user's.

    Arguments:
        place: A folder or file right below the run folder; it need not be there.

    Errors:
        ValueError: There is such a link.
    """
    home = os.path.realpath(place.parent)
    _check(str(place), home, place.parent)
    for folder, folders, files in os.walk(place):
        for name in (*folders, *files):
            _check(os.path.join(folder, name), home, place.parent)


def leads_out(path: Path, root: Path) -> bool:
    """Return whether a path leads out of a folder that it lies in."""
    return Path(os.path.realpath(root)) not in Path(os.path.realpath(path)).parents


def _check(path: str, home: str, root: Path) -> None:
    if os.path.islink(path) and leads_out(Path(path), Path(home)):
        raise ValueError(
            f"{path}: is a link to {os.path.realpath(path)}, out of the run {root}, where a stage "
            "would write. Put what it leads to in its place, or name another run=."
        )
