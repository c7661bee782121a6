"""Running a stage in its folder: the lock, the manifest, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from distill.files import FullDiskError, read_text, remove_drafts, second_name, sha256_of
from distill.locking import LOCK, locked
from distill.models.checkpoint import NAME as CHECKPOINT
from distill.stages.links import check_inside
from distill.stages.manifest import COMPLETE, Manifest, read_manifest
from distill.stages.manifest import NAME as MANIFEST
from distill.stages.reads import PIPELINE

_NUMBERS = "metrics.json"
_RECORDS = (MANIFEST, "config.yaml", "overrides.json")
"""Of a stage's folder: they belong to the results that stand there."""
_SHOWN = ("**/events.out.tfevents.*", "figures/*.png", "audio/*.wav", "growth.md")
"""What shows results, and may be of other kinds in the next ones."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of a stage's folder, so that no other process works there.

    Errors:
        BlockingIOError: Another one does.
        ValueError: What is written there would go out of the run.
    """
    check_inside(folder)
    held = read_manifest(folder)
    who = f"process {held.process.get('pid')}" if held and held.process else "a process"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK, f"{folder}: another distill ({who})", "folder with run="):
        remove_drafts(folder)
        yield


@contextmanager
def alone_at(file: Path) -> Iterator[None]:
    """Hold the lock of what is written anywhere, by its record; nothing of it stays.

    Errors:
        BlockingIOError: Another process writes it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = file.with_name(f".{file.name}.lock")
    with locked(lock, f"{file}: another distill", "output="):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


class StageRecord:
    """What a stage says of its work, for the record.

    Attributes:
        manifest: The record.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest

    def made(self, **entries: Any) -> None:
        """Note what was made, at once: the stage may be killed before its end."""
        self.manifest.made |= entries
        self.manifest.write(self.folder)


@contextmanager
def recorded(
    folder: Path,
    stage: str,
    config: Mapping[str, Any],
    made_from: Mapping[str, Any],
    resumed: bool = False,
) -> Iterator[StageRecord]:
    """Record a stage's work from beginning to end; the caller holds the folder's lock.

    While it runs, the record says so, and a killed stage is known by it. Where it fails before
    it has replaced anything, the old record and config come back. Old curves, pictures and sounds
    that were not written anew go once there are new results, and new ones go where there are none.
    The numbers of the whole run go with those of the stage.

    Arguments:
        folder: The stage's.
        stage: Its name.
        config: What it reads.
        made_from: See `Manifest`.
        resumed: Whether it goes on with what is there.
    """
    before, shown = _results(folder), _shown(folder)
    work = StageRecord(folder, Manifest.begin(stage, config, made_from))
    with ExitStack() as stack:
        old = {name: stack.enter_context(second_name(folder / name)) for name in _RECORDS}
        work.manifest.write(folder)
        try:
            with work.manifest.ending():
                yield work
        finally:
            replaced = _results(folder) != before or work.manifest.state == COMPLETE
            if work.manifest.state == COMPLETE:
                work.manifest.numbers = _hash_of_numbers(folder)
            if not resumed:
                _remove(_out_of_date(shown, _shown(folder), replaced))
            if old[MANIFEST] is not None and not (replaced or resumed):
                for name, second in old.items():  # on a full disk, too
                    if second is not None:
                        second.replace(folder / name)
            else:
                # What filled the disk is to be told, and not that this fails as well.
                failed = work.manifest.state != COMPLETE
                with suppress(FullDiskError) if failed else nullcontext():
                    work.manifest.write(folder)
            forget_whole(folder)


def numbers_of(folder: Path) -> dict[str, float]:
    """Return the `metrics.json` of a finished stage, empty where there is none."""
    try:
        found = json.loads(read_text(folder / _NUMBERS))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def holds_numbers(folder: Path, record: Manifest | None) -> bool:
    """Return whether a stage's `metrics.json` is the one that its record is of."""
    now = _hash_of_numbers(folder)
    noted = record.numbers if record else None
    return now is not None and (noted == now if noted else bool(numbers_of(folder)))


def _hash_of_numbers(folder: Path) -> str | None:
    file = folder / _NUMBERS
    return sha256_of(file) if file.is_file() else None


def forget_whole(folder: Path) -> None:
    """Remove a run's own `metrics.json` as soon as the numbers of a stage in it are others."""
    root, name = folder.parent, folder.name
    if name not in PIPELINE:
        return
    numbers = {f"{name}/{key}": value for key, value in numbers_of(folder).items()}
    whole = numbers_of(root)
    if {key: whole[key] for key in whole if key.startswith(f"{name}/")} != numbers:
        (root / _NUMBERS).unlink(missing_ok=True)


def _results(folder: Path) -> dict[str, Any]:
    """Return what tells whether results are still the same.

    That is a checkpoint and its numbers as files, and where there is none, the content of all but
    records and curves.
    """
    if (folder / CHECKPOINT).is_file():
        stats = {name: folder / name for name in (CHECKPOINT, _NUMBERS)}
        there = {name: path.stat() for name, path in stats.items() if path.is_file()}
        return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in there.items()}
    kept = [path for path in folder.rglob("*") if not path.name.startswith((".", "events."))]
    return {str(p): sha256_of(p) for p in kept if p.is_file() and p.name not in _RECORDS}


def _shown(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return what shows the results of a stage, and by what each file is known to be the same."""
    found = {path: path.stat() for pattern in _SHOWN for path in folder.glob(pattern)}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}


def _out_of_date(
    old: Mapping[Path, tuple[int, int]], new: Mapping[Path, tuple[int, int]], replaced: bool
) -> list[Path]:
    """Return what is there of replaced results, or of new ones that there are none of."""
    return [
        path
        for path, mark in new.items()
        if (old.get(path) == mark if replaced else path not in old)
    ]


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def tell(folder: Path, tables: Iterable[str]) -> None:
    """Print the tables of a stage, and where they are, with pictures and numbers beside them."""
    print("\n\n".join(tables))
    print(f"\n{folder}: the tables as .md, metrics.json, and events for tensorboard", flush=True)
