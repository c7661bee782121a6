"""Tables of numbers read from `.npy` and text files, with errors that name the place."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distill.arrays import read_npy
from distill.checks import path_of

_TEXT = (".csv", ".tsv", ".txt")
_SHOWN = 8
_LOOKED = 100
_LARGEST = 1e18
_EXACT = 2.0**53
_HUGE = 2.0**64
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_WHOLE = re.compile(r"[+-]?\d+")
_INDEX = ("", "Unnamed: 0")


@dataclass(frozen=True)
class Table:
    """Numbers `(N, columns)`, the names of the columns where the file has them, and remarks."""

    values: np.ndarray
    names: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()

    def summary(self, path: str | Path) -> str:
        """Return a line that says what was read: rows, columns, header."""
        rows, columns = self.values.shape
        text = f"{path}: {rows:,} rows, {columns} columns"
        if self.names:
            shown = ", ".join(self.names[:_SHOWN]) + (", ..." if columns > _SHOWN else "")
            text += f" (header: {shown})"
        elif Path(path).suffix.lower() != ".npy":
            text += " (no header)"
        return "; ".join([text, *self.remarks])

    def column(self, key: str | int) -> int:
        """Return the index of a column given by name or index.

        Errors:
            ValueError: There is no such column.
        """
        count = self.values.shape[1]
        if self.names and str(key) in self.names:
            return self.names.index(str(key))
        if isinstance(key, int) and not isinstance(key, bool) and -count <= key < count:
            return key % count
        names = f", named {', '.join(self.names)}" if self.names else " without names"
        raise ValueError(
            f"There is no column {key!r}: the table has {count} columns{names}. "
            f"Name one of them, or give an index from 0 to {count - 1}."
        )


def read_table(path: str | Path, header: bool | None = None) -> Table:
    """Read `.npy`, or text with commas, semicolons, tabs or spaces, with or without a header line.

    A one-dimensional array is one column. Lines that are empty or start with `#` are skipped.
    Without `header` the first line is one if no cell of it is a number, or if all are whole
    numbers in a row (0,1,2 or 2023,2024) above columns that have fractions. Between semicolons,
    tabs or spaces numbers may have decimal commas, and then no points beside them. A column of true
    and false becomes 1 and 0.

    Arguments:
        path: File to read; `~` is the home folder.
        header: Whether the first line of a text names the columns; `None` finds out.

    Errors:
        FileNotFoundError: There is no such file.
        ValueError: An unknown kind of file, a file that is empty, damaged, holds pickled objects or
            anything else than real numbers, rows of unequal length, commas that may part thousands,
            or numbers too large for what is computed with them.
    """
    file = path_of(path, "a table")
    if not file.is_file():
        what = "a folder" if file.is_dir() else "nothing"
        raise FileNotFoundError(
            f"{path}: wanted a file, found {what} there. Check data.path; it is relative to "
            f"{Path.cwd()}."
        )
    if file.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty. Write it again.")
    suffix = file.suffix.lower()
    if suffix == ".npy":
        return _checked(file, Table(_read_npy(file)))
    if suffix in _TEXT:
        return _checked(file, _read_text(file, header))
    raise ValueError(
        f"{path}: wanted a file that ends in .npy, {', '.join(_TEXT)}; got "
        f"{suffix or 'no ending'}. Save the table in one of these forms."
    )


def _read_npy(file: Path) -> np.ndarray:
    way_out = "Save plain numbers with numpy.save(path, array.astype(float))."
    try:
        with file.open("rb") as opened:
            array = read_npy(opened, file.stat().st_size)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"{file}: this is no readable .npy of numbers ({error}). {way_out}"
        ) from None
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{file}: wanted an array of real numbers, got {array.dtype}. {way_out}")
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(
            f"{file}: wanted an array of shape (N,) or (N, T) that is not empty, got "
            f"{array.shape}. Reshape it to one row a value."
        )
    return np.array(array if array.ndim == 2 else array[:, None], dtype=np.float64)


def _checked(file: Path, table: Table) -> Table:
    for column in range(table.values.shape[1]):
        values = table.values[:, column]
        finite = values[np.isfinite(values)]
        largest = float(np.abs(finite).max(initial=0.0))
        whole = largest >= _EXACT and bool((finite == np.rint(finite)).all())
        if largest > (_LARGEST if not whole else _HUGE):
            raise ValueError(
                f"{file}: column {_name(column, table.names)} reaches {largest:.3g}; numbers "
                f"beyond {_LARGEST:g} overflow in what is computed. Scale the column down."
            )
        if whole:
            raise ValueError(
                f"{file}: column {_name(column, table.names)} reaches {largest:.0f}; whole numbers "
                "beyond 2**53 can't be told apart. Subtract an offset, or scale the column down."
            )
    return table


def _name(column: int, names: tuple[str, ...] | None) -> str:
    return f"{column + 1} ({names[column]})" if names else str(column + 1)


def _read_text(file: Path, header: bool | None) -> Table:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(
            f"{file}: wanted text in UTF-8. Save it again with that encoding."
        ) from None
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise ValueError(f"{file}: the file holds no rows. Write it again.")
    delimiter = _delimiter(lines[0][1])
    rows = [(number, _cells(line, delimiter)) for number, line in lines]
    names: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()
    commas = delimiter != "," and any(
        _DECIMAL_COMMA.fullmatch(cell) for _, cells in rows[:_LOOKED] for cell in cells
    )
    if commas:
        _check_commas(file, rows)
        rows = [(number, [_with_point(cell) for cell in cells]) for number, cells in rows]
        remarks = ("decimal commas",)
    if _is_header([cells for _, cells in rows[:_LOOKED]]) if header is None else header:
        names = tuple(rows[0][1])
        rows = rows[1:]
        if len(set(names)) < len(names):
            raise ValueError(f"{file}: the header names a column twice: {', '.join(names)}.")
    if not rows:
        raise ValueError(f"{file}: there is a header and no rows below it. Add the numbers.")
    width = len(names or rows[0][1])
    values, booleans = np.empty((len(rows), width)), np.zeros(width, int)
    for i, (number, cells) in enumerate(rows):
        if len(cells) != width:
            raise ValueError(
                f"{file}, line {number}: wanted {width} columns like the first line, got "
                f"{len(cells)}."
            )
        try:
            values[i] = [cell.replace("_", "?") for cell in cells]  # 2024_06 is a name
        except ValueError:
            if not all(_is_number(cell) for cell in cells):
                raise ValueError(_not_a_number(file, number, cells, names)) from None
            booleans += [_boolean(cell) is not None for cell in cells]
            values[i] = [_boolean(cell) or cell for cell in cells]
    for column in np.flatnonzero(booleans).tolist():
        if booleans[column] < len(rows):
            raise ValueError(
                f"{file}: column {_name(column, names)} holds numbers and true or false. Write "
                "numbers alone."
            )
        remarks = (*remarks, f"true and false as 1 and 0 in column {_name(column, names)}")
    if names and names[0] in _INDEX and (values[:, 0] - values[0, 0] == np.arange(len(rows))).all():
        raise ValueError(
            f"{file}: column 1 has no name and counts the rows, as pandas writes them: it is no "
            "data. Leave it out (to_csv(..., index=False))."
        )
    return Table(values, names, remarks)


def _delimiter(line: str) -> str | None:
    """Return what parts the cells of a line, `None` for spaces."""
    words = line.split()
    if len(words) > 1 and all(_is_number(w) or _DECIMAL_COMMA.fullmatch(w) for w in words):
        return "\t" if "\t" in line else None
    return next((d for d in ";\t," if d in line), None)


def _is_header(rows: list[list[str]]) -> bool:
    first, rest = rows[0], rows[1:]
    if not any(_is_number(cell) for cell in first):
        return True
    if len(first) < 2 or not rest or not all(_WHOLE.fullmatch(cell) for cell in first):
        return False
    numbers = [int(cell) for cell in first]
    in_a_row = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    columns = [[row[i] for row in rest if i < len(row)] for i in range(len(first))]
    return in_a_row and all(
        2 * sum("." in cell for cell in column) >= len(column) for column in columns
    )


def _check_commas(file: Path, rows: list[tuple[int, list[str]]]) -> None:
    """Raise where commas, or points beside them, may part thousands: a factor of 1000."""
    way_out = "Write numbers as 1234.5, with no signs between thousands."
    for number, cells in rows:
        pointed = next((cell for cell in cells if _POINT.fullmatch(cell)), None)
        if pointed is not None:
            raise ValueError(
                f"{file}, line {number}: wanted decimal commas, as other cells have, got "
                f"{pointed}: a point beside them may part thousands. {way_out}"
            )
    for column in range(min(len(cells) for _, cells in rows)):
        found = [(number, cells[column]) for number, cells in rows]
        comma = [(number, cell) for number, cell in found if _DECIMAL_COMMA.fullmatch(cell)]
        whole = any(_WHOLE.fullmatch(cell) for _, cell in found[1:])  # the first may be a name
        if comma and whole and all(_THOUSANDS.fullmatch(cell) for _, cell in comma):
            raise ValueError(
                f"{file}, line {comma[0][0]}, column {column + 1}: wanted a decimal comma, got "
                f"{comma[0][1]} beside whole numbers: it may part thousands. {way_out}"
            )


def _with_point(cell: str) -> str:
    return cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell


def _cells(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    reader = csv.reader([line], delimiter=delimiter, skipinitialspace=True)
    return [cell.strip() for cell in next(reader)]


def _not_a_number(file: Path, number: int, cells: list[str], names: tuple[str, ...] | None) -> str:
    column = next(i for i, cell in enumerate(cells) if not _is_number(cell))
    name = f" ({names[column]})" if names else ""
    found = repr(cells[column]) if cells[column] else "an empty cell"
    return (
        f"{file}, line {number}, column {column + 1}{name}: wanted a number, got {found}. "
        "A header line holds names only; leave text columns out, and fill or drop what is missing."
    )


def _boolean(cell: str) -> str | None:
    return {"true": "1", "false": "0"}.get(cell.lower())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return _boolean(cell) is not None
    return "_" not in cell  # which Python passes over
