"""The figure of how the cost of a draw grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from distill.benchmark.environment import in_one_line
from distill.benchmark.growth_axes import AXES, ROLES

if TYPE_CHECKING:
    from distill.benchmark.growth import Growth

_COLORS = {"teacher": "#d1495b", "student": "#3b6fb6"}


def growth_figure(growth: Growth) -> Figure:
    """Draw milliseconds a draw, from the fastest run to the slowest, over each axis measured.

    Both axes are logarithmic: a cost that grows with the size is a line that rises by one decade
    in a decade.

    Arguments:
        growth: The curves.
    """
    axes = [axis for axis in AXES if any(key[0] == axis for key in growth.curves)]
    figure = Figure(figsize=(3.4 * max(1, len(axes)) + 0.6, 3.2), layout="constrained")
    panels = figure.subplots(1, max(1, len(axes)), squeeze=False)[0]
    for panel, axis in zip(panels, axes, strict=False):
        ticks: set[int] = set()
        for role in ROLES:
            points = growth.curves.get((axis, role), [])
            x = [point.size for point in points]
            ticks |= set(x)
            middle, low, high = (
                [1e3 * getattr(point.timing, name) for point in points]
                for name in ("median", "minimum", "maximum")
            )
            label = role if panel is panels[0] else None
            panel.plot(x, middle, marker="o", ms=3, lw=1.2, color=_COLORS[role], label=label)
            panel.fill_between(x, low, high, color=_COLORS[role], alpha=0.15, lw=0)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xticks(sorted(ticks), [f"{tick:,}" for tick in sorted(ticks)])
        panel.minorticks_off()
        panel.set_xlabel(AXES[axis])
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("milliseconds a draw")
    figure.suptitle(in_one_line(growth.environment), fontsize=9)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure
