"""The comparison of streams: its rows, and the report that is made of them."""

from __future__ import annotations

from distill.benchmark.comparison import Comparison
from distill.benchmark.formatting import UNKNOWN, markdown, percent, plain, si
from distill.benchmark.row import shares
from distill.benchmark.stream_row import StreamRow
from distill.evaluation import Report


class StreamTable(Comparison[StreamRow]):
    """All rows of a comparison of streams."""

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
        rows = [self._cells(row) for row in self.rows]
        table = markdown(rows, ("model", "backend"))
        return f"{self.measured_on()}.\n\n{table}"

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
