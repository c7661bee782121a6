"""Rows of a comparison of streams, and the report that is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from distill.benchmark.calibration import Calibration
from distill.benchmark.counting import Work
from distill.benchmark.environment import in_one_line
from distill.benchmark.formatting import UNKNOWN, markdown, percent, plain, si
from distill.benchmark.row import rebuilt, shares
from distill.benchmark.table import in_words
from distill.benchmark.timing import Timing
from distill.evaluation import Report


@dataclass(frozen=True)
class StreamRow:
    """One model, one backend, one length of chunks.

    Arguments:
        model: `student`, or its size.
        backend: How it ran.
        chunk: Seconds of sound in a chunk; 0 where it never ran.
        sites: In a chunk.
        timing: Seconds from frames to samples, of each chunk that counted.
        work: What a chunk computes.
        error: Largest difference of its samples from one pass of the eager model.
        megabytes: Size of the file, where there is one.
        load: Seconds to load it.
        note: Why it did not run.
    """

    model: str
    backend: str
    chunk: float = 0.0
    sites: int = 0
    timing: Timing | None = None
    work: Work | None = None
    error: float = 0.0
    megabytes: float | None = None
    load: float | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """Model and backend."""
        return f"{self.model}-{self.backend}"

    @property
    def milliseconds(self) -> int:
        """Length of a chunk, rounded."""
        return round(1e3 * self.chunk)

    def percentile(self, share: float) -> float:
        """Return the seconds below which so many of a hundred chunks stay."""
        return float(np.percentile(self.timing.times, share)) if self.timing else 0.0

    @property
    def factor(self) -> float:
        """Seconds of sound per second."""
        return self.chunk * self.timing.runs / sum(self.timing.times) if self.timing else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StreamRow:
        """Rebuild what `to_dict` wrote."""
        return cls(**{**values, **rebuilt(values)})


@dataclass
class StreamTable:
    """All rows of a comparison.

    Arguments:
        environment: What it was measured on.
        calibrations: Each device's roofs, measured in the same run.
        rows: The rows.
        quality: Numbers of an evaluation of the same weights, by the name of rows.
    """

    environment: dict[str, str]
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    rows: list[StreamRow] = field(default_factory=list)
    quality: dict[str, dict[str, float]] = field(default_factory=dict)

    def runs(self) -> dict[str, list[StreamRow]]:
        """Return the rows by model and backend."""
        names = dict.fromkeys(row.name for row in self.rows)
        return {name: [row for row in self.rows if row.name == name] for name in names}

    def report(self) -> Report:
        """Return scalars, the figure and the table; of no rows, an empty report."""
        if not self.rows:
            return Report()
        # Here, so that importing the package stays quick.
        from distill.benchmark.stream_figure import stream_figure

        scalars: dict[str, float] = {}
        for row in self.rows:
            if row.timing is None:
                continue
            gemm, copy = shares(row.timing, row.work, self.calibrations.get("cpu"))
            numbers = {
                "latency_p50_ms": 1e3 * row.percentile(50),
                "latency_p99_ms": 1e3 * row.percentile(99),
                "real_time_factor": row.factor,
                "error": row.error,
                "gemm_share": gemm,
                "copy_share": copy,
            }
            for name, value in numbers.items():
                if value is not None:
                    scalars[f"stream/{row.name}/{name}/chunk_{row.milliseconds}_ms"] = value
        return Report(
            scalars=scalars,
            figures={"stream": stream_figure(self)},
            tables={"stream": self.to_markdown()},
        )

    def to_markdown(self) -> str:
        """Return what was measured on, and a table of all rows."""
        roofs = "".join(f"; {name}: {in_words(roof)}" for name, roof in self.calibrations.items())
        rows = [self._cells(row) for row in self.rows]
        table = markdown(rows, ("model", "backend"))
        return f"{in_one_line(self.environment)}{roofs}.\n\n{table}"

    def _cells(self, row: StreamRow) -> dict[str, str]:
        cells = {"model": row.model, "backend": row.backend}
        if row.timing is None:
            return cells | {"note": row.note}
        gemm, copy = shares(row.timing, row.work, self.calibrations.get("cpu"))
        cells |= {
            "chunk": f"{1e3 * row.chunk:.1f} ms",
            "p50": f"{1e3 * row.percentile(50):.2f} ms",
            "p99": f"{1e3 * row.percentile(99):.2f} ms",
            "x real time": f"{row.factor:.2f}",
            "chunks": str(row.timing.runs),
            "error": f"{row.error:.1e}",
            "FLOP a sample": si(row.work.flop / row.sites) if row.work else UNKNOWN,
            "of GEMM": percent(gemm),
            "of copy": percent(copy),
            "MB": plain(row.megabytes, 3),
            "load": UNKNOWN if row.load is None else f"{row.load:.2f} s",
        }
        cells |= {name: plain(v, 3) for name, v in self.quality.get(row.name, {}).items()}
        return cells | {"note": row.note}
