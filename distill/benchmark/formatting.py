"""Formatting of numbers and Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

UNKNOWN = "-"
_LARGE = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def markdown(rows: Sequence[Mapping[str, str]], words: Sequence[str], notes: str = "note") -> str:
    """Write rows as a table: every column that any row has, the notes last.

    Arguments:
        rows: Cells by the name of their column; what a row lacks is unknown.
        words: Columns of text, which stand to the left.
        notes: The last column, empty where a row has none.

    Example:
        >>> print(markdown([{"who": "a", "ms": "1"}, {"who": "b", "note": "x | y"}], ["who"]))
        | who | ms | note |
        |---|---:|---|
        | a | 1 |  |
        | b | - | x / y |
    """
    columns = [name for name in dict.fromkeys(key for row in rows for key in row) if name != notes]
    lines = [f"| {' | '.join([*columns, notes])} |"]
    lines.append(f"|{'|'.join('---' if c in words else '---:' for c in columns)}|---|")
    for row in rows:
        cells = [row.get(name, UNKNOWN) for name in columns] + [row.get(notes, "")]
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines)


def si(value: float | None, unit: str = "") -> str:
    """Write a number with a letter for its size.

    Example:
        >>> si(2.5e9, "FLOP"), si(12.0), si(None)
        ('2.5 GFLOP', '12', '-')
    """
    if value is None:
        return UNKNOWN
    for size, letter in _LARGE:
        if abs(value) >= size:
            return f"{value / size:.3g} {letter}{unit}".rstrip()
    return f"{value:.3g} {unit}".rstrip()


def percent(share: float | None) -> str:
    """Write a share.

    Example:
        >>> percent(0.987), percent(0.0123), percent(None)
        ('98.7 %', '1.23 %', '-')
    """
    return UNKNOWN if share is None else f"{100 * share:.3g} %"


def plain(value: float | None, digits: int = 4) -> str:
    """Write a number in so many digits.

    Example:
        >>> plain(12345.6), plain(0.12344), plain(None)
        ('12,346', '0.1234', '-')
    """
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.{digits}g}"
