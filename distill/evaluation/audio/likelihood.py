"""Likelihood and reverse KL of sounds, per site, with standard errors over clips."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from distill.distributions import MuLaw
from distill.evaluation.audio.clips import HeldOutClip, in_batches
from distill.evaluation.estimate import Estimate
from distill.evaluation.placing import evaluating, move, place, place_of, total_of
from distill.models import AutoregressiveDensity, Density, Flow
from distill.models.outer import outer_difference

_PCM_BITS = 16


def ratio_estimate(totals: Tensor, sites: Tensor) -> Estimate:
    r"""Estimate $\sum_i s_i / \sum_i n_i$ from independent clips of unequal length.

    The standard error is that of a ratio, from the clips' residuals $s_i - \hat m n_i$.

    Arguments:
        totals: Sum of each clip `(N,)`.
        sites: Sites of each clip `(N,)`.

    Errors:
        ValueError: Fewer than two clips.

    Example:
        >>> print(ratio_estimate(torch.tensor([2.0, 4.0]), torch.tensor([1.0, 2.0])))
        2.0000 +- 0.0000 (2 values)
    """
    if len(totals) < 2:
        raise ValueError(
            f"ratio_estimate: wanted at least 2 clips, got {len(totals)}. Hold out more of the "
            "data, or evaluate more clips."
        )
    totals, sites = totals.double(), sites.double()
    mean = totals.sum() / sites.sum()
    residual = totals - mean * sites
    count = len(totals)
    error = math.sqrt(count / (count - 1) * float(residual.square().sum())) / float(sites.sum())
    return Estimate(float(mean), error, count)


@torch.no_grad()
def nll_per_site(model: Density, clips: Sequence[HeldOutClip], skip: int = 0) -> Estimate:
    r"""Negative log-likelihood of the clips, $-\log p(x_t \mid x_{<t}, c)$, in nats a site.

    Arguments:
        model: A density; a parallel flow pays T sequential steps.
        clips: Held-out clips.
        skip: Sites left out at the start of each.
    """
    device, dtype = place_of(model)
    totals, sites = [], []
    with evaluating(model):
        for _, batch in in_batches(clips, model.spec):
            moved = place(batch, device, dtype)
            mask = _without_start(moved.mask, skip)
            totals.append(-total_of(model.log_prob(moved.x, moved.features), mask).cpu())
            sites.append(mask.sum(-1).cpu())
    return ratio_estimate(torch.cat(totals), torch.cat(sites))


@torch.no_grad()
def kl_per_site(
    student: Flow,
    teacher: Density,
    clips: Sequence[HeldOutClip],
    seed: int,
    skip: int = 0,
    draws: int = 2,
) -> Estimate:
    r"""Reverse KL, $E_q[\log q(x) - \log p(x)]$ on the student's own draws, in nats a site.

    Models that end in the same outer bijector are compared before it, where the KL is the same.

    Arguments:
        student: q.
        teacher: p.
        clips: Their features and lengths are used.
        seed: Of the draws.
        skip: Sites left out at the start of each: the first receptive field, say.
        draws: Draws of each clip.
    """
    device, dtype = place_of(student)
    totals, sites = [], []
    with evaluating(student, teacher):
        alike = outer_difference(student, teacher) is None
        mine, theirs = (student.core, teacher.core) if alike else (student, teacher)
        for number, (part, batch) in enumerate(in_batches(list(clips) * draws, student.spec)):
            features = move(batch.features, device, dtype)
            noise = student.noise(len(part), sites=batch.x.shape[1], seed=seed + number)
            draw = mine.draw(noise, features)
            there, precision = place_of(teacher)
            log_p = theirs.log_prob(draw.x.to(there, precision), move(features, there, precision))
            assert batch.mask is not None
            mask = _without_start(batch.mask.to(device), skip)
            totals.append(total_of(draw.log_prob - log_p.to(device), mask).cpu())
            sites.append(mask.sum(-1).cpu())
    return ratio_estimate(torch.cat(totals), torch.cat(sites))


def bits_per_sample(model: Density, nats: float) -> float:
    """Turn nats a site into the bits that a 16-bit sample costs.

    A density on [-1, 1) gives a level of width 2^-15 its mass; a mu-law head gives a level's
    probability itself, so its bits are those of one of its few levels.
    """
    if isinstance(model, AutoregressiveDensity) and isinstance(model.head, MuLaw):
        return nats / math.log(2)
    return nats / math.log(2) + _PCM_BITS - 1


def _without_start(mask: Tensor | None, skip: int) -> Tensor:
    assert mask is not None
    if not skip:
        return mask
    kept = mask.clone()
    kept[:, :skip] = 0
    if not kept.any():
        raise ValueError(
            f"skip: wanted clips longer than the {skip} sites left out at their start, got "
            f"{mask.shape[1]} sites. Leave out fewer, or evaluate longer clips."
        )
    return kept
