"""The comparison of whole values: its rows, their ratios, and the report that is made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from distill.benchmark.comparison import Comparison
from distill.benchmark.formatting import markdown, percent, plain, si
from distill.benchmark.row import Row, shares
from distill.evaluation import Report

_WORDS = ("model", "backend", "device")


@dataclass
class SpeedTable(Comparison[Row]):
    """All rows of a comparison of whole values.

    Arguments:
        sites: T of one value.
    """

    sites: int | None = None

    @property
    def baselines(self) -> list[str]:
        """The teacher's ways to sample that were timed."""
        timed = (row for row in self.rows if row.model == "teacher" and row.timing is not None)
        return list(dict.fromkeys(row.backend for row in timed))

    def speedups(self) -> Iterator[tuple[Row, str, float]]:
        """Yield each row that is not the teacher's, a baseline, and how many times faster it is.

        Sites per second are compared, since a library may draw longer values.
        """
        rates = {(r.name, r.batch): r.site_rate for r in self.rows}
        for row in self.rows:
            for baseline in self.baselines:
                slow = rates.get((f"teacher-{baseline}", row.batch))
                if row.model != "teacher" and row.site_rate and slow:
                    yield row, baseline, row.site_rate / slow

    def shares(self, row: Row) -> tuple[float | None, float | None]:
        """Return a row's share of the GEMM peak and of the copy rate of its device."""
        return shares(row.timing, row.work, self.calibrations.get(row.device))

    def report(self) -> Report:
        """Return scalars, the bar chart, and tables of the numbers and the environment."""
        # Here, so that importing the package stays quick.
        from distill.benchmark.chart import speed_figure

        scalars: dict[str, float] = {}
        for row in self.rows:
            where = f"speed/{row.name}/{{}}/batch_{row.batch}"
            gemm, copy = self.shares(row)
            numbers = {"samples_per_second": row.rate, "gemm_share": gemm, "copy_share": copy}
            numbers |= dict(row.extra)
            scalars |= {where.format(k): v for k, v in numbers.items() if v is not None}
        for row, baseline, ratio in self.speedups():
            scalars[f"speedup/{row.name}/over_teacher_{baseline}/batch_{row.batch}"] = ratio
        for device, roof in self.calibrations.items():
            scalars[f"roof/{device}/gemm_flop_per_second"] = roof.peak
            scalars[f"roof/{device}/copy_bytes_per_second"] = roof.copy_rate
        facts = "\n".join(f"| {name} | {value} |" for name, value in self.facts().items())
        return Report(
            scalars={name: float(value) for name, value in scalars.items()},
            figures={"speed": speed_figure(self)},
            tables={"speed": self.to_markdown(), "environment": f"| | |\n|---|---|\n{facts}"},
        )

    def facts(self) -> dict[str, str]:
        """Return the environment and each device's roofs, in words."""
        roofs = {f"roofs of {name}": roof.in_words() for name, roof in self.calibrations.items()}
        return self.environment | roofs

    def to_markdown(self) -> str:
        """Return what was measured on, and a table of all rows."""
        ratios = {(r.name, r.batch, baseline): x for r, baseline, x in self.speedups()}
        rows = [self._cells(row, ratios) for row in self.rows]
        head = f"{self.sites} sites a sample; {self.measured_on()}."
        return f"{head}\n\n{markdown(rows, _WORDS)}"

    def _cells(self, row: Row, ratios: Mapping[tuple[str, int, str], float]) -> dict[str, str]:
        cells = {
            "model": row.model,
            "backend": row.backend,
            "device": row.device,
            "batch": str(row.batch) if row.batch else "-",
            "samples/s": plain(row.rate),
            "sites/s": plain(row.site_rate),
            "ms per batch (min-max)": "-",
        }
        if row.timing is not None:
            low, middle, high = (
                f"{1e3 * seconds:.4g}"
                for seconds in (row.timing.minimum, row.timing.median, row.timing.maximum)
            )
            cells["ms per batch (min-max)"] = f"{middle} ({low}-{high})"
        for baseline in self.baselines:
            ratio = ratios.get((row.name, row.batch, baseline))
            cells[f"x teacher {baseline}"] = plain(ratio, 3)
        gemm, copy = self.shares(row)
        work = None if row.work is None or not row.batch else row.work.flop / row.batch
        cells |= {
            "FLOP a sample": si(work),
            "of GEMM": percent(gemm),
            "of copy": percent(copy),
            "MB": plain(row.megabytes, 3),
        }
        if row.peak_megabytes is not None:
            cells["peak MB"] = plain(row.peak_megabytes, 3)
        cells |= {name: plain(value, 3) for name, value in row.extra.items()}
        cells |= {name: plain(v, 3) for name, v in self.quality.get(row.name, {}).items()}
        return cells | {"note": row.note}
