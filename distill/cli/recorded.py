"""Overrides recorded in a run folder, which later stages replay."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.errors import HydraException

from distill.cli.config_groups import config_dir, groups
from distill.cli.replayable import replayable
from distill.renamed import current_override

READERS = ("student", "evaluate", "export", "benchmark", "sample")
_OWN = ("run", "seed", "resume", "overwrite", "device", "threads")


def recorded_overrides(stage: str, overrides: Sequence[str], own: Sequence[Path] = ()) -> list[str]:
    """Return the overrides that a run's training stage was given, less those said now.

    Only what `replayable` lets through is taken up; what else the file holds is named on stderr.

    Arguments:
        stage: The stage that is to run; one that starts a run takes up nothing.
        overrides: What the command line says now. Another `experiment=` than the run's starts
            afresh.
        own: The user's own config folders, whose options count as known.

    Example:
        >>> recorded_overrides("evaluate", ["run=no/such/run"])
        []
    """
    said = {_key(text): _value(text) for text in overrides}
    if stage not in READERS or "run" not in said:
        return []
    root = Path(said["run"]).expanduser()
    for folder in (root / "student", root / "teacher", root):
        try:
            texts = json.loads((folder / "overrides.json").read_text(encoding="utf-8"))
            break
        except (OSError, ValueError, RecursionError):
            continue
    else:
        return []
    if isinstance(texts, list):
        texts = [current_override(text) if isinstance(text, str) else text for text in texts]
    kept, left = replayable(texts, groups([config_dir(), *own]))
    was = next((_value(text) for text in kept if _key(text) == "experiment"), None)
    if said.get("experiment", was) != was:
        return []
    unsaid = [text for text in left if _key(text) not in (*said, *_OWN)]
    if unsaid:
        print(
            f"{folder / 'overrides.json'}: not taken up, since a file may not say it: "
            f"{', '.join(unsaid)[:200]}. Say it again if you mean it.",
            file=sys.stderr,
        )
    return [text for text in kept if _key(text) not in (*said, *_OWN) and not _within(text, said)]


def _key(text: str) -> str:
    return text.lstrip("+~").partition("=")[0]


def _value(text: str) -> str:
    """Return what a typed value means: `'runs/mine (1)'` without its quotes."""
    try:
        value = OverridesParser.create().parse_override(text).value()
    except HydraException:
        return text.partition("=")[2]
    return value.text if isinstance(value, QuotedString) else str(value)


def _within(text: str, said: dict[str, str]) -> bool:
    """Whether a text sets a part of a group that is chosen anew (`data.path` under `data=`)."""
    return any(_key(text).startswith(f"{key}.") for key in said)
