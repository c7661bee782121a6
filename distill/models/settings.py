"""Checks of what builders are given: a factory where one is wanted, several numbers in a row."""

from __future__ import annotations

from collections.abc import Iterable
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


def check_several(name: str, given: Any) -> None:
    """Raise unless a setting is a sequence, as a list is.

    Example:
        >>> check_several("hidden", 32)
        Traceback (most recent call last):
        ValueError: hidden: wanted a list of whole numbers, as [32, 32], got 32.
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ValueError(f"{name}: wanted a list of whole numbers, as [32, 32], got {given!r:.40}.")
