"""Classifiers that losses and evaluations name: their weights are recorded as a teacher's are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from distill.models.checkpoint import NAME, read_checkpoint
from distill.stages.folders import weights_of

_KEY = "classifier"


def judges_of(node: Any) -> dict[str, str]:
    """Return the hash of the classifier that a config's node names by its folder, if it does.

    Arguments:
        node: Plain containers: an objective, an evaluation.

    Example:
        >>> judges_of({"classifier": None}), judges_of({"classifier": "no/such/folder"})
        ({}, {})
    """
    found = {}
    for place in _places(node):
        path = Path(place).expanduser()
        if (path / NAME).is_file():
            found[_KEY] = weights_of(read_checkpoint(path))
    return found


def _places(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == _KEY:
                place = value.get("path") if isinstance(value, Mapping) else value
                if isinstance(place, str):
                    yield place
            yield from _places(value)
    elif isinstance(node, list | tuple):
        for part in node:
            yield from _places(part)
