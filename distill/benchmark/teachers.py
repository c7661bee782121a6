"""The ways to sample a teacher. A further one is one more entry of `SAMPLERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from distill.benchmark.costs import (
    cost_of_draws,
    cost_of_pass,
    cost_of_steps,
    density_pass,
    draw,
)
from distill.benchmark.counting import Cost, Work
from distill.benchmark.inputs import Inputs
from distill.benchmark.race import Contestant, Forecast
from distill.benchmark.row import Row
from distill.benchmark.sequential import generate_by_passes, is_sequential, sampled_by
from distill.benchmark.timing import measure
from distill.bijectors import Jacobi
from distill.checks import check_names
from distill.evaluation.placing import place_of
from distill.models import AutoregressiveDensity, Density
from distill.networks import Conditioner
from distill.networks.wavenet_sampling import has_fast_path


@dataclass(frozen=True)
class TeacherSampler:
    """One way to sample a teacher; all of them are given the same inputs.

    Arguments:
        draw: Draws so many values.
        refuses: Says why a teacher can't be sampled so, or `None`.
        forecast: Tells the time of a batch from a part of it; `None` where the whole is run.
        cost: Returns what its batches compute; `None` where nothing can count it.
        columns: Further numbers about a batch, by the name of their column: the rounds of an
            iteration and its error, say. Asked once a batch size, outside of the time.
    """

    draw: Callable[[Density, Inputs, int], Tensor]
    refuses: Callable[[Density], str | None] = lambda _: None
    forecast: Callable[[Density, Inputs], Callable[[int], Forecast] | None] = lambda *_: None
    cost: Callable[[Density, Inputs], Cost | None] = lambda *_: None
    columns: Callable[[Density, Inputs, int], Mapping[str, float]] | None = None


def teacher_contestants(
    teacher: Density, names: Sequence[str], inputs: Inputs
) -> list[Contestant | Row]:
    """Return the teacher's contestants; a way that it can't be sampled in has a row that says why.

    Arguments:
        teacher: The teacher.
        names: Of `SAMPLERS`.
        inputs: What to draw.

    Errors:
        ValueError: An unknown name.
    """
    check_names("benchmark.teacher", names, SAMPLERS)
    device = place_of(teacher)[0]
    entries: list[Contestant | Row] = []
    for name in names:
        way = SAMPLERS[name]
        refused = way.refuses(teacher)
        if refused is not None:
            entries.append(Row("teacher", name, device=device.type, note=refused))
            continue
        entries.append(
            Contestant(
                "teacher",
                name,
                partial(way.draw, teacher, inputs),
                device,
                inputs.sites,
                way.cost(teacher, inputs),
                way.forecast(teacher, inputs),
                columns=partial(way.columns, teacher, inputs) if way.columns else None,
                megabytes=megabytes_of(teacher),
            )
        )
    return entries


def megabytes_of(model: torch.nn.Module) -> float:
    """Return the size of a model's weights."""
    return sum(p.numel() * p.element_size() for p in model.parameters()) / 1e6


def draw_by_passes(teacher: Density, inputs: Inputs, batch: int) -> Tensor:
    """Draw by one whole pass per site."""
    with sampled_by(teacher, generate_by_passes, incremental=False):
        return draw(teacher, inputs, batch)


def draw_by_steps(teacher: Density, inputs: Inputs, batch: int) -> Tensor:
    """Draw by steps that compute what a new site changes."""
    with sampled_by(teacher, Conditioner.generate_by_steps, incremental=True):
        return draw(teacher, inputs, batch)


def draw_by_rounds(teacher: Density, inputs: Inputs, batch: int) -> Tensor:
    """Draw by rounds of all sites of a window at once."""
    given = inputs.rows(batch, teacher)
    return teacher.sample_in_rounds(batch, given, sites=inputs.sites, jacobi=ROUNDS).x


def _no_rounds(teacher: Density) -> str | None:
    if is_sequential(teacher):
        return None
    return f"nothing in this {type(teacher).__name__} is sequential"


