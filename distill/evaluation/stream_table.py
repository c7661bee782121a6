"""Rows of a comparison of streams, and the report that is made of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from matplotlib.figure import Figure

from distill.evaluation.evaluator import Report


@dataclass(frozen=True)
class StreamRow:
    """One model, one backend, one length of chunks.

    Arguments:
        model: `student`, or its size.
        backend: How it ran.
        chunk: Seconds of sound in a chunk; 0 where it never ran.
        p50: Median of the seconds from frames to samples.
        p99: 99th percentile of them.
        factor: Seconds of sound per second.
        error: Largest difference of its samples from one pass of the eager model.
        chunks: How many counted.
        megabytes: Size of the file, where there is one.
        load: Seconds to load it.
        note: Why it did not run.
    """

    model: str
    backend: str
    chunk: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    factor: float = 0.0
    error: float = 0.0
    chunks: int = 0
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

    def to_markdown(self) -> str:
        """Return the cells of a line of a table."""
        cells = [self.model, self.backend]
        if self.note:
            return f"| {' | '.join([*cells, *[''] * 7, self.note.replace('|', '/')])} |"
        cells += [
            f"{1e3 * self.chunk:.1f} ms",
            f"{1e3 * self.p50:.2f} ms",
            f"{1e3 * self.p99:.2f} ms",
            f"{self.factor:.2f}",
            f"{self.error:.1e}",
            "" if self.megabytes is None else f"{self.megabytes:.2f} MB",
            "" if self.load is None else f"{self.load:.2f} s",
            "",
        ]
        return f"| {' | '.join(cells)} |"


@dataclass
class StreamTable:
    """All rows of a comparison.

    Arguments:
        environment: What it was measured on.
        rows: The rows.
    """

    environment: dict[str, str]
    rows: list[StreamRow] = field(default_factory=list)

    def runs(self) -> dict[str, list[StreamRow]]:
        """Return the rows by model and backend."""
        names = dict.fromkeys(row.name for row in self.rows)
        return {name: [row for row in self.rows if row.name == name] for name in names}

    def report(self) -> Report:
        """Return scalars, the figure and the table; of no rows, an empty report."""
        if not self.rows:
            return Report()
        scalars: dict[str, float] = {}
        for row in self.rows:
            if not row.note:
                where = f"stream/{row.name}/{{}}/chunk_{row.milliseconds}_ms"
                scalars[where.format("latency_p50_ms")] = 1e3 * row.p50
                scalars[where.format("latency_p99_ms")] = 1e3 * row.p99
                scalars[where.format("real_time_factor")] = row.factor
                scalars[where.format("error")] = row.error
        return Report(
            scalars=scalars,
            figures={"stream": stream_figure(self)},
            tables={"stream": self.to_markdown()},
        )

    def to_markdown(self) -> str:
        """Return a table of all rows."""
        lines = [
            "| model | backend | chunk | p50 | p99 | x real time | error | file | load | note |",
            "|---|---|---:|---:|---:|---:|---:|---:|---:|---|",
        ]
        return "\n".join([*lines, *(row.to_markdown() for row in self.rows)])


def stream_figure(table: StreamTable) -> Figure:
    """Draw each backend's latency over the length of a chunk, from median to 99th percentile.

    What lies below the dashed line is faster than real time.

    Arguments:
        table: The comparison.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axis = figure.subplots()
    lengths = sorted({1e3 * row.chunk for row in table.rows if not row.note})
    for name, rows in table.runs().items():
        rows = sorted((row for row in rows if not row.note), key=lambda row: row.chunk)
        if not rows:
            continue
        x = [1e3 * row.chunk for row in rows]
        (line,) = axis.plot(x, [1e3 * r.p50 for r in rows], marker="o", ms=3, lw=1.2, label=name)
        low, high = ([1e3 * getattr(row, p) for row in rows] for p in ("p50", "p99"))
        axis.fill_between(x, low, high, color=line.get_color(), alpha=0.15, lw=0)
    if lengths:
        axis.plot(lengths, lengths, color="0.4", lw=1, ls="--", label="real time")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xticks(lengths, [f"{length:.3g}" for length in lengths])
        axis.minorticks_off()
        figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    axis.set_xlabel("milliseconds of sound in a chunk")
    axis.set_ylabel("milliseconds it takes, median to p99")
    facts = table.environment
    axis.set_title(f"{facts.get('CPU', '')}, {facts.get('threads', '?')} threads", fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    return figure
