"""Checks of numbers, names and shapes that users give; errors name what was wanted."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import MISSING
from dataclasses import fields as fields_of
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def check_number(
    name: str,
    value: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    whole: bool = False,
    remedy: str = "",
) -> None:
    """Raise unless a value is a finite number in a range.

    Arguments:
        name: What users call it.
        value: What they gave.
        low: Least value.
        high: Largest value.
        above: It must be larger.
        below: It must be smaller.
        whole: Whether it must be a whole number.
        remedy: A sentence with the way out, where the range does not say it.

    Errors:
        ValueError: It is not, with the range and the value.

    Example:
        >>> check_number("seed", 3, low=0, whole=True)
        >>> check_number("learning_rate", math.nan, above=0)
        Traceback (most recent call last):
        ValueError: learning_rate: wanted a number above 0, got nan.
        >>> check_number("count", 1e3, low=0, whole=True)
        Traceback (most recent call last):
        ValueError: count: wanted a whole number of 0 or more, got 1000.0. Write 1000.
    """
    numeric: bool = type(value) is not bool and isinstance(value, Real)
    good = numeric and math.isfinite(value)
    good = good and not (whole and not isinstance(value, Integral))
    good = good and (low is None or value >= low) and (high is None or value <= high)
    good = good and (above is None or value > above) and (below is None or value < below)
    if good:
        return
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("above", above), ("from", low), ("to", high), ("below", below))
        if bound is not None
    ]
    if low is not None and high is None and below is None:
        bounds = [f"of {low:g} or more"]
    kind = "a whole number" if whole else "a number"
    text = " ".join([f"{name}: wanted {kind}", *bounds])
    if whole and not remedy and type(value) is float and value.is_integer():
        remedy = f"Write {int(value)}."
    raise ValueError(f"{text}, got {value!r}.{f' {remedy}' if remedy else ''}")


def check_several(name: str, given: Any, wanted: str = "whole numbers, as [32, 32]") -> None:
    """Raise unless a setting is a sequence, as a list is.

    Example:
        >>> check_several("hidden", 32)
        Traceback (most recent call last):
        ValueError: hidden: wanted a list of whole numbers, as [32, 32], got 32.
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ValueError(f"{name}: wanted a list of {wanted}, got {given!r:.40}.")


def checked_widths(hidden: Iterable[Any]) -> list[int]:
    """Return the widths of hidden layers, if they are ones that a network can have.

    Example:
        >>> checked_widths([8, -4])
        Traceback (most recent call last):
        ValueError: hidden: wanted a whole number from 1 to 100000, got -4.
    """
    check_several("hidden", hidden)
    widths = list(hidden)
    for width in widths:
        check_number("hidden", width, low=1, high=100_000, whole=True)
    return widths


def permutation(given: Any, count: int | None = None) -> list[int] | None:
    """Return each of 0 .. count - 1 once, in the order given; `None` for what is no such order.

    Example:
        >>> permutation((2, 0, 1)), permutation([True, False]), permutation([0, 2], 2)
        ([2, 0, 1], None, None)
    """
    order = given.tolist() if hasattr(given, "tolist") else given  # a tensor or an array
    if isinstance(order, str) or not isinstance(order, Iterable):
        return None
    order = list(order)
    whole = all(isinstance(i, Integral) and not isinstance(i, bool) for i in order)
    wanted = range(len(order) if count is None else count)
    return [int(i) for i in order] if whole and sorted(order) == list(wanted) else None


def check_seed(seed: Any, name: str = "seed") -> None:
    """Raise unless torch and NumPy take a seed: a whole number from 0 to 2^63 - 1.

    Example:
        >>> check_seed(-1)
        Traceback (most recent call last):
        ValueError: seed: wanted a whole number from 0 to 2^63 - 1, got -1.
    """
    whole: bool = type(seed) is not bool and isinstance(seed, Integral)
    if not (whole and 0 <= int(seed) < 2**63):
        raise ValueError(f"{name}: wanted a whole number from 0 to 2^63 - 1, got {seed!r}.")


