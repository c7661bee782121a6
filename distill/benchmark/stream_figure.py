"""The figure of a comparison of streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from distill.benchmark.environment import in_one_line

if TYPE_CHECKING:
    from distill.benchmark.stream_table import StreamTable


def stream_figure(table: StreamTable) -> Figure:
    """Draw each backend's latency over the length of a chunk, from median to 99th percentile.

    What lies below the dashed line is faster than real time.

    Arguments:
        table: The comparison.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axis = figure.subplots()
    lengths = sorted({1e3 * row.chunk for row in table.rows if row.timing})
    for name, rows in table.runs().items():
        rows = sorted((row for row in rows if row.timing), key=lambda row: row.chunk)
        if not rows:
            continue
        x = [1e3 * row.chunk for row in rows]
        middle, high = ([1e3 * row.percentile(p) for row in rows] for p in (50, 99))
        (line,) = axis.plot(x, middle, marker="o", ms=3, lw=1.2, label=name)
        axis.fill_between(x, middle, high, color=line.get_color(), alpha=0.15, lw=0)
    if lengths:
        axis.plot(lengths, lengths, color="0.4", lw=1, ls="--", label="real time")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xticks(lengths, [f"{length:.3g}" for length in lengths])
        axis.minorticks_off()
        figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    axis.set_xlabel("milliseconds of sound in a chunk")
    axis.set_ylabel("milliseconds it takes, median to p99")
    axis.set_title(in_one_line(table.environment), fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    return figure
