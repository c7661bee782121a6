"""Which checkpoints are kept beside the last one."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from distill.files import atomic_write
from distill.models.checkpoint import NAME

BEST = "best.pt"
_STEP = re.compile(r"step_(\d+)\.pt")


def keep_last(folder: Path, step: int, count: int) -> None:
    """Keep the checkpoint just written as `step_<number>.pt`, and remove all but the last ones.

    The file is the same on disk as `checkpoint.pt` where the file system has links.

    Arguments:
        folder: Of the stage.
        step: Of the checkpoint.
        count: How many to keep; 1 keeps `checkpoint.pt` alone.
    """
    if count > 1:
        copy(folder / NAME, folder / f"step_{step:08d}.pt")
    kept = sorted(path for path in folder.iterdir() if _STEP.fullmatch(path.name))
    for path in kept[: max(0, len(kept) - count) if count > 1 else None]:
        path.unlink()


def copy(source: Path, target: Path) -> None:
    """Give a file a second name, whole or not at all."""
    with atomic_write(target) as draft:
        draft.unlink()
        try:
            os.link(source, draft)
        except OSError:
            shutil.copyfile(source, draft)
