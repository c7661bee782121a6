"""JSON whose objects name each entry once: of two, every reader takes another."""

from __future__ import annotations

import json
from typing import Any


def read_json(text: str | bytes, **settings: Any) -> Any:
    """Read JSON, which a mark of the byte order may precede, as Windows programs write it.

    Arguments:
        text: What a client sent.
        settings: Of `json.loads`.

    Errors:
        ValueError: It is none, or names an entry twice.

    Example:
        >>> read_json('{"seed": 1, "seed": 2}')
        Traceback (most recent call last):
        ValueError: 'seed' stands there twice
    """
    if isinstance(text, str):
        text = text.removeprefix("\ufeff")  # of bytes it is taken off with their encoding
    return json.loads(text, object_pairs_hook=_once, **settings)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"{twice[:40]!r} stands there twice")
    return found
