"""Points or tables from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from distill.checks import check_seed
from distill.contract import DataSpec
from distill.data.array import ArrayData, check_finite
from distill.data.discrete import told_of_steps
from distill.data.modes import edges_at_gaps, modes_between
from distill.data.table import read_table

_FEWEST_ROWS = 10


class Points(ArrayData):
    """One value a row of a `.npy` or text file; some columns may condition the others.

    The columns that are no conditions are the value, in the file's order. Condition columns become
    one feature, `{"condition": (B, C)}`, standardized by the encoder.

    Arguments:
        path: File to read.
        condition: Condition columns, by name or index counted from 0.
        mode_edges: Rising edges along the first value column; the modes are what lies below,
            between and above them, with the shares that the training part has.
        mode_names: Names of these modes, one more than there are edges.
        mode_gap: Without edges: put them where the first value column has gaps wider than this
            share of its range, with at least a hundredth of the rows on either side.
        header: Whether a text's first line names the columns; `None` finds out.
        dequantize: Add noise that is uniform over a step to columns of booleans, whole numbers or
            few values, whose density is infinite otherwise.
        center: Take the mean of each value column off (the edges move along).
        seed: Of the split.
        held_out: Share of the rows to hold out.

    Errors:
        FileNotFoundError: There is no such file.
        ValueError: A file that is no table of finite numbers, fewer than 10 rows, unknown columns,
            or edges that do not rise.
    """

    def __init__(
        self,
        path: str,
        condition: Sequence[str | int] = (),
        mode_edges: Sequence[float] | None = None,
        mode_names: Sequence[str] | None = None,
        mode_gap: float | None = None,
        header: bool | None = None,
        dequantize: bool = False,
        center: bool = False,
        seed: int = 0,
        held_out: float = 0.1,
    ) -> None:
        check_seed(seed, "data.seed")
        table = read_table(path, header)
        rows, columns = table.values.shape
        if rows < _FEWEST_ROWS:
            raise ValueError(
                f"{path}: wanted at least {_FEWEST_ROWS} rows, got {rows}. Collect more, or check "
                "that one row is one value."
            )
        condition = [condition] if isinstance(condition, str | int) else list(condition or ())
        given = [table.column(key) for key in condition]
        kept = [column for column in range(columns) if column not in given]
        if len(set(given)) < len(given) or not kept:
            raise ValueError(
                f"{path}: wanted condition columns that differ and leave a column for the value, "
                f"got condition={condition} of {columns} columns."
            )
        check_finite(str(path), "the rows", table.values)
        values = table.values[:, kept]
        print(table.summary(path), flush=True)
        names = table.names or tuple(map(str, range(columns)))
        values = told_of_steps(str(path), values, [names[k] for k in kept], dequantize, seed)
        shift = values.mean(0) if center else np.zeros(len(kept))
        features = {"condition": table.values[:, given]} if given else None
        super().__init__(values - shift, features, seed=seed, held_out=held_out)
        self.columns = tuple(table.names[k] for k in kept) if table.names else None
        if self.columns and table.names:
            settings = {"columns": list(self.columns)}
            if given:
                settings["conditions"] = [table.names[k] for k in given]
            self.spec = replace(self.spec, settings=settings)
        if mode_edges is None and mode_gap is not None:
            mode_edges = edges_at_gaps(values[:, 0], mode_gap) or None
        if mode_edges is not None:
            self.modes = modes_between(mode_edges, self.train_values, mode_names, float(shift[0]))

    def check_matches(self, spec: DataSpec) -> None:
        """Raise unless a model built for `spec` can read these values.

        Errors:
            ValueError: What `Data` refuses; columns of other names, or in another order.
        """
        super().check_matches(spec)
        for what in ("columns", "conditions"):
            mine, wanted = self.spec.settings.get(what), spec.settings.get(what)
            if mine and wanted and list(mine) != list(wanted):
                raise ValueError(
                    f"Points: the model wants the {what} {', '.join(wanted)}, in this order, this "
                    f"data has {', '.join(mine)}. Write them so, or leave the header out."
                )
