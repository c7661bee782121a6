"""The first difference of two nested mappings, as people are told of it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.errors import HydraException
from hydra.utils import get_object

from distill.trust import is_listed


def difference(old: Any, new: Any, free: Sequence[str] = ()) -> str | None:
    """Return the first difference of two mappings, as in `student.layers=7 in place of 2`.

    What one alone says is none where its class does that anyway.

    Arguments:
        old: What was.
        new: What is asked for.
        free: Dotted keys that may differ.
    """
    before, after = (flatten(_said(*pair)) for pair in ((old, new), (new, old)))
    for key in sorted(before.keys() | after.keys()):
        if key in free or any(key.startswith(f"{part}.") for part in free):
            continue
        if not _equal(before.get(key), after.get(key)):
            # What is not said is a class's own default.
            new, had = (short(of.get(key, "(default)")) for of in (after, before))
            return f"{key}={new} in place of {had}"
    return None


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return a nested mapping by dotted keys.

    Example:
        >>> flatten({"a": {"b": 1, "c": [2]}})
        {'a.b': 1, 'a.c': [2]}
    """
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat


def short(value: Any) -> str:
    """Return a value on one line of at most 60 characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _said(one: Any, other: Any) -> Any:
    """Return a config without what the other leaves to the defaults of the same class.

    A yaml may have got a key since a run was recorded.
    """
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return one
    target = one.get("_target_")
    usual = _defaults(target) if target == other.get("_target_") else {}
    return {
        key: _said(value, other.get(key))
        for key, value in one.items()
        if key in other or key not in usual or not _equal(value, usual[key])
    }


def _defaults(target: Any) -> dict[str, Any]:
    """Return what a class or function takes where nothing is said, if files may name it."""
    if not (isinstance(target, str) and is_listed(target)):
        return {}
    try:
        parameters = inspect.signature(get_object(target)).parameters
    except (ImportError, TypeError, ValueError, HydraException):
        return {}
    empty = inspect.Parameter.empty
    return {name: p.default for name, p in parameters.items() if p.default is not empty}


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12)
    return a == b
