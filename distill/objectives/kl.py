"""Divergences between student and teacher, by log-ratios."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from distill import rows
from distill.checks import check_number
from distill.contract import Batch, Draw
from distill.distributions import Head
from distill.models import Density, Flow
from distill.objectives.objective import Loss, Objective, Schedule, at, check_weight, per_site


class ReverseKL(Objective):
    r"""$\mathrm{KL}(q\|p) = E_{x\sim q}[\log q(x) - \log p(x)]$ on the student's own draw.

    The draw already carries $\log q$, so one parallel pass of each model is all. With a `beta`
    below 1 the teacher is tempered, $E[\log q - \beta\log p]$: a flatter target whose modes a
    young student still reaches. Plain reverse KL (`beta=1` throughout) settles on one of several
    modes.

    Arguments:
        beta: Weight of the teacher's log-density, a number or a schedule that ends at 1.

    Source: van den Oord et al., Parallel WaveNet, 2017, arXiv 1711.10433.

    Example:
        >>> from distill.contract import DataSpec
        >>> from distill.models import iaf
        >>> flow = iaf(DataSpec(sites=2), layers=1, hidden=[4])
        >>> draw = flow.draw(torch.zeros(3, 2))
        >>> ReverseKL()(draw, flow, flow, Batch(draw.x), 0.0).value.item()
        0.0
    """

    def __init__(self, beta: float | Schedule = 1.0) -> None:
        super().__init__()
        check_weight("ReverseKL: beta", beta)
        self.beta = beta

    def extra_repr(self) -> str:
        """Show the weight."""
        return f"beta={self.beta}"

    def check(self, student: Flow, teacher: Density) -> None:
        """Refuse a teacher whose log-prob has no gradient in x."""
        check_gradient(self, teacher)

    def forward(
        self, draw: Draw, student: Flow, teacher: Density, batch: Batch, progress: float
    ) -> Loss:
        """Average the (tempered) log-ratio; `parts` hold the plain KL in nats."""
        beta = at(self.beta, progress)
        log_p = teacher.log_prob(draw.x, batch.given("teacher"))
        loss = per_site(draw.log_prob - beta * log_p, batch.mask)
        ratio = (draw.log_prob - log_p).detach()
        parts = {
            "kl": total(ratio, batch.mask),
            "kl_per_site": per_site(ratio, batch.mask),
            "log_q": per_site(draw.log_prob.detach(), batch.mask),
            "beta": torch.tensor(beta),
        }
        return Loss(loss, parts)


class ForwardKL(Objective):
    r"""$\mathrm{KL}(p\|q) = E_{x\sim p}[\log p(x) - \log q(x)]$ on the teacher's samples.

    It covers every mode, at a price: the student has to score a foreign x, which costs an IAF T
    passes a layer (2 for a point in the plane; out of reach for audio), and the teacher has to be
    sampled, which costs a MAF T steps a layer. `pool` samples are drawn once, at the first batch,
    and used in turn; with features, the teacher is sampled for each batch.

    Arguments:
        pool: Number of teacher samples drawn in advance; 0 draws anew for each batch.

    Errors:
        ValueError: A pool below 0.
    """

    def __init__(self, pool: int = 0) -> None:
        super().__init__()
        check_number(f"{type(self).__name__}: pool", pool, low=0, whole=True)
        self.pool = pool
        self._samples: tuple[Tensor, Tensor] | None = None

    def extra_repr(self) -> str:
        """Show the size of the pool."""
        return f"pool={self.pool}"

    def check(self, student: Flow, teacher: Density) -> None:
        """Refuse a teacher of levels, whose log-prob is no density; forget another's samples."""
        check_gradient(self, teacher)
        self._samples = None

    def wants_draw(self, progress: float) -> bool:
        """Return that it does not: the student scores, and never draws."""
        return False

    def forward(
        self, draw: Draw | None, student: Flow, teacher: Density, batch: Batch, progress: float
    ) -> Loss:
        """Average the log-ratio on teacher samples."""
        x, log_p = self._teacher_samples(student, teacher, batch)
        ratio = log_p - student.log_prob(x, batch.given("student"))
        plain, mask = ratio.detach(), batch.mask
        return Loss(
            per_site(ratio, mask), {"kl": total(plain, mask), "kl_per_site": per_site(plain, mask)}
        )

    @torch.no_grad()
    def _teacher_samples(
        self, student: Flow, teacher: Density, batch: Batch
    ) -> tuple[Tensor, Tensor]:
        """Return samples with their log-density, in the student's precision."""
        count, sites = batch.x.shape
        like = next(student.parameters(), batch.x)
        if not self.pool or batch.features:
            given = batch.given("teacher")
            x = teacher.sample(count, given, sites=sites)
            return x.to(like), teacher.log_prob(x, given).to(like)
        if self._samples is None:
            # A seed of its own: the pool is then the same after a resume.
            x = teacher.sample(self.pool, sites=sites, seed=self.pool)
            self._samples = x.to(like), teacher.log_prob(x).to(like)
        device = batch.x.device
        pick = rows.drawn(partial(torch.randint, self.pool, device=device), (count,), device)
        return self._samples[0][pick], self._samples[1][pick]


