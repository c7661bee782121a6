"""Tables of numbers read from `.npy` and text files, with errors that name the place."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_TEXT = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class Table:
    """Numbers `(N, columns)` and the names of the columns, where the file has them."""

    values: np.ndarray
    names: tuple[str, ...] | None = None

    def column(self, key: str | int) -> int:
        """Return the index of a column given by name or index.

        Errors:
            ValueError: There is no such column.
        """
        count = self.values.shape[1]
        if self.names and str(key) in self.names:
            return self.names.index(str(key))
        if isinstance(key, int) and -count <= key < count:
            return key % count
        names = f", named {', '.join(self.names)}" if self.names else " without names"
        raise ValueError(
            f"There is no column {key!r}: the table has {count} columns{names}. "
            f"Name one of them, or give an index from 0 to {count - 1}."
        )


def read_table(path: str | Path) -> Table:
    """Read `.npy`, or text with commas, semicolons, tabs or spaces, with or without a header line.

    A one-dimensional array is one column. Lines that are empty or start with `#` are skipped.

    Arguments:
        path: File to read; `~` is the home folder.

    Errors:
        FileNotFoundError: There is no such file.
        ValueError: An unknown kind of file, a file that is empty, damaged, holds pickled objects or
            anything else than real numbers, or rows of unequal length.
    """
    file = Path(path).expanduser()
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
        return Table(_read_npy(file))
    if suffix in _TEXT:
        return _read_text(file)
    raise ValueError(
        f"{path}: wanted a file that ends in .npy, {', '.join(_TEXT)}; got "
        f"{suffix or 'no ending'}. Save the table in one of these forms."
    )


def _read_npy(file: Path) -> np.ndarray:
    way_out = "Save plain numbers with numpy.save(path, array.astype(float))."
    try:
        # Mapped, so that a header which promises more than the file holds costs no memory.
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError, OverflowError, MemoryError, SyntaxError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{file}: this is no readable .npy of numbers ({reason}). {way_out}"
        ) from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        kind = array.dtype if isinstance(array, np.ndarray) else "an archive of several"
        raise ValueError(f"{file}: wanted an array of real numbers, got {kind}. {way_out}")
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(
            f"{file}: wanted an array of shape (N,) or (N, T) that is not empty, got "
            f"{array.shape}. Reshape it to one row a value."
        )
    return np.array(array if array.ndim == 2 else array[:, None], dtype=np.float64)


def _read_text(file: Path) -> Table:
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
    delimiter = next((d for d in ",;\t" if d in lines[0][1]), None)
    rows = [(number, _cells(line, delimiter)) for number, line in lines]
    names = None
    if not any(_is_number(cell) for cell in rows[0][1]):
        names = tuple(rows[0][1])
        rows = rows[1:]
        if len(set(names)) < len(names):
            raise ValueError(f"{file}: the header names a column twice: {', '.join(names)}.")
    if not rows:
        raise ValueError(f"{file}: there is a header and no rows below it. Add the numbers.")
    width = len(names or rows[0][1])
    values = np.empty((len(rows), width))
    for i, (number, cells) in enumerate(rows):
        if len(cells) != width:
            raise ValueError(
                f"{file}, line {number}: wanted {width} columns like the first line, got "
                f"{len(cells)}."
            )
        try:
            values[i] = cells
        except ValueError:
            raise ValueError(_not_a_number(file, number, cells, names)) from None
    return Table(values, names)


def _cells(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]


def _not_a_number(file: Path, number: int, cells: list[str], names: tuple[str, ...] | None) -> str:
    column = next(i for i, cell in enumerate(cells) if not _is_number(cell))
    name = f" ({names[column]})" if names else ""
    found = repr(cells[column]) if cells[column] else "an empty cell"
    return (
        f"{file}, line {number}, column {column + 1}{name}: wanted a number, got {found}. "
        "A header line holds names only; leave text columns out, and fill or drop what is missing."
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
