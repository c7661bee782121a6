"""Values as people type them: paths and texts need no quotes of Hydra's."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException


def readable(texts: Sequence[str]) -> list[str]:
    """Return overrides that Hydra's grammar reads, quoting plain values that it would not.

    What can be read stays as it is, and so do lists, mappings and values in quotes.

    Example:
        >>> readable(["data.path=table (1).csv", "a=[1,2]", "run=~/x y"])
        ["data.path='table (1).csv'", 'a=[1,2]', "run='~/x y'"]
    """
    return [text if _is_read(text) else _quoted(text) for text in texts]


def _is_read(text: str) -> bool:
    try:
        OverridesParser.create().parse_override(text)
    except HydraException:
        return False
    return True


def _quoted(text: str) -> str:
    key, equals, value = text.partition("=")
    if not equals or not value or value[0] in "[{'\"":
        return text
    inner = value.replace("\\'", "'")
    # Backslashes before a quote, and at the end, would be read as escapes.
    slashes = len(inner) - len(inner.rstrip("\\"))
    inner = inner.replace("'", "\\'") + "\\" * slashes
    attempt = f"{key}='{inner}'"
    return attempt if _is_read(attempt) else text