class JensenShannon(ForwardKL):
    r"""$\tfrac12\mathrm{KL}(q\|m) + \tfrac12\mathrm{KL}(p\|m)$, $m = (p+q)/2$; at most ln 2 nats.

    Costs what the forward KL costs. Its gradient vanishes where the two densities do not overlap,
    so it refines a student rather than finding its modes.

    Arguments:
        pool: Number of teacher samples drawn in advance; 0 draws anew for each batch.

    Source: Lin, Divergence measures based on the Shannon entropy, 1991.
    """

    def wants_draw(self, progress: float) -> bool:
        """Return that it does, for the half of the student."""
        return True

    def forward(
        self, draw: Draw | None, student: Flow, teacher: Density, batch: Batch, progress: float
    ) -> Loss:
        """Average both halves; densities of whole values enter the mixture, not those of sites.

        Errors:
            ValueError: Sites are to be left out.
        """
        assert draw is not None
        if batch.mask is not None:
            raise ValueError(
                "JensenShannon: wanted whole values, whose densities it mixes, got sites to leave "
                "out. Set loss_warmup=0, or use another objective."
            )
        x, log_p = self._teacher_samples(student, teacher, batch)
        log_q = student.log_prob(x, batch.given("student"))
        from_teacher = _log_ratio_to_mean(log_p.sum(1), log_q.sum(1))
        own_log_p = teacher.log_prob(draw.x, batch.given("teacher")).sum(1)
        from_student = _log_ratio_to_mean(draw.log_prob.sum(1), own_log_p)
        value = 0.5 * (rows.mean(from_teacher) + rows.mean(from_student))
        return Loss(value / draw.x.shape[1], {"js": value.detach()})


def check_gradient(objective: Objective, teacher: Density) -> None:
    """Raise unless the teacher's log-prob can tell the student where to go."""
    head = getattr(teacher, "head", None)
    if isinstance(head, Head) and not head.differentiable:
        raise ValueError(
            f"{type(objective).__name__}: wanted a teacher whose log-prob has a gradient in x, got "
            f"one with a {type(head).__name__} head, which sees levels, not values. Train a "
            "teacher with a Gaussian, logistic or mixture head to distill from."
        )


def total(log_ratio: Tensor, mask: Tensor | None = None) -> Tensor:
    """Sum `(B, T)` over sites and average over the batch: nats."""
    return rows.mean(rows.weighed(log_ratio, mask).sum(1))


def _log_ratio_to_mean(log_own: Tensor, log_other: Tensor) -> Tensor:
    return log_own - torch.logaddexp(log_own, log_other) + math.log(2)
