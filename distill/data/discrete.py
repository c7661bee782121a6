"""Columns whose density has no bound: discrete ones, which noise mends, and copies of others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_NOISE = 2
_OFTEN = 10
"""How often a value that is no whole number comes back, on average, in a column of steps."""

_COMPARED = 64
"""Most columns that are compared with each other."""


def kind_of(column: np.ndarray) -> str | None:
    """Return what kind of steps the values of a column `(N,)` are, `None` for a continuous one.

    Example:
        >>> ratings = np.arange(60) % 4 / 2
        >>> kind_of(np.arange(5.0)), kind_of(np.arange(9) % 2), kind_of(ratings)
        ('whole numbers', 'booleans', 'few values')
        >>> kind_of(np.linspace(0, 1, 60))
    """
    distinct = np.unique(column)
    if not np.setdiff1d(distinct, (0, 1)).size:
        return "booleans"
    if (distinct == np.rint(distinct)).all():
        return "whole numbers"
    return "few values" if _OFTEN * len(distinct) <= len(column) else None


def spread(column: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return the values of a column moved by noise as wide as the least distance between two.

    So rounding gives them back.

    Arguments:
        column: `(N,)`.
        uniform: Noise between 0 and 1, likewise.

    Example:
        >>> spread(np.array([0.0, 4.0, 2.0]), np.array([0.0, 0.5, 1.0])).tolist()
        [-1.0, 4.0, 3.0]
    """
    return column + (uniform - 0.5) * np.diff(np.unique(column)).min(initial=np.inf)


def repeated(values: np.ndarray) -> list[tuple[int, int]]:
    """Return pairs of columns of `(N, T)` of which the second is the first, scaled and shifted.

    Example:
        >>> x, y = np.random.default_rng(0).normal(size=(2, 50))
        >>> repeated(np.stack([x, y, 3 - 2 * x], 1))
        [(0, 2)]
    """
    if values.shape[1] > _COMPARED:
        return []
    centered = values.astype(np.float64)
    centered = centered - centered.mean(0)
    length = np.sqrt((centered**2).sum(0))
    unit = centered / np.where(length > 0, length, np.inf)
    same = np.abs(unit.T @ unit) > 1 - 1e-10
    return [(i, j) for i, j in np.argwhere(np.triu(same, 1)).tolist()]


def told_of_steps(
    name: str, values: np.ndarray, names: Sequence[str], dequantize: bool, seed: int
) -> np.ndarray:
    """Return values `(N, T)` whose columns of steps are spread, or say which have no density.

    Arguments:
        name: Of the data, for the line that is printed.
        values: Finite numbers.
        names: Of the columns.
        dequantize: Whether to spread columns of steps.
        seed: Of the noise.

    Example:
        >>> steps = np.arange(20.0)[:, None] % 4
        >>> spread_out = told_of_steps("dice", steps, ["n"], dequantize=True, seed=0)
        >>> bool((spread_out.round() == steps).all())
        True
    """
    kinds = {k: kind for k in range(values.shape[1]) if (kind := kind_of(values[:, k]))}
    copies = len(values) - len({hash(row.tobytes()) for row in np.ascontiguousarray(values)})
    if copies and len(kinds) < values.shape[1]:  # of steps alone rows come again by chance
        print(
            f"note: {name}: {copies} of {len(values)} rows are copies of others: some that are "
            "held out are learnt from too. Leave copies out.",
            flush=True,
        )
    if kinds and dequantize:
        values = values.astype(np.float64)
        noise = np.random.default_rng([_NOISE, seed]).random((len(values), len(kinds)))
        for number, k in enumerate(kinds):
            values[:, k] = spread(values[:, k], noise[:, number])
    elif kinds:
        print(note(name, {names[k]: kind for k, kind in kinds.items()}), flush=True)
    for one, other in repeated(values):
        print(
            f"note: {name}: column {names[other]} is column {names[one]} scaled and shifted: their "
            "density has no bound. Leave one out.",
            flush=True,
        )
    return values


def note(path: str, kinds: dict[str, str]) -> str:
    """Return the line that warns of columns, by name, of steps.

    Example:
        >>> note("a.csv", {"n": "whole numbers", "b": "booleans"})[:67]
        'note: a.csv: whole numbers only in column n, booleans only in colum'
    """
    said = ", ".join(
        f"{kind} only in column {', '.join(name for name, k in kinds.items() if k == kind)}"
        for kind in dict.fromkeys(kinds.values())
    )
    return (
        f"note: {path}: {said}: a density of steps has no bound, and falls into them. "
        "+data.dequantize=true (in Python dequantize=True) spreads each over its step; "
        "data.condition=[NAME] takes a column as a condition."
    )
