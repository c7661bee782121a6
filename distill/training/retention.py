"""Which checkpoints are kept beside the last one."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from distill.files import atomic_write
from distill.models.checkpoint import NAME, Checkpoint

BEST = "best.pt"
_STEP = re.compile(r"step_(\d+)\.pt")


class Kept:
    """Writes the checkpoints of one training, and removes those of a former one before the first.

    Arguments:
        folder: Where; `None` writes none.
        count: How many to keep, see `keep_last`.
        resumed: Whether those that are there are of this training.
    """

    def __init__(self, folder: Path | None, count: int, resumed: bool) -> None:
        self.folder, self.count = folder, count
        self._former = not resumed

    def save(self, checkpoint: Checkpoint, step: int) -> None:
        """Write the last checkpoint, in place of the one before."""
        if self.folder is not None:
            self._forget_former(self.folder)
            checkpoint.save(self.folder)
            (self.folder / "metrics.json").unlink(missing_ok=True)  # of the former weights
            keep_last(self.folder, step, self.count)

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Write the best checkpoint, in place of the best before."""
        if self.folder is not None:
            self._forget_former(self.folder)
            checkpoint.save(self.folder, BEST)

    def _forget_former(self, folder: Path) -> None:
        if self._former:
            for path in folder.iterdir():
                if path.name == BEST or _STEP.fullmatch(path.name):
                    path.unlink()
        self._former = False


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
