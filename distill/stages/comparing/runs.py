"""What a run folder holds of its stages: configs, states and numbers."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from distill.files import read_text
from distill.stages import STAGES
from distill.stages.folders import MODELS
from distill.stages.manifest import COMPLETE, Manifest, read_manifest
from distill.stages.manifest import NAME as MANIFEST
from distill.stages.work import numbers_of

_DEPTH = 4
"""How far below a named folder runs are looked for."""
_UNKNOWN, _STALE = "unknown", "stale"
_MEASURED = ("prepare", "teacher", "student", "classifier", "evaluate", "export", "benchmark")
"""Stages that leave RUN/STAGE with numbers, in the order of a table."""


@dataclass(frozen=True)
class Run:
    """One run.

    Arguments:
        label: A short name, unlike those of the runs beside it.
        folder: Where it lies.
        configs: What each stage read of the config, by stage.
        states: How each stage ended, see `Manifest`; `unknown` where it left no record, `stale`
            where it is of another model than the run holds now.
        metrics: Finite numbers of all stages, as `evaluate/student/stft`.
    """

    label: str
    folder: Path
    configs: Mapping[str, Mapping[str, Any]]
    states: Mapping[str, str]
    metrics: Mapping[str, float]


def find_runs(named: Sequence[str]) -> list[Run]:
    """Read runs in the order they are named, each once.

    Arguments:
        named: Run folders, folders of stages in them, folders whose subfolders are runs (a sweep's
            jobs), and patterns of such (`runs/moons/seed-*`).

    Errors:
        FileNotFoundError: There is no such folder.
        ValueError: There is one, but no run is in it; or none is named.
    """
    if not named:
        raise ValueError(
            "runs: wanted run folders, got none. Name them, as in `distill compare runs/a runs/b`."
        )
    folders: dict[Path, None] = {}
    for text in named:
        for path in _matching(text):
            found = _runs_at(path.resolve())
            if not found:
                raise ValueError(
                    f"{path}: no run. Wanted a folder that holds a stage's (as {path}/teacher, "
                    f"with its {MANIFEST} or metrics.json), or one whose subfolders do."
                )
            folders |= dict.fromkeys(found)
    above = Path(os.path.commonpath([folder.parent for folder in folders]))
    return [_read(folder, folder.relative_to(above).as_posix()) for folder in folders]


def _matching(text: str) -> list[Path]:
    path = Path(text).expanduser()
    if path.is_dir():
        return [path]
    found = [Path(name) for name in sorted(glob.glob(str(path))) if Path(name).is_dir()]
    if not found:
        what = "is a file" if path.is_file() else "there is no such folder"
        raise FileNotFoundError(f"{path}: {what}. Name run folders, as in runs/moons.")
    return found


def _runs_at(path: Path) -> list[Path]:
    """Return the run that a folder is, or is in, and those below it."""
    if _is_stage(path):
        return [path.parent]
    return _below(path, _DEPTH)


def _below(path: Path, depth: int) -> list[Path]:
    inner = _subfolders(path)
    found = [path] if any(map(_is_stage, inner)) else []
    if depth:
        for folder in inner:
            if folder.name not in STAGES and not _is_stage(folder):
                found += _below(folder, depth - 1)
    return found


def _subfolders(path: Path) -> list[Path]:
    folders = (f for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))
    return sorted(folders, key=lambda folder: _natural(folder.name))


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which seed-10 follows seed-9."""
    digits = "".join(c if c.isdigit() else " " for c in name).split()
    parts: list[tuple[int, str]] = []
    for number in digits:
        before, _, name = name.partition(number)
        parts += [(-1, before), (int(number), "")]
    return [*parts, (-1, name)]


def _is_stage(folder: Path) -> bool:
    stage = folder.name.partition("-")[0] if folder.name.startswith("evaluate-") else folder.name
    if stage not in _MEASURED:
        return False
    record = read_manifest(folder)
    # RUN/sample/student has a record too, of a sample.
    return record.stage == stage if record else (folder / "metrics.json").is_file()


def _read(folder: Path, label: str) -> Run:
    stages = [stage for stage in _subfolders(folder) if _is_stage(stage)]
    stages.sort(key=lambda stage: _rank(stage.name))
    records = {stage.name: read_manifest(stage) for stage in stages}
    metrics = {
        f"{stage.name}/{name}": float(value)
        for stage in stages
        for name, value in numbers_of(stage).items()
        if isinstance(value, int | float)
    }
    return Run(
        label,
        folder,
        {s.name: r.config if (r := records[s.name]) else _config_of(s) for s in stages},
        {name: _state(record, records) for name, record in records.items()},
        metrics,
    )


def _state(record: Manifest | None, records: Mapping[str, Manifest | None]) -> str:
    """Return how a stage ended, and whether the run's models are still those it was made from."""
    if record is None:
        return _UNKNOWN
    held = {role: of.made.get("weights") for role in MODELS if (of := records.get(role))}
    stale = any(now and record.made_from.get(role, now) != now for role, now in held.items())
    return _STALE if stale and record.state == COMPLETE else record.state


def _rank(stage: str) -> tuple[int, str]:
    return _MEASURED.index(stage if stage in _MEASURED else "evaluate"), stage


def _config_of(folder: Path) -> dict[str, Any]:
    """Return the config of a stage that left no record."""
    try:
        found = yaml.safe_load(read_text(folder / "config.yaml"))
    except (OSError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