def check_names(name: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise unless all names are known ones.

    Example:
        >>> check_names("benchmark.student", ["eager", "quick"], ["eager", "compiled"])
        Traceback (most recent call last):
        ValueError: benchmark.student: wanted any of eager, compiled, got quick.
    """
    known = list(known)
    unknown = [each for each in given if each not in known]
    if unknown:
        raise ValueError(f"{name}: wanted any of {', '.join(known)}, got {', '.join(unknown)}.")


def check_sites(owner: nn.Module, value: Tensor, sites: int) -> None:
    """Raise unless `value` is `(B, sites)`."""
    if value.dim() != 2 or value.shape[1] != sites:
        raise ValueError(
            f"{type(owner).__name__}: wanted values of shape (batch, {sites}), got "
            f"{tuple(value.shape)}. Build it with sites={value.shape[-1] if value.dim() else 1}, "
            "or pass values with the number of sites it was built for."
        )


def check_record(cls: type, values: Any, tuples: tuple[str, ...]) -> dict[str, Any]:
    """Check the entries of a written record, and turn its lists of numbers into tuples.

    Arguments:
        cls: The dataclass that it is to become.
        values: What was read.
        tuples: Names of entries that are lists of numbers.

    Errors:
        ValueError: Unknown or missing entries; a list that is none.
    """
    known = {f.name for f in fields_of(cls)}
    needed = {f.name for f in fields_of(cls) if f.default is f.default_factory is MISSING}
    given = set(values) if isinstance(values, Mapping) else None
    if given is None or given - known or needed - given:
        got = type(values).__name__ if given is None else ", ".join(sorted(map(str, given)))
        raise ValueError(
            f"{cls.__name__}: wanted entries among {', '.join(sorted(known))}, with "
            f"{', '.join(sorted(needed))}; got {got or 'none'}. It was written by another version, "
            "or by hand: write it again."
        )
    fields = dict(values)
    for name in tuples:
        if name in fields:
            if not isinstance(fields[name], list | tuple):
                raise ValueError(f"{cls.__name__}.{name}: wanted a list, got {fields[name]!r}.")
            for number in fields[name]:
                check_number(f"{cls.__name__}.{name}", number)
            fields[name] = tuple(float(number) for number in fields[name])
    return fields


def check_wholes(cls: type, fields: Mapping[str, Any], *names: str) -> None:
    """Raise unless each named entry of a record is a whole number of 1 or more, or left out."""
    for name in names:
        if fields.get(name) is not None:
            check_number(f"{cls.__name__}.{name}", fields[name], low=1, whole=True)


def path_of(value: Any, name: str) -> Path:
    """Return the path that a user gives, `~` as the home folder.

    Arguments:
        value: What they gave.
        name: What users call it.

    Errors:
        ValueError: It is no path, or an empty one, which would mean the working folder; the home of
            nobody.

    Example:
        >>> path_of(" ", "folder")
        Traceback (most recent call last):
        ValueError: folder: wanted the path of a file or folder, got ' '. Name one.
    """
    if not isinstance(value, str | os.PathLike) or not str(value).strip():
        raise ValueError(f"{name}: wanted the path of a file or folder, got {value!r}. Name one.")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError(
            f"{name}: {value} begins with ~NAME, and there is no such user here. Write the folder "
            f"out; a file of that name is ./{value}."
        ) from None


def check_cluster(name: str, address: str) -> None:
    """Refuse the address of a Ray cluster where nothing listens, which Ray would long wait for.

    Arguments:
        name: Of the setting.
        address: `auto`, `local` or HOST:PORT.

    Errors:
        ValueError: It is no such address, or nothing answers there within 10 s.

    Example:
        >>> check_cluster("cluster", "auto")
    """
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{name}={address}: wanted auto, or HOST:PORT as `ray start` prints it.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"{name}={address}: nothing answers there ({error}). `ray start --head` on its first "
            "machine prints the address."
        ) from None
