"""Divergences between student and teacher, by log-ratios, with standard errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.checks import check_number, check_seed
from distill.contract import Features
from distill.evaluation.estimate import Estimate
from distill.evaluation.placing import (
    evaluating,
    move,
    place_of,
    rows_at_once,
    rows_of,
    total_of,
)
from distill.models import Density, Flow
from distill.sharing import each


@dataclass(frozen=True)
class Scores:
    """The same values under student and teacher: log-densities `(N,)` in nats a value.

    Arguments:
        x: The values `(N, T)`.
        student: Log-density of each under the student.
        teacher: Log-density of each under the teacher.
    """

    x: Tensor
    student: Tensor
    teacher: Tensor


def reverse_kl(
    student: Density,
    teacher: Density,
    count: int = 10_000,
    seed: int = 0,
    features: Features = None,
    *,
    sites: int | None = None,
    size: int = 4096,
) -> Estimate:
    r"""Estimate $KL(q\|p) = E_q[\log q(x) - \log p(x)]$ on the student's own draws, in nats.

    Every term is 0 when the two models are the same, so estimate and standard error then are too.

    Arguments:
        student: q.
        teacher: p.
        count: Number of draws.
        seed: Of the draws.
        features: Conditioning; its rows are used in turn.
        sites: T, where the models do not fix it.
        size: Values at once.
    """
    return reverse_kl_of(score_draws(student, teacher, count, seed, features, sites, size))


def forward_kl(
    student: Density,
    teacher: Density,
    count: int = 10_000,
    seed: int = 0,
    features: Features = None,
    *,
    sites: int | None = None,
    size: int = 4096,
) -> Estimate:
    r"""Estimate $KL(p\|q) = E_p[\log p(x) - \log q(x)]$ on the teacher's samples, in nats a value.

    It is large where the student misses what the teacher covers. An IAF student and a MAF teacher
    both pay T sequential steps a batch. Arguments are those of `reverse_kl`.
    """
    return forward_kl_of(score_samples(student, teacher, count, seed, features, sites, size))


def jensen_shannon(draws: Scores, samples: Scores) -> Estimate:
    r"""Estimate $\tfrac12 KL(q\|m) + \tfrac12 KL(p\|m)$ with $m = (p + q)/2$; at most ln 2.

    Arguments:
        draws: The student's draws under both (`score_draws`).
        samples: The teacher's samples under both (`score_samples`).
    """
    # log m - log q = log((1 + p/q) / 2)
    mine = math.log(2) - F.softplus(draws.teacher - draws.student)
    theirs = math.log(2) - F.softplus(samples.student - samples.teacher)
    a, b = Estimate.of(mine), Estimate.of(theirs)
    error = 0.5 * math.hypot(a.standard_error, b.standard_error)
    return Estimate(0.5 * (a.mean + b.mean), error, a.count + b.count)


def reverse_kl_of(draws: Scores) -> Estimate:
    """Estimate KL(student||teacher) from the student's draws under both."""
    return Estimate.of(draws.student - draws.teacher)


def forward_kl_of(samples: Scores) -> Estimate:
    """Estimate KL(teacher||student) from the teacher's samples under both."""
    return Estimate.of(samples.teacher - samples.student)


def score_draws(
    student: Density,
    teacher: Density,
    count: int,
    seed: int,
    features: Features = None,
    sites: int | None = None,
    size: int = 4096,
) -> Scores:
    """Draw from the student and score under both; the arguments are those of `reverse_kl`."""
    by_draw = isinstance(student, Flow) and not _same(student, teacher)

    def both(rows: int, chunk_seed: int, chunk: Features) -> tuple[Tensor, Tensor, Tensor]:
        if by_draw:
            noise = student.noise(rows, sites=sites, seed=chunk_seed)  # type: ignore[operator]
            draw = student.draw(noise, chunk)  # type: ignore[operator]
            x, mine = draw.x, draw.log_prob
        else:
            # A model against itself is scored by one path: rounding is no divergence.
            x = student.sample(rows, chunk, sites=sites, seed=chunk_seed)
            mine = student.log_prob(x, chunk)
        return x, mine, _score(teacher, x, chunk)

    return _collect(both, student, teacher, count, seed, features, sites, size)


def score_samples(
    student: Density,
    teacher: Density,
    count: int,
    seed: int,
    features: Features = None,
    sites: int | None = None,
    size: int = 4096,
) -> Scores:
    """Sample from the teacher and score under both; the arguments are those of `reverse_kl`."""

    def both(rows: int, chunk_seed: int, chunk: Features) -> tuple[Tensor, Tensor, Tensor]:
        chunk = move(chunk, *place_of(teacher))
        x = teacher.sample(rows, chunk, sites=sites, seed=chunk_seed)
        return x, _score(student, x, chunk), teacher.log_prob(x, chunk)

    return _collect(both, student, teacher, count, seed, features, sites, size)


@torch.no_grad()
def _collect(
    both: Callable[[int, int, Features], tuple[Tensor, Tensor, Tensor]],
    student: Density,
    teacher: Density,
    count: int,
    seed: int,
    features: Features,
    sites: int | None,
    size: int,
) -> Scores:
    check_number("count", count, low=1, whole=True)
    check_number("size", size, low=1, whole=True)
    check_seed(seed)
    sites = sites or student.spec.sites
    # Each chunk has a seed of its own, from the one that was given.
    seeds = torch.Generator().manual_seed(seed)
    step = rows_at_once(size, sites)
    chunks = [
        (first, int(torch.randint(2**31, (), generator=seeds))) for first in range(0, count, step)
    ]

    def score(chunk: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        first, chunk_seed = chunk
        rows = min(step, count - first)
        given = move(rows_of(features, first, rows), *place_of(student))
        x, mine, theirs = both(rows, chunk_seed, given)
        return x.cpu(), total_of(mine).cpu(), total_of(theirs).cpu()

    with evaluating(student, teacher):
        parts = each(chunks, score)
    return Scores(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _score(model: Density, x: Tensor, features: Features) -> Tensor:
    device, dtype = place_of(model)
    return model.log_prob(x.to(device, dtype), move(features, device, dtype))


def _same(student: Density, teacher: Density) -> bool:
    if student is teacher:
        return True
    mine, theirs = student.state_dict(), teacher.state_dict()
    return (
        repr(student) == repr(teacher)
        and mine.keys() == theirs.keys()
        and all(torch.equal(v.cpu(), theirs[k].cpu()) for k, v in mine.items())
    )
