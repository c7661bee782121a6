"""How the cost of a draw grows with the length of a value, the batch, and the block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from distill.benchmark.costs import draw
from distill.benchmark.environment import environment, in_one_line
from distill.benchmark.formatting import markdown, plain, si
from distill.benchmark.growth_axes import AXES, ROLES
from distill.benchmark.inputs import Inputs
from distill.benchmark.timing import Timing, Turn, take_turns
from distill.checks import check_names
from distill.contract import Features
from distill.evaluation import Report
from distill.evaluation.placing import evaluating, place_of
from distill.models import Density
from distill.progress import tracked

_PATIENCE = 5.0


class Make(Protocol):
    """Makes a model of a size; its weights may be random, since a draw takes as long with any."""

    def __call__(self, role: str, *, sites: int | None = None, block: int | None = None) -> Density:
        """Return the teacher or the student, with values or blocks of so many sites."""


@dataclass(frozen=True)
class Point:
    """One draw.

    Arguments:
        size: On the axis.
        sites: That it drew in all.
        timing: How long it took.
    """

    size: int
    sites: int
    timing: Timing


@dataclass
class Growth:
    """Curves of a teacher's and a student's own sampler.

    Arguments:
        environment: What it was measured on.
        curves: Points by axis and role.
        notes: What there is no point for, and why.
    """

    environment: dict[str, str]
    curves: dict[tuple[str, str], list[Point]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def report(self) -> Report:
        """Return scalars, the figure and the table; of no points, the notes alone."""
        # Here, so that importing the package stays quick.
        from distill.benchmark.growth_figure import growth_figure

        scalars = {
            f"growth/{axis}/{role}/ms_at_{point.size}": 1e3 * point.timing.median
            for (axis, role), points in self.curves.items()
            for point in points
        }
        figures = {"growth": growth_figure(self)} if scalars else {}
        return Report(scalars=scalars, figures=figures, tables={"growth": self.to_markdown()})

    def to_markdown(self) -> str:
        """Return what was measured on, a table of all points, and the notes."""
        rows = [
            {
                "over": AXES[axis],
                "model": role,
                "size": str(point.size),
                "ms": plain(1e3 * point.timing.median),
                "min-max": f"{1e3 * point.timing.minimum:.4g}-{1e3 * point.timing.maximum:.4g}",
                "sites/s": si(point.timing.rate(point.sites)),
            }
            for (axis, role), points in self.curves.items()
            for point in points
        ]
        parts = [f"{in_one_line(self.environment)}."]
        parts += [markdown(rows, ("over", "model"))] if rows else []
        return "\n\n".join([*parts, *self.notes])


def measure_growth(
    make: Make,
    over: Mapping[str, Sequence[int]],
    features: Features = None,
    sites: int | None = None,
    rounds: int = 5,
    seconds: float = 2.0,
) -> Growth:
    """Measure draws of growing size, teacher and student in turns.

    Each model draws by its own fastest sampler. What would take far longer than `seconds`, told
    from the size before, has a note.

    Arguments:
        make: Makes the models.
        over: Sizes by axis: `sites`, `batch`, `block`.
        features: Rows of features.
        sites: T for the other two axes, where the data does not fix it.
        rounds: Runs of a point that count.
        seconds: Most time for a point, about.

    Errors:
        ValueError: An unknown axis.
    """
    check_names("benchmark.growth_over", over, AXES)
    plain_models = {role: make(role) for role in ROLES}
    found = Growth(environment(*place_of(plain_models["student"])))
    measured = partial(_measure, found, rounds, seconds)
    for axis, sizes in over.items():
        for size in tracked(sorted(set(sizes)), f"grow {AXES[axis]}", unit="sizes"):
            draws: dict[str, tuple[Density, Inputs, int]] = {}
            for role in ROLES:
                try:
                    draws[role] = _draw_of(
                        axis, size, plain_models[role], partial(make, role), features, sites
                    )
                except ValueError as error:
                    found.notes.append(f"{role}, {size} {AXES[axis]}: {error}")
            measured(axis, size, draws)
    return found


def _draw_of(
    axis: str,
    size: int,
    model: Density,
    make: Callable[..., Density],
    features: Features,
    sites: int | None,
) -> tuple[Density, Inputs, int]:
    """Return who draws, what, and how many, at a point of an axis."""
    batch = size if axis == "batch" else 1
    if axis == "block":
        model = make(block=size)
    elif axis == "sites":
        sites = size
        if model.spec.sites is not None:
            model = make(sites=size)
    return model, Inputs.of(model.spec, features, sites), batch


def _measure(
    found: Growth,
    rounds: int,
    seconds: float,
    axis: str,
    size: int,
    draws: Mapping[str, tuple[Density, Inputs, int]],
) -> None:
    """Add the points of one size, in turns."""
    running = {}
    for role, who in draws.items():
        before = found.curves.get((axis, role), [])
        if before and axis != "block":
            expected = before[-1].timing.median * size / before[-1].size
            if expected > _PATIENCE * seconds:
                found.notes.append(
                    f"{role}, {size} {AXES[axis]}: left out, about {expected:.0f} s expected"
                )
                continue
        running[role] = who
    with evaluating(*(model for model, _, _ in running.values())):
        turns = [
            Turn(partial(draw, model, inputs, batch), place_of(model)[0])
            for model, inputs, batch in running.values()
        ]
        timings = take_turns(turns, rounds, seconds=seconds)
    for (role, (_, inputs, batch)), timing in zip(running.items(), timings, strict=True):
        if isinstance(timing, Exception):
            found.notes.append(f"{role}, {size} {AXES[axis]}: {type(timing).__name__}: {timing}")
            continue
        point = Point(size, inputs.sites * batch, timing)
        found.curves.setdefault((axis, role), []).append(point)
