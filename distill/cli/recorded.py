"""Overrides recorded in a run folder, which later stages replay."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from distill.cli.config_groups import config_dir, groups
from distill.cli.replayable import replayable
from distill.cli.sweeps import job_folder
from distill.configs import composed
from distill.files import read_text
from distill.renamed import current_override
from distill.stages.manifest import read_manifest
from distill.stages.reads import READS

READERS = ("student", "evaluate", "export", "benchmark", "sample")
_STUDENT = [key for key in READS["student"] if key not in ("data", "evaluation")]
_OWN = ("run", "seed", "resume", "overwrite", "device", "threads")


def recorded_overrides(
    stage: str,
    overrides: Sequence[str],
    own: Sequence[Path] = (),
    swept: Sequence[str] = (),
    tell: bool = True,
) -> list[str]:
    """Return the overrides that a run's training stage was given, less those said now.

    Only what `replayable` lets through is taken up; what else the file holds is named on stderr.

    Arguments:
        stage: The stage that is to run; one that starts a run takes up nothing.
        overrides: What the command line says now, in a sweep that of one job. Another `experiment=`
            than the run's starts afresh.
        own: The user's own config folders, whose options count as known.
        swept: Keys that name the folder of this job of a sweep, below the run's.
        tell: Whether to name what is not taken up.

    Errors:
        ValueError: Without `run=`, the run's record would lead to another run; a student's run was
            made with an experiment, or another option, that is not here.

    Example:
        >>> recorded_overrides("evaluate", ["run=no/such/run"])
        []
    """
    if stage not in READERS:
        return []
    run = run_folder(stage, overrides, own)
    if not run:
        return []
    root = Path(job_folder(run, swept, overrides)).expanduser()
    for folder in _places(stage, root):
        try:
            texts = json.loads(read_text(folder / "overrides.json"))
            break
        except (OSError, ValueError, RecursionError):
            continue
    else:
        return []
    said = {key_of(text): _value(text) for text in overrides}
    if isinstance(texts, list):
        texts = [current_override(text) if isinstance(text, str) else text for text in texts]
    known = groups([config_dir(), *own])
    kept, left = replayable(texts, known)
    was = next((_value(text) for text in kept if key_of(text) == "experiment"), None)
    if said.get("experiment", was) != was:
        return []
    if stage == "student":
        _check_known([text for text in left if key_of(text) not in said], known, root)
    unsaid = [text for text in left if key_of(text) not in (*said, *_OWN)]
    if unsaid and tell:
        print(
            f"{folder / 'overrides.json'}: not taken up, since a file may not say it: "
            f"{', '.join(unsaid)[:200]}. Say it again if you mean it.",
            file=sys.stderr,
        )
    kept = [text for text in kept if key_of(text) not in (*said, *_OWN) and not _within(text, said)]
    if run_folder(stage, [*kept, *overrides], own) not in (None, run):
        raise ValueError(
            f"run: {run}, which {folder / 'overrides.json'} turns into another. Name the one that "
            f"you mean, as in run={run}."
        )
    return kept


def _check_known(left: Sequence[str], known: Mapping[str, Sequence[str]], root: Path) -> None:
    """Raise where a student would be trained by the defaults, for want of the chosen options.

    Errors:
        ValueError: An option that its run was made with is not here.
    """
    for text in left:
        key = key_of(text)
        place = key.rpartition("@")[2].split(".")[0]
        if key.partition("@")[0] in known and place in ("experiment", "debug", *_STUDENT):
            raise ValueError(
                f"{text}: {root} was made with it, and there is none of that name here. Add "
                f"--config-dir with the folder that holds it, or choose another {key}=."
            )


def run_folder(stage: str, overrides: Sequence[str], own: Sequence[Path] = ()) -> str | None:
    """Return the run folder that overrides mean, `None` where none is there to be told.

    Arguments:
        stage: The stage that is to run.
        overrides: Of the command line, in a sweep those of one job.
        own: The user's own config folders.

    Example:
        >>> run_folder("student", ["run=2024_06"]), run_folder("student", ["experiment=moons"])
        ('2024_06', 'runs/moons')
    """
    runs = [_value(text) for text in overrides if key_of(text) == "run"]
    if runs and "${" not in runs[-1]:
        return runs[-1]
    known = groups([config_dir(), *own])
    rest = []
    for text in overrides:
        key = key_of(text)
        if not key.startswith(("hydra.", "hydra/")):
            plain = text[0] not in "+~" and key.partition("@")[0] not in known
            rest.append(f"++{text}" if plain else text)
    try:
        found = composed(stage, rest, own).run
    except (HydraException, OmegaConfBaseException):  # said where all overrides are checked
        return None
    return None if found is None else str(found)


def _places(stage: str, root: Path) -> tuple[Path, ...]:
    """Return where a run's record may lie, the one to go by first."""
    teacher, student = root / "teacher", root / "student"
    if stage == "student":
        new, old = read_manifest(teacher), read_manifest(student)
        weights = None if old is None else old.made_from.get("teacher")
        if new is not None and (weights is None or weights != new.made.get("weights")):
            return teacher, student, root  # that student was another teacher's
    return student, teacher, root


def key_of(text: str) -> str:
    """Return what an override sets.

    Example:
        >>> key_of("++data.path=a=b"), key_of("~exports.pt2")
        ('data.path', 'exports.pt2')
    """
    return text.lstrip("+~").partition("=")[0]


def _value(text: str) -> str:
    """Return what a typed value means: `'runs/mine (1)'` without its quotes, `2024_06` as it is."""
    try:
        value = OverridesParser.create().parse_override(text).value()
    except HydraException:
        value = None
    return value if isinstance(value, str) else text.partition("=")[2]


def _within(text: str, said: dict[str, str]) -> bool:
    """Whether a text sets a part of a group that is chosen anew (`data.path` under `data=`)."""
    return any(key_of(text).startswith(f"{key}.") for key in said)