def _rounds(teacher: Density, inputs: Inputs, batch: int) -> dict[str, float]:
    """Return how many rounds a batch takes, and how far the first value ends from the exact one."""
    given = inputs.rows(batch, teacher)
    found = teacher.sample_in_rounds(batch, given, sites=inputs.sites, seed=0, jacobi=ROUNDS)
    alone = teacher.sample_in_rounds(
        1, inputs.rows(1, teacher), sites=inputs.sites, seed=0, jacobi=ROUNDS
    )
    exact = teacher.sample(1, inputs.rows(1, teacher), sites=inputs.sites, seed=0)
    return {"rounds": found.taken, "off": float((alone.x - exact).abs().max())}


def _no_passes(teacher: Density) -> str | None:
    return None if is_sequential(teacher) else f"{type(teacher).__name__} has no plain sampler"


def _no_loop(teacher: Density) -> str | None:
    parts = [m for m in teacher.modules() if isinstance(m, AutoregressiveDensity)]
    like = torch.empty(0, dtype=place_of(teacher)[1])
    for part in parts:
        if type(part.conditioner).generate is Conditioner.generate:
            return f"{type(part.conditioner).__name__} has no compiled sampler"
        if not has_fast_path(part.head, like):
            return f"{type(part.head).__name__} in {like.dtype} has no compiled sampler"
    return None if parts else f"{type(teacher).__name__} has no compiled sampler"


def _passes(teacher: Density, inputs: Inputs) -> Callable[[int], Forecast]:
    def forecast(batch: int) -> Forecast:
        with torch.no_grad():
            run = density_pass(teacher, inputs, batch)
            seconds = measure(run, 2, device=place_of(teacher)[0]).minimum
        return Forecast(seconds * inputs.sites, "one pass")

    return forecast


def _steps(teacher: Density, inputs: Inputs) -> Callable[[int], Forecast] | None:
    """Tell the time of long values from a short one; that of values of fixed length is taken."""
    part = inputs.short(teacher.spec)
    if not is_sequential(teacher) or inputs.sites <= 2 * part.sites:
        return None
    factor, grain = inputs.sites / part.sites, part.sites

    def forecast(batch: int) -> Forecast:
        run = partial(draw_by_steps, teacher, part, batch)
        seconds = measure(run, 1, device=place_of(teacher)[0]).minimum
        return Forecast(seconds * factor, f"{grain} sites")

    return forecast


def _cost_of_passes(teacher: Density, inputs: Inputs) -> Cost:
    once = cost_of_pass(teacher, inputs)
    return lambda batch: once(batch) * inputs.sites


def _cost_of_steps(teacher: Density, inputs: Inputs) -> Cost:
    if not is_sequential(teacher):
        return cost_of_draws(teacher, inputs)
    return cost_of_steps(teacher, inputs, draw_by_steps)


def _cost_of_loop(teacher: Density, inputs: Inputs) -> Cost | None:
    """Count the parallel pass: the loop computes the same products, and keeps its weights near."""
    if place_of(teacher)[0].type != "cpu":
        return None  # it runs on the CPU all the same, and these are not its roofs
    once = cost_of_pass(teacher, inputs)
    return lambda batch: Work(once(batch).flop)


ROUNDS = Jacobi(tolerance=1e-5, window=512)
"""What ends the rounds of `jacobi`: no site moves by more; windows of so many sites."""

SAMPLERS: dict[str, TeacherSampler] = {
    "plain": TeacherSampler(draw_by_passes, _no_passes, _passes, _cost_of_passes),
    "incremental": TeacherSampler(draw_by_steps, forecast=_steps, cost=_cost_of_steps),
    "compiled": TeacherSampler(draw, _no_loop, cost=_cost_of_loop),
    "jacobi": TeacherSampler(draw_by_rounds, _no_rounds, columns=_rounds),
}
"""`plain`: a whole pass for each site. `incremental`: steps that compute what a new site changes;
a flow that draws in parallel does. `compiled`: the same as one compiled loop. `jacobi`: by rounds
of all sites of a window at once, until none moves."""
