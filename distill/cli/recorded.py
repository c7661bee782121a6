"""What a run was made with: later stages take it up, so that it need not be said again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.errors import HydraException

READERS = ("student", "evaluate", "export", "benchmark", "sample")
_OWN = ("run", "seed", "resume", "overwrite", "device", "threads")


def recorded(stage: str, overrides: Sequence[str]) -> list[str]:
    """Return the overrides that a run's training stage was given, less those said now.

    Arguments:
        stage: The stage that is to run; one that starts a run takes up nothing.
        overrides: What the command line says now. An `experiment=` starts afresh.

    Example:
        >>> recorded("evaluate", ["run=no/such/run"])
        []
    """
    said = {_key(text): _value(text) for text in overrides}
    if stage not in READERS or "run" not in said or "experiment" in said:
        return []
    root = Path(said["run"]).expanduser()
    for folder in (root / "student", root / "teacher", root):
        try:
            texts = json.loads((folder / "overrides.json").read_text("utf-8"))
            break
        except (OSError, ValueError):
            continue
    else:
        return []
    return [text for text in texts if _key(text) not in (*said, *_OWN) and not _within(text, said)]


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
