"""Arguments of classes and functions as their signatures and docstrings have them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

_SECTION = re.compile(r"^Arguments:\n((?:(?: .*)?\n?)+)", re.MULTILINE)
_ENTRY = re.compile(r"^    (\w+): ((?:.*\n?)(?: {5,}.*\n?)*)", re.MULTILINE)

GIVEN = ("spec", "model")
"""Arguments that the stages give, which no config names."""

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Key(NamedTuple):
    """An argument, or an entry of a file, in words; `default` is `None` where it must be given."""

    name: str
    type: str
    default: str | None
    meaning: str


def arguments_of(target: Callable[..., Any]) -> list[Key]:
    """Return the arguments that a config may name.

    Example:
        >>> from distill.bijectors import Affine
        >>> arguments_of(Affine)[1].meaning
        'Log-scale at raw parameters of zero.'
    """
    said = meanings(inspect.getdoc(target) or "")
    return [
        Key(name, _type(entry), _default(entry), said.get(name, ""))
        for name, entry in inspect.signature(target).parameters.items()
        if name not in GIVEN and (entry.kind in _NAMED or name in said)
    ]


def meanings(docstring: str) -> dict[str, str]:
    r"""Return what a docstring says of each argument, on one line.

    Example:
        >>> meanings("Draw.\n\nArguments:\n    count: Number\n        of samples.\n")
        {'count': 'Number of samples.'}
    """
    found = _SECTION.search(docstring)
    entries = _ENTRY.findall(found[1]) if found else []
    return {name: " ".join(text.split()) for name, text in entries}


def plain(value: Any) -> str:
    """Return a value as the command line takes it.

    Example:
        >>> plain(None), plain(True), plain((1, 2.5)), plain("flip")
        ('null', 'true', '[1,2.5]', 'flip')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(plain, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {plain(part)}" for key, part in value.items()) + "}"
    return str(getattr(value, "__name__", value))


def _type(entry: inspect.Parameter) -> str:
    return "" if entry.annotation is entry.empty else str(entry.annotation)


def _default(entry: inspect.Parameter) -> str | None:
    if entry.default is entry.empty:
        return "" if entry.kind is entry.VAR_KEYWORD else None
    if hasattr(entry.default, "keywords"):  # a partial
        said = [f"{key}={plain(value)}" for key, value in entry.default.keywords.items()]
        return f"{plain(entry.default.func)}({', '.join(said)})"
    return plain(entry.default)
