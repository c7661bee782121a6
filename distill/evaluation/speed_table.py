"""Rows of a speed comparison, their ratios, and the report that is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from distill.evaluation.evaluator import Report
from distill.evaluation.timing import Timing

BASELINES = ("incremental", "plain")
_COLORS = {
    "teacher": ("#8c2d3a", "#d1495b", "#e8a0a8"),
    "student": ("#1f4e8c", "#3b6fb6", "#6fa8dc", "#2e8b57"),
}


@dataclass(frozen=True)
class Row:
    """One model, one backend, one batch size.

    Arguments:
        model: `teacher` or `student`.
        backend: How it ran.
        batch: Values drawn at once; 0 where it never ran.
        timing: `None` where it did not run.
        note: Why not, or what to know about the number.
    """

    model: str
    backend: str
    batch: int
    timing: Timing | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """Model and backend."""
        return f"{self.model}-{self.backend}"

    @property
    def rate(self) -> float | None:
        """Samples per second."""
        return None if self.timing is None else self.timing.rate(self.batch)


@dataclass
class SpeedTable:
    """All rows of a comparison.

    Arguments:
        sites: Sites of one sample.
        environment: What it was measured on.
        rows: The rows.
    """

    sites: int | None
    environment: dict[str, str]
    rows: list[Row] = field(default_factory=list)

    def runs(self) -> dict[str, list[Row]]:
        """Return the rows by model and backend."""
        names = dict.fromkeys(row.name for row in self.rows)
        return {name: [row for row in self.rows if row.name == name] for name in names}

    def speedups(self) -> Iterator[tuple[Row, str, float]]:
        """Yield each student row, a teacher's baseline, and how many times faster it is."""
        rates = {(r.name, r.batch): r.rate for r in self.rows if r.rate}
        for row in self.rows:
            for baseline in BASELINES:
                slow = rates.get((f"teacher-{baseline}", row.batch))
                if row.model == "student" and row.rate and slow:
                    yield row, baseline, row.rate / slow

    def report(self) -> Report:
        """Return scalars, the bar chart, and tables of the numbers and the environment."""
        scalars = {
            f"speed/{r.name}/samples_per_second/batch_{r.batch}": r.rate
            for r in self.rows
            if r.rate
        }
        for row, baseline, ratio in self.speedups():
            scalars[f"speedup/{row.name}/over_teacher_{baseline}/batch_{row.batch}"] = ratio
        facts = "\n".join(f"| {name} | {value} |" for name, value in self.environment.items())
        return Report(
            scalars={name: float(value) for name, value in scalars.items()},
            figures={"speed": speed_figure(self)},
            tables={"speed": self.to_markdown(), "environment": f"| | |\n|---|---|\n{facts}"},
        )

    def to_markdown(self) -> str:
        """Return a table of all rows: who, how fast, and how many times faster than what."""
        ratios = {(r.name, r.batch, baseline): x for r, baseline, x in self.speedups()}
        lines = [
            "| model | backend | batch | samples/s | ms per batch (min-max) "
            "| x teacher incremental | x teacher plain | note |",
            "|---|---|---:|---:|---:|---:|---:|---|",
        ]
        for row in self.rows:
            rate = span = "-"
            if row.timing is not None:
                t = row.timing
                rate = (
                    f"{t.rate(row.batch):,.4g}" if t.rate(row.batch) < 1e4 else f"{row.rate:,.0f}"
                )
                span = f"{t.median * 1e3:.4g} ({t.minimum * 1e3:.4g}-{t.maximum * 1e3:.4g})"
            over = [
                f"{ratios[key]:.3g}" if (key := (row.name, row.batch, b)) in ratios else ""
                for b in BASELINES
            ]
            note = row.note.replace("|", "/")
            cells = [row.model, row.backend, str(row.batch or ""), rate, span, *over, note]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)


def speed_figure(table: SpeedTable) -> Figure:
    """Draw samples per second as bars on a logarithmic axis, one group per batch size.

    Bars that were computed from a part, not measured whole, are hatched.

    Arguments:
        table: The comparison.
    """
    runs = {name: [r for r in rows if r.rate] for name, rows in table.runs().items()}
    runs = {name: rows for name, rows in runs.items() if rows}
    sizes = sorted({r.batch for rows in runs.values() for r in rows})
    width = 0.8 / max(1, len(runs))
    figure = Figure(
        figsize=(max(6.4, 0.4 * len(runs) * len(sizes) + 2.4), 4.4), layout="constrained"
    )
    axis = figure.subplots()
    used = dict.fromkeys(_COLORS, 0)
    for i, (name, rows) in enumerate(runs.items()):
        model = rows[0].model
        color = _COLORS[model][used[model] % len(_COLORS[model])]
        used[model] += 1
        places = [sizes.index(r.batch) + (i - (len(runs) - 1) / 2) * width for r in rows]
        bars = axis.bar(places, [r.rate or 0.0 for r in rows], width * 0.94, color=color)
        bars.set_label(name.replace("-", " "))
        for bar, row in zip(bars, rows, strict=True):
            if row.timing is not None and not row.timing.repeats:
                bar.set_hatch("///")
            axis.annotate(
                _short(row.rate or 0.0),
                (bar.get_x() + bar.get_width() / 2, bar.get_height()),
                (0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=6,
                rotation=90 if len(runs) > 4 else 0,
            )
    axis.set_yscale("log")
    axis.margins(y=0.15)
    axis.set_xticks(range(len(sizes)), [f"batch {size:,}" for size in sizes])
    axis.set_ylabel("samples per second")
    facts = table.environment
    axis.set_title(
        f"{table.sites} sites, {facts.get('GPU', facts.get('CPU', ''))}, "
        f"{facts.get('threads', '?')} threads",
        fontsize=9,
    )
    axis.spines[["top", "right"]].set_visible(False)
    if runs:
        figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _short(rate: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if rate >= size:
            return f"{rate / size:.3g}{letter}"
    return f"{rate:.3g}"
