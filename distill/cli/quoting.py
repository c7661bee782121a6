"""Values as people type them: paths and texts need no quotes of Hydra's."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from distill.cli.types import TEXTS

_DEPTH = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_CLOSERS = {"[": "]", "{": "}", "'": "'", '"': '"'}
_INSIDE = re.compile(r"""'(\\.|[^'\\])*'|"(\\.|[^"\\])*\"""")
_CHOICE = re.compile(r"choice\((.*)\)", re.DOTALL)


def readable(texts: Sequence[str], multirun: bool = False) -> list[str]:
    """Return overrides that Hydra's grammar reads as they are meant.

    Quoted are plain values that it would not read, and what it would take for a number where a
    text is wanted: `2024_06` is a folder, and not 202406. Lists, mappings and values in quotes stay
    as they are.

    Arguments:
        texts: As typed.
        multirun: Whether comma-separated values are a sweep, each a value of its own.

    Example:
        >>> readable(["data.path=table (1).csv", "a=[1,2]", "run=~/x y", "run=2024_06"])
        ["data.path='table (1).csv'", 'a=[1,2]', "run='~/x y'", "run='2024_06'"]
        >>> readable(["run=é,2024_06"], multirun=True)
        ["run='é','2024_06'"]
    """
    found = []
    for text in texts:
        key, equals, value = text.partition("=")
        parts = _several(value) if multirun else [value]
        attempt = f"{key}{equals}{','.join(_quoted(key, part) for part in parts)}"
        found.append(text if _parsed(attempt) is None else attempt)
    return found


def _several(value: str) -> list[str]:
    """Return the values of a sweep; `choice(a,b)`, in which Hydra loses quotes, as `a,b`."""
    choice = _CHOICE.fullmatch(value)
    inner = split_at_commas(choice[1]) if choice else []
    return inner if len(inner) > 1 else split_at_commas(value)


def split_at_commas(value: str) -> list[str]:
    """Return what stands between commas outside of quotes and brackets.

    Example:
        >>> split_at_commas("a,[1,2],'b,c',it's")
        ['a', '[1,2]', "'b,c'", "it's"]
    """
    parts, depth, place = [""], 0, 0
    while place < len(value):
        inside = _INSIDE.match(value, place) if depth or not parts[-1].strip() else None
        piece = inside[0] if inside else value[place]
        place += len(piece)
        depth = max(0, depth + _DEPTH.get(piece, 0))
        if piece == "," and not depth:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def _parsed(text: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        return None


def _quoted(key: str, value: str) -> str:
    """Return a value in quotes, if it needs them."""
    override = _parsed(f"{key}={value}")
    if override is not None:
        number = key.lstrip("+") in TEXTS and isinstance(override.value(), bool | int | float)
        return f"'{value}'" if number else value
    closer = _CLOSERS.get(value[:1])
    if not value or (closer and (value.endswith(closer) or closer not in value[1:])):
        return value  # a list or a text that is not well formed; `[1] talk.wav` is a name
    inner = value.replace("\\'", "'")
    # Backslashes before a quote, and at the end, would be read as escapes.
    slashes = len(inner) - len(inner.rstrip("\\"))
    return "'" + inner.replace("'", "\\'") + "\\" * slashes + "'"
