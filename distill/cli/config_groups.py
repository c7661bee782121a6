"""The groups of configs and their options, as help, completion and errors name them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from distill.configs import config_dir


def groups(folders: Sequence[Path]) -> dict[str, list[str]]:
    """Return every config group and its options, sorted.

    Arguments:
        folders: Config folders; `config_dir()` and perhaps the user's own.
    """
    found: dict[str, set[str]] = {}
    for folder in folders:
        for path in folder.rglob("*.yaml"):
            group = path.parent.relative_to(folder).as_posix()
            if group != "." and not group.startswith("hydra"):
                found.setdefault(group, set()).add(path.stem)
    return {group: sorted(options) for group, options in sorted(found.items())}


def defaults(config: str) -> dict[str, str | None]:
    """Return the groups that a config takes, as the command line names them, with its options.

    Arguments:
        config: Its name, for a stage's primary config that of the stage.
    """
    content = yaml.safe_load((config_dir() / f"{config}.yaml").read_text(encoding="utf-8")) or {}
    chosen: dict[str, str | None] = {}
    for entry in content.get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            chosen |= defaults(entry)
        elif isinstance(entry, dict):
            for group, option in entry.items():
                if not group.startswith("override "):
                    chosen[group.removeprefix("optional ").removeprefix("/")] = option
    return chosen
