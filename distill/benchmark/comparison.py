"""What a comparison of samplers holds, of whole values or of streams: rows, facts and roofs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from distill.benchmark.calibration import Calibration
from distill.benchmark.environment import in_one_line
from distill.benchmark.row import Row
from distill.benchmark.stream_row import StreamRow

R = TypeVar("R", Row, StreamRow)


@dataclass
class Comparison(Generic[R]):
    """All rows of a comparison.

    Arguments:
        environment: What it was measured on.
        calibrations: Each device's roofs, measured in the same run.
        rows: The rows.
        quality: Numbers of an evaluation of the same weights, by the name of rows.
    """

    environment: dict[str, str]
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    rows: list[R] = field(default_factory=list)
    quality: dict[str, dict[str, float]] = field(default_factory=dict)

    def runs(self) -> dict[str, list[R]]:
        """Return the rows by model and backend."""
        names = dict.fromkeys(row.name for row in self.rows)
        return {name: [row for row in self.rows if row.name == name] for name in names}

    def measured_on(self) -> str:
        """Return what was measured on, as the line above a table says it."""
        roofs = (f"; {name}: {roof.in_words()}" for name, roof in self.calibrations.items())
        return in_one_line(self.environment) + "".join(roofs)
