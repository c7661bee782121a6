"""The table of an audio evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def comparison_table(scalars: Mapping[str, float], columns: Sequence[str]) -> str:
    """Write `column/row` scalars as Markdown, a column for each of `columns`, others below.

    Standard errors stand behind the numbers they belong to.

    Example:
        >>> scalars = {"teacher/stft": 1.0, "student/stft": 1.5}
        >>> print(comparison_table(scalars, ["teacher", "student"]))
        | what | teacher | student |
        |---|---|---|
        | stft | 1 | 1.5 |
    """
    rows: dict[str, dict[str, str]] = {}
    for name, value in scalars.items():
        column, _, row = name.partition("/")
        if name.endswith(("/standard_error", "/per_site")) or column not in columns:
            continue
        error = scalars.get(f"{name}/standard_error")
        behind = "" if error is None else f" ± {error:.2g}"
        rows.setdefault(row, {})[column] = f"{value:.4g}{behind}"
    lines = [f"| what | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for row, cells in rows.items():
        lines.append(f"| {row} | {' | '.join(cells.get(c, '') for c in columns)} |")
    return "\n".join(lines)
