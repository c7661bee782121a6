"""Divergences that compare the student's conditional of each site with the teacher's."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from distill import rows
from distill.checks import check_number
from distill.contract import Batch, Draw
from distill.distributions import Base, Conditional, GaussianHead, Normal
from distill.models import AutoregressiveDensity, Density, Flow
from distill.objectives.kl import total
from distill.objectives.objective import Loss, Objective, Schedule, at, check_weight, per_site


class FreeEntropyKL(Objective):
    r"""KL(student‖teacher) by the free entropy and K redraws of every site.

    $$H(q) = \sum_t \log s_t + H_0,\qquad
      H(q,p) = -\sum_t \frac1K\sum_k \log p(x_t^{(k)} \mid x_{<t}),\quad
      x_t^{(k)} = \mu_t + s_t\epsilon_k$$

    One student draw and one teacher pass; only $x_t$ is drawn again, from the student's own
    conditional, against the same teacher parameters. $H_0$ is the base's entropy (2 nats for the
    logistic), and the entropy's weight is exactly 1.

    Arguments:
        redraws: K.

    Source: van den Oord et al., Parallel WaveNet, 2017, arXiv 1711.10433.
    """

    def __init__(self, redraws: int = 8) -> None:
        super().__init__()
        check_number("FreeEntropyKL: redraws", redraws, low=1, whole=True)
        self.redraws = redraws

    def extra_repr(self) -> str:
        """Show the setting."""
        return f"redraws={self.redraws}"

    def check(self, student: Flow, teacher: Density) -> None:
        """Refuse a student or a teacher without conditionals."""
        check_conditionals(self, student, teacher)

    def forward(
        self, draw: Draw, student: Flow, teacher: Density, batch: Batch, progress: float
    ) -> Loss:
        """Average cross-entropy minus entropy over batch and sites."""
        conditional, x, base = conditional_of(teacher, draw, batch), draw.x, student.base
        assert isinstance(base, Base)
        sample = partial(base.sample, device=x.device, dtype=x.dtype)
        noise = rows.drawn(sample, (self.redraws, *x.shape), x.device, axis=1)
        redrawn = torch.addcmul(draw.loc, noise, draw.log_scale.exp())
        entropy = draw.log_scale + base.entropy
        kl = -entropy - conditional.log_prob(redrawn).mean(0)
        return _loss(kl, draw, batch)


class GaussianKL(Objective):
    r"""Closed-form KL of Gaussian conditionals, with a pull on the log-scales.

    $$\mathrm{KL}(q\|p) = \log\frac{s_p}{s_q} + \frac{s_q^2 - s_p^2 + (\mu_p-\mu_q)^2}{2 s_p^2},
      \qquad \lambda(\log s_p - \log s_q)^2$$

    Log-scales are clipped from below inside the KL, both where the teacher's head clips its own
    (`Distillation.min_log_scale`), and left alone in the pull, so that it has a gradient where the
    KL has none.

    Arguments:
        pull: $\lambda$, a number or a schedule.
        reverse: KL(student‖teacher) if true, KL(teacher‖student) of conditionals if false.

    Source: Ping et al., ClariNet, 2018, arXiv 1807.07281.
    """

    def __init__(self, pull: float | Schedule = 4.0, reverse: bool = True) -> None:
        super().__init__()
        check_weight("GaussianKL: pull", pull)
        self.pull = pull
        self.reverse = reverse

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"pull={self.pull}, reverse={self.reverse}"

    def check(self, student: Flow, teacher: Density) -> None:
        """Refuse a pair that is not Gaussian on both sides."""
        check_conditionals(self, student, teacher)
        assert isinstance(teacher, AutoregressiveDensity)
        if not isinstance(teacher.head, GaussianHead) or not isinstance(student.base, Normal):
            raise ValueError(
                "GaussianKL: wanted a Gaussian teacher head and a normal student base, got "
                f"{type(teacher.head).__name__} and {type(student.base).__name__}. Use "
                "objective=free_entropy_kl, which needs only the teacher's log-prob."
            )

    def forward(
        self, draw: Draw, student: Flow, teacher: Density, batch: Batch, progress: float
    ) -> Loss:
        """Average the closed form and the pull over batch and sites."""
        conditional = conditional_of(teacher, draw, batch)
        head, raw_p = conditional.head, conditional.unclipped_log_scale
        assert isinstance(head, GaussianHead)
        lowest = conditional.in_units(raw_p.new_full((1,), head.min_log_scale))
        q = draw.loc, torch.maximum(draw.log_scale, lowest)
        p = conditional.loc, conditional.log_scale
        kl = gaussian_kl(*q, *p) if self.reverse else gaussian_kl(*p, *q)
        pull = per_site((raw_p - draw.log_scale).square(), batch.mask)
        loss = _loss(kl, draw, batch)
        clipped = (draw.log_scale < lowest).float()
        parts = {"pull": pull.detach(), "clipped": rows.mean(clipped), **loss.parts}
        return Loss(loss.value + at(self.pull, progress) * pull, parts)


def gaussian_kl(loc_q: Tensor, log_q: Tensor, loc_p: Tensor, log_p: Tensor) -> Tensor:
    """KL of two Gaussians from locations and log-scales, in nats.

    Example:
        >>> zero = torch.zeros(1)
        >>> gaussian_kl(zero + 1, zero, zero, zero).item()
        0.5
    """
    # expm1 keeps the difference of nearly equal scales exact.
    ratio = torch.expm1(2 * (log_q - log_p))
    return log_p - log_q + 0.5 * (ratio + ((loc_p - loc_q) * (-log_p).exp()).square())


def conditional_of(teacher: Density, draw: Draw, batch: Batch) -> Conditional:
    """Score the student's own draw once: the teacher's context is never ground truth."""
    assert isinstance(teacher, AutoregressiveDensity)
    return teacher.conditional(draw.x, batch.given("teacher"))


def check_conditionals(objective: Objective, student: Flow, teacher: Density) -> None:
    """Raise unless both sides have a distribution of each site given those before it."""
    name = type(objective).__name__
    if getattr(teacher, "outer", None) is not None:
        raise ValueError(
            f"{name}: wanted a teacher before its outer bijector, where its sites have "
            f"conditionals, got one that ends in {type(teacher.outer).__name__}. Take {name} out "
            "of OnSignal: a KL is the same before it."
        )
    if not student.locatable or not isinstance(student.base, Base):
        raise ValueError(
            f"{name}: wanted a student that keeps the order of sites with affine transforms, so "
            "that each site has a location and a scale; this one permutes or bends them. Build it "
            "with between=none and affine transforms, or use objective=reverse_kl."
        )
    if not isinstance(teacher, AutoregressiveDensity) or not teacher.head.differentiable:
        what = type(teacher).__name__
        if isinstance(teacher, AutoregressiveDensity):
            what = f"{type(teacher.head).__name__}, which has no gradient in x"
        raise ValueError(
            f"{name}: wanted a teacher with a continuous conditional of each site (a WaveNet with "
            f"a Gaussian, logistic or mixture head), got {what}. Train such a teacher, or use "
            "objective=reverse_kl with a density that has a gradient."
        )
    order = teacher.conditioner.order
    if order is not None and list(order) != sorted(order):
        raise ValueError(
            f"{name}: wanted a teacher that reads sites in their natural order, as the student "
            f"does, got order={list(order)[:8]}. Build it with order=natural, or use "
            "objective=reverse_kl."
        )


def _loss(kl: Tensor, draw: Draw, batch: Batch) -> Loss:
    plain = kl.detach()
    log_scale = per_site(draw.log_scale.detach(), batch.mask)
    parts = {
        "kl": total(plain, batch.mask),
        "kl_per_site": per_site(plain, batch.mask),
        "log_scale": log_scale,
    }
    return Loss(per_site(kl, batch.mask), parts)
