"""The runs of a sweep: a folder each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser

_LONGEST = 80


def swept_keys(typed: Sequence[str]) -> list[str]:
    """Return the keys that a command line sweeps over and that its run folder does not name.

    Empty where `run=` is swept itself or refers to other keys, since it then names a folder a job;
    an experiment names its run by itself.

    Example:
        >>> swept_keys(["seed=0,1", "experiment=moons"])
        ['seed']
        >>> swept_keys(["seed=0,1", "run='runs/moons-${seed}'"])
        []
    """
    parsed = OverridesParser.create().parse_overrides(list(typed))
    runs = [override for override in parsed if override.key_or_group == "run"]
    if any(run.is_sweep_override() or "${" in (run.input_line or "") for run in runs):
        return []
    named = {"experiment", "name"} if not runs else set()
    keys = [override.key_or_group for override in parsed if override.is_sweep_override()]
    return [key for key in keys if key not in named]


def job_folder(run: str, keys: Sequence[str], overrides: Sequence[str]) -> str:
    """Return the run folder of one job of a sweep, below the run's.

    Arguments:
        run: The run folder that all jobs share.
        keys: From `swept_keys`.
        overrides: Of this job.

    Example:
        >>> job_folder("runs/moons", ["seed", "student.layers"], ["seed=1", "student.layers=3"])
        'runs/moons/seed-1_student.layers-3'
    """
    values = {}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        values[override.key_or_group] = (override.input_line or "").partition("=")[2]
    parts = [f"{key}-{values[key]}" for key in keys if key in values]
    text = "_".join(parts)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text)
    if plain != text or len(plain) > _LONGEST:
        plain = f"{plain[:_LONGEST]}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
    return f"{run}/{plain}" if plain else run
