"""A check of what builders are given: a factory where one is wanted."""

from __future__ import annotations

from typing import Any

from torch import nn


def check_factory(name: str, given: Any, example: str) -> None:
    """Raise unless a setting makes parts of models when called: a class, not an instance or a name.

    Arguments:
        name: What users call it.
        given: What they gave.
        example: A class that would do.

    Errors:
        ValueError: It is something else.

    Example:
        >>> check_factory("transform", "spline", "Affine")
        Traceback (most recent call last):
        ValueError: transform: wanted a class, as Affine, or functools.partial of one, got 'spline'.
    """
    if isinstance(given, nn.Module) or not callable(given):
        got = f"an instance of {type(given).__name__}" if callable(given) else f"{given!r:.40}"
        raise ValueError(
            f"{name}: wanted a class, as {example}, or functools.partial of one, got {got}."
        )
