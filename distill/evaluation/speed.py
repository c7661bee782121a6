"""The speed of teachers, students and exported files, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distill.bijectors import Jacobi
from distill.contract import DataSpec, Features
from distill.evaluation.speed_samplers import (
    InRounds,
    device_of,
    rows,
    sequential,
    whole_passes,
)
from distill.evaluation.speed_table import Row, SpeedTable
from distill.evaluation.timing import Timing, environment, measure
from distill.models import Density, Flow

Sampler = Callable[[int], object]
"""Draws so many values; the result is thrown away."""

_PATIENCE = 5.0


@dataclass(frozen=True)
class Contestant:
    """One way to sample.

    Arguments:
        model: `teacher` or `student`.
        backend: How it runs.
        sampler: Draws so many values.
        device: Where.
        estimate: Seconds for a batch without running it, for what may take minutes.
        prepare: Whether a first run may take long (a compiler's) and must not count.
        note: What to say of a batch that was drawn.
    """

    model: str
    backend: str
    sampler: Sampler
    device: torch.device
    estimate: Callable[[int], float] | None = None
    prepare: bool = False
    note: Callable[[int], str] = lambda batch: ""


def benchmark(
    teacher: Density,
    student: Flow,
    exported: Mapping[str, Sampler],
    batch_sizes: Sequence[int] = (1, 16, 256, 4096),
    features: Features = None,
    repeats: int = 5,
    seconds: float = 2.0,
    sites: int | None = None,
    compiled: bool = True,
    jacobi: Jacobi | None = None,
) -> SpeedTable:
    """Compare samples per second, noise included, over batch sizes.

    The teacher samples site after site, once with one whole pass per site (`plain`, as libraries
    do), once by steps that compute only what a new site changes (`incremental`), and once by rounds
    of all sites at once (`jacobi`), with how many it took and how far it is off; the student eager,
    compiled, and through every exported file. What can't run has a row that says
    why. Where a run would take far longer than `seconds`, its row says so; the plain teacher's is
    then computed from the time of one pass.

    Arguments:
        teacher: The teacher.
        student: The student.
        exported: For each backend, a function that draws so many samples.
        batch_sizes: Values drawn at once.
        features: Rows of features, repeated as often as a batch needs.
        repeats: Most runs for a row.
        seconds: Most time for a row, about; one run always counts.
        sites: T, where the data does not fix it.
        compiled: Whether to try `torch.compile`, which may take half a minute.
        jacobi: How to sample the teacher by rounds, `None` to leave that out.
    """
    if not batch_sizes or min(batch_sizes) < 1 or seconds <= 0:
        raise ValueError(
            "benchmark: wanted batch sizes >= 1 and seconds > 0, got "
            f"batch_sizes={list(batch_sizes)}, seconds={seconds}."
        )
    sites = student.spec.sites if sites is None else sites
    device = device_of(teacher)

    def sample(model: Density, count: int) -> Tensor:
        return model.sample(count, rows(features, count, device_of(model)), sites=sites)

    def plainly(count: int) -> Tensor:
        with whole_passes(teacher):
            return sample(teacher, count)

    table = SpeedTable(sites, environment(device))
    contestants = [
        Contestant("teacher", "incremental", lambda n: sample(teacher, n), device),
        Contestant("student", "eager", lambda n: sample(student, n), device_of(student)),
    ]
    if jacobi is not None:
        rounds = InRounds(teacher, jacobi, features, sites)
        contestants.insert(1, Contestant("teacher", "jacobi", rounds, device, note=rounds.note))
    if sequential(teacher):
        cost = _passes(teacher, features, sites)
        contestants.insert(0, Contestant("teacher", "plain", plainly, device, cost))
    else:
        table.rows.append(
            Row("teacher", "plain", 0, note=f"{type(teacher).__name__} has no plain sampler")
        )
    if compiled:
        fast, at = _compiled(student, features, sites), device_of(student)
        contestants.append(Contestant("student", "compiled", fast, at, prepare=True))
    for name, sampler in exported.items():
        contestants.append(Contestant("student", name, sampler, torch.device("cpu")))
    was_training = [m.training for m in (teacher, student)]
    try:
        for contestant in contestants:
            teacher.eval(), student.eval()
            table.rows += _race(contestant, sorted(set(batch_sizes)), repeats, seconds)
    finally:
        for model, training in zip((teacher, student), was_training, strict=True):
            model.train(training)
    return table


def _race(
    contestant: Contestant, batch_sizes: Sequence[int], repeats: int, seconds: float
) -> list[Row]:
    rows: list[Row] = []
    measured: list[tuple[int, float]] = []
    who, device = (contestant.model, contestant.backend), contestant.device
    if contestant.prepare:
        try:  # The largest first: a first batch of 1 would be taken for a constant.
            for batch in (batch_sizes[-1], batch_sizes[0]):
                contestant.sampler(batch)
        except Exception as error:
            return [Row(*who, 0, note=_line(error))]
    for batch in batch_sizes:
        if contestant.estimate is not None:
            expected = contestant.estimate(batch)
            if expected > _PATIENCE * seconds:
                timing = Timing(expected, expected, expected, 0)
                rows.append(Row(*who, batch, timing, "computed from the time of one pass"))
                continue
        elif (expected := _extrapolate(measured, batch)) > _PATIENCE * seconds:
            rows.append(Row(*who, batch, note=f"left out: about {expected:.0f} s expected"))
            continue

        def run(batch: int = batch) -> object:
            return contestant.sampler(batch)

        try:
            timing = measure(run, repeats, 1, seconds, device)
            note = contestant.note(batch)
        except Exception as error:
            rows.append(Row(*who, batch, note=_line(error)))
            continue
        measured.append((batch, timing.median))
        few = timing.repeats < min(3, repeats)
        notes = [note, f"runs: {timing.repeats}" if few else ""]
        rows.append(Row(*who, batch, timing, "; ".join(filter(None, notes))))
    return rows


def _extrapolate(measured: Sequence[tuple[int, float]], batch: int) -> float:
    """Continue the line through the last two measured points; at least the last one."""
    if len(measured) < 2:
        return 0.0
    (n0, t0), (n1, t1) = measured[-2:]
    return max(t1, t1 + (t1 - t0) / (n1 - n0) * (batch - n1))


def _passes(teacher: Density, features: Features, sites: int | None) -> Callable[[int], float]:
    """Estimate plain sampling: one pass scores all sites, and each site takes one."""

    def estimate(batch: int) -> float:
        like = next(teacher.parameters())
        shape = (batch, teacher.spec.sites or sites or 1)
        x = torch.zeros(shape, device=like.device, dtype=like.dtype)
        given = rows(features, batch, like.device)
        with torch.no_grad():
            return measure(lambda: teacher.log_prob(x, given), 2).minimum * x.shape[1]

    return estimate


def _compiled(student: Flow, features: Features, sites: int | None) -> Sampler:
    fast: list[Callable] = []

    @torch.no_grad()
    def sample(count: int) -> object:
        if not fast:
            fast.append(torch.compile(student.bijector, dynamic=True))
        context = student.context(rows(features, count, device_of(student)))
        return fast[0](student.noise(count, sites=sites), context)

    return sample


def sites_of(spec: DataSpec, sites: int | None = None) -> int | None:
    """Return the length to sample: the data's own; for signals the one wanted, or a second.

    Rounded up to whole frames.

    Example:
        >>> sites_of(DataSpec(sites=None, sample_rate=8000, hop=64))
        8000
        >>> sites_of(DataSpec(sites=2)), sites_of(DataSpec(sites=None, hop=64), 100)
        (2, 128)
    """
    if spec.sites is not None:
        return spec.sites
    wanted = sites or spec.sample_rate
    return None if wanted is None else math.ceil(wanted / spec.hop) * spec.hop


def cut(features: Features, spec: DataSpec, sites: int | None) -> Features:
    """Return features of just so many sites, frames that are missing taken from the beginning."""
    if not features or sites is None:
        return features
    frames = torch.arange(sites // spec.hop)
    return {
        name: value[:, frames % value.shape[1]] if spec.features[name].kind == "frames" else value
        for name, value in features.items()
    }


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"unavailable: {type(error).__name__}: {text[:120]}"
