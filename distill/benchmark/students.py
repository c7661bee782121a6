"""The ways to sample a student: eager, compiled, and through every exported file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch

from distill.benchmark.costs import cost_of_draws, draw
from distill.benchmark.inputs import Inputs, rows
from distill.benchmark.race import Contestant
from distill.benchmark.teachers import megabytes_of
from distill.checks import check_names
from distill.evaluation.placing import place_of
from distill.export import Exported
from distill.models import Flow

WAYS = ("eager", "compiled", "exports")


def student_contestants(
    student: Flow, ways: Sequence[str], exports: Mapping[str, Exported], inputs: Inputs
) -> list[Contestant]:
    """Return the student's contestants; all take the count of the eager one, their plain twin.

    Arguments:
        student: The student.
        ways: Of `eager`, `compiled` and `exports`.
        exports: Its exported files, by format.
        inputs: What to draw.

    Errors:
        ValueError: An unknown way.
    """
    check_names("benchmark.student", ways, WAYS)
    device, cost = place_of(student)[0], cost_of_draws(student, inputs)
    entries: list[Contestant] = []

    def enter(
        backend: str,
        run: Callable[[int], object],
        device: torch.device = device,
        megabytes: float = megabytes_of(student),
        prepare: bool = False,
    ) -> None:
        entries.append(
            Contestant(
                "student",
                backend,
                run,
                device,
                inputs.sites,
                cost,
                prepare=prepare,
                megabytes=megabytes,
            )
        )

    if "eager" in ways:
        enter("eager", partial(draw, student, inputs))
    if "compiled" in ways:
        enter("compiled", _compiled(student, inputs), prepare=True)
    for name, exported in exports.items() if "exports" in ways else ():
        size = exported.path.stat().st_size / 1e6
        enter(name, partial(_exported, exported, inputs), torch.device("cpu"), size)
    return entries


def _compiled(student: Flow, inputs: Inputs) -> Callable[[int], object]:
    fast: list[Callable] = []

    @torch.no_grad()
    def sample(count: int) -> object:
        if not fast:
            fast.append(torch.compile(student.bijector, dynamic=True))
        context = student.context(inputs.rows(count, student))
        return fast[0](student.noise(count, sites=inputs.sites), context)

    return sample


def _exported(exported: Exported, inputs: Inputs, count: int) -> object:
    return exported.sample(count, rows(inputs.features, count), sites=inputs.sites)
