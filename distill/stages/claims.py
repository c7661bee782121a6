"""Whether a training stage may start, resume, keep or replace what its folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from distill.models.checkpoint import NAME, Checkpoint, read_checkpoint
from distill.stages.differences import data_difference, training_difference
from distill.stages.folders import check_ways, weights_of
from distill.stages.manifest import COMPLETE, read_manifest
from distill.stages.work import holds_numbers
from distill.training.state import check_goes_on


class StaleError(ValueError):
    """A folder holds what was made from something that has changed since."""


def claim(
    config: DictConfig,
    folder: Path,
    role: str,
    mine: Mapping[str, Any],
    made_from: Mapping[str, Any],
) -> Checkpoint | None:
    """Make sure a training stage may write; return the checkpoint to resume, if any.

    Arguments:
        config: Of the stage, for `resume` and `overwrite`.
        folder: Of the stage; its lock is held.
        role: `teacher`, `student` or `classifier`.
        mine: What the stage reads of the config.
        made_from: What it would be made from now.

    Errors:
        FileExistsError: It holds a model, and neither `resume` nor `overwrite` is set.
        ValueError: It is to be resumed, but holds another training, or none to go on from, or the
            data has changed.
        StaleError: It is to be resumed, but its teacher, or a classifier in its loss, has changed.
    """
    check_ways(config)
    if not (folder / NAME).is_file() or config.overwrite:
        return None
    saved = read_checkpoint(folder)
    if not config.resume:
        raise FileExistsError(
            f"{folder}: holds a {role} already{_state(folder, saved)}. Continue it with "
            "resume=true, replace it with overwrite=true, or name another folder with run=."
        )
    # First: what is stale is made again in any case, and may have been begun with other settings.
    if is_stale(saved, made_from.get("teacher")):
        raise StaleError(
            f"{folder}: was distilled from another teacher than {folder.parent / 'teacher'} holds "
            "now. Distill it again with overwrite=true, or name another run."
        )
    check_resumable(folder, saved, mine, role)
    check_data(folder, saved.made_from, made_from)
    old, new = (made.get("classifier") for made in (saved.made_from, made_from))
    if old and old != new:
        raise StaleError(
            f"{folder}: was trained with another classifier in its objective than is there now. "
            "Train it again with overwrite=true, or name another run."
        )
    check_goes_on(saved.training, folder)
    return saved


def is_stale(saved: Checkpoint, teacher: str | None) -> bool:
    """Whether a model was distilled from another teacher than the one of this hash."""
    old = saved.made_from.get("teacher")
    return bool(old and teacher and old != teacher)


def check_data(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise if data, or its split, is not what a model was trained on.

    Errors:
        ValueError: With what has changed.
    """
    changed = data_difference(old.get("data") or {}, new["data"])
    if changed:
        raise ValueError(
            f"{folder}: the data has changed since it was trained: {changed}. Bring the data back, "
            "or train anew with overwrite=true or another run=."
        )


def check_resumable(folder: Path, saved: Checkpoint, mine: Mapping[str, Any], role: str) -> None:
    """Raise if going on would bend the curve that a checkpoint is of.

    Errors:
        ValueError: With the first setting that differs.
    """
    key = f"{role}_trainer"
    if not isinstance(saved.config.get(key), dict):
        raise ValueError(
            f"{folder}: holds a {saved.role} that doesn't say how it was trained, as one saved in "
            "Python. Replace it with overwrite=true, or name another folder with run=."
        )
    trainer = {**saved.config[key], "precision": precision_of(saved, role)}
    other = training_difference({**saved.config, key: trainer}, mine, role)
    if other:
        raise ValueError(
            f"{folder}: holds another training: here {other}. Resume it as it was begun (more "
            "steps, logging, device and threads may change), or name another folder with run=."
        )
    steps, before = (of[key].get("steps", 2000) for of in (mine, saved.config))
    if isinstance(before, bool) or not isinstance(before, int):
        raise ValueError(
            f"{folder}: its checkpoint was changed by hand: wanted a whole number as {key}.steps, "
            f"got {before!r}. Bring the file back, or train anew with overwrite=true."
        )
    if steps < before:
        raise ValueError(
            f"{folder}: its training was begun with {role}_trainer.steps={before}, here {steps}. "
            "Resume it with as many or more."
        )


def precision_of(saved: Checkpoint, role: str) -> str:
    """Return the precision that a training was begun in."""
    # Before it was chosen and recorded, it was float32 unless the config said otherwise.
    asked = saved.config[f"{role}_trainer"].get("precision", "float32")
    return saved.training.get("precision", asked)


def is_finished(folder: Path, saved: Checkpoint, mine: Mapping[str, Any], role: str) -> bool:
    """Return whether a checkpoint is the end of the training that is asked for."""
    record = read_manifest(folder)
    asked, had = (of[f"{role}_trainer"].get("steps", 2000) for of in (mine, saved.config))
    if asked != had or not holds_numbers(folder, record):
        return False
    if record is None:  # of a version that wrote none
        return asked == saved.training.get("step")
    # Another checkpoint may have been put in its place, to go on from there.
    return record.state == COMPLETE and record.made.get("weights") in (None, weights_of(saved))


def _state(folder: Path, saved: Checkpoint) -> str:
    record = read_manifest(folder)
    if record is None or record.state == COMPLETE:
        return ""
    return f", half trained (step {saved.training.get('step', '?')}, {record.state})"
