"""Whether a value from the command line fits a type annotation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

TEXTS = (
    *("cluster", "file", "host", "input", "model", "name", "output", "pace", "part", "run", "sort"),
    *("student_encoder", "tensorboard", "token_file"),
)
"""Settings of stages that are texts whatever they look like: `2024_06` is a folder."""
_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    NoneType: "null",
    Path: "a path",
}


def accepts(hint: Any, value: Any) -> bool:
    """Return whether a value fits an annotation; a class wants a mapping that builds one.

    Example:
        >>> accepts(int, 3), accepts(int, 3.5), accepts(float | None, None), accepts(bool, 1)
        (True, False, True, False)
        >>> accepts(Path, "a"), accepts(Path, 3), accepts(slice, 3), accepts(slice, {"a": 1})
        (True, False, False, True)
    """
    if hint is None or (isinstance(value, str) and "${" in value):
        return True
    if get_origin(hint) in (Union, UnionType):
        return any(accepts(part, value) for part in get_args(hint))
    if hint is NoneType:
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (bool, str):
        return isinstance(value, hint)
    if hint is Path:
        return isinstance(value, str)
    if get_origin(hint) in (list, tuple, Sequence) or hint in (list, tuple, Sequence):
        inner = next(iter(get_args(hint)), None)
        return isinstance(value, list) and all(accepts(inner, part) for part in value)
    if _is_part(hint):
        return isinstance(value, dict)
    return True


def _is_part(hint: Any) -> bool:
    """Return whether an annotation is of something that a mapping builds."""
    if get_origin(hint) in (Callable, Mapping, dict):
        return True
    return inspect.isclass(hint) and hint not in (Any, object, Path)


def type_name(hint: Any) -> str:
    """Return an annotation in words.

    Example:
        >>> type_name(int | None)
        'a whole number or null'
    """
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(type_name(part) for part in get_args(hint))
    if get_origin(hint) in (list, tuple, Sequence):
        inner = next(iter(get_args(hint)), None)
        return "a list of numbers, as in [1,2]" if inner in (int, float) else "a list, as in [a,b]"
    if hint not in _WORDS and _is_part(hint):
        return f"a mapping that builds a {hint.__name__}" if inspect.isclass(hint) else "a mapping"
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def hints_of(target: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a callable's arguments; none where they can't be read."""
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return get_type_hints(function)
    except (NameError, TypeError):
        return {}
