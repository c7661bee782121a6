"""The bar chart of a comparison of whole values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from distill.benchmark.environment import in_one_line
from distill.benchmark.formatting import si

if TYPE_CHECKING:
    from distill.benchmark.table import SpeedTable

_COLORS = {
    "teacher": ("#8c2d3a", "#d1495b", "#e8a0a8"),
    "student": ("#1f4e8c", "#3b6fb6", "#6fa8dc", "#2e8b57"),
}
_OTHERS = ("#7f7f7f", "#a9a9a9", "#595959")


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
    used: dict[tuple[str, ...], int] = {}
    for i, (name, rows) in enumerate(runs.items()):
        colors = _COLORS.get(rows[0].model, _OTHERS)
        color = colors[used.get(colors, 0) % len(colors)]
        used[colors] = used.get(colors, 0) + 1
        places = [sizes.index(r.batch) + (i - (len(runs) - 1) / 2) * width for r in rows]
        bars = axis.bar(places, [r.rate or 0.0 for r in rows], width * 0.94, color=color)
        bars.set_label(name.replace("-", " "))
        for bar, row in zip(bars, rows, strict=True):
            if row.timing is not None and row.timing.computed:
                bar.set_hatch("///")
            axis.annotate(
                si(row.rate).replace(" ", ""),
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
    axis.set_title(f"{table.sites} sites, {in_one_line(table.environment)}", fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    if runs:
        figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure
