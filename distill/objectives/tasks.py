"""What is trained: a density by likelihood, or a student against its teacher.

The loop calls a task's `forward`, so data-parallel wrappers, compilation and hooks see the whole
step, and the loop need not know which of the two it runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from distill.checks import check_number
from distill.contract import Batch
from distill.models import AutoregressiveDensity, Density, Flow, freeze
from distill.models.foreign import ForeignDensity
from distill.models.outer import outer_difference
from distill.objectives.kl import total
from distill.objectives.objective import Loss, Objective, Schedule, at, check_weight, per_site

MIN_LOG_SCALE = -7.0
"""Lowest log-scale of a teacher's site in distillation, in units of the data's scale."""


class Task(nn.Module):
    """A model and what it is trained for: `forward(batch, progress)` gives a `Loss`.

    Attributes:
        model: The model that is trained.
    """

    model: Density

    def forward(self, batch: Batch, progress: float) -> Loss:
        """Compute the loss of one batch."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")


class Likelihood(Task):
    """Maximum likelihood: the negative log-density of the data, in one parallel pass.

    Arguments:
        model: The density to train.
        loss_warmup: Sites at the start of each value that are left out of the loss.
        history_noise: Noise on the past that each site is predicted from, in units of the model's
            own spread, a number or a schedule. What is reported is the score after that past.

    Errors:
        ValueError: Noise on the past of a model that has none.
    """

    def __init__(
        self, model: Density, loss_warmup: int = 0, history_noise: float | Schedule = 0.0
    ) -> None:
        super().__init__()
        check_weight("likelihood.history_noise", history_noise)
        if history_noise != 0 and not isinstance(model, AutoregressiveDensity):
            raise ValueError(
                "likelihood.history_noise: wanted a model that predicts each site from those "
                f"before it, got {type(model).__name__}. Leave it at 0, or take a WaveNet teacher."
            )
        check_number("loss_warmup", loss_warmup, low=0, whole=True)
        self.model = model
        self.loss_warmup = loss_warmup
        self.history_noise = history_noise

    def forward(self, batch: Batch, progress: float) -> Loss:
        """Average the negative log-density over the batch and over sites."""
        batch = without_start(batch, self.loss_warmup)
        noise = at(self.history_noise, progress)
        if noise:
            assert isinstance(self.model, AutoregressiveDensity)
            log_prob = self.model.log_prob_from_noisy_past(batch.x, noise, batch.features)
        else:
            log_prob = self.model.log_prob(batch.x, batch.features)
        loss = -per_site(log_prob, batch.mask)
        parts = {"nll": -total(log_prob.detach(), batch.mask), "nll_per_site": loss.detach()}
        return with_estimates(Loss(loss, parts), self.model, batch)


class Distillation(Task):
    """Minimize an objective between the student's draws and a frozen teacher.

    Arguments:
        student: The flow to train.
        teacher: The density to match. It is frozen here: no gradient for its weights, but x keeps
            its graph through it.
        objective: Turns draw and teacher into one number.
        encoder: Where the student's encoder of features starts: `own` (as it was built), `copied`
            from the teacher's and trained on, or `shared`, copied and frozen.
        loss_warmup: Sites at the start of each value that are left out of the loss: the models'
            receptive field, where a crop's past is missing.
        min_log_scale: Lowest log-scale of a teacher's site that any objective sees, in units of
            the data's scale. ClariNet takes -6 or -7; at -9 a location off by 0.05 costs 8e4 nats.

    Errors:
        ValueError: Student and teacher are of different data, the objective refuses the pair, or
            the encoders differ and one is to be taken over.
    """

    def __init__(
        self,
        student: Flow,
        teacher: Density,
        objective: Objective,
        encoder: str = "own",
        loss_warmup: int = 0,
        min_log_scale: float = MIN_LOG_SCALE,
    ) -> None:
        super().__init__()
        if student.spec != teacher.spec:
            raise ValueError(
                "Distillation: wanted a student and a teacher of the same data, got "
                f"{student.spec} and {teacher.spec}. Build the student from the teacher's spec."
            )
        if student is teacher:
            raise ValueError(
                "Distillation: wanted a student and another density as its teacher, got one model "
                "for both. Build a student of its own, as iaf(teacher.spec)."
            )
        self.model = student
        self.objective = objective
        self.shares_encoder = encoder == "shared"
        check_number("loss_warmup", loss_warmup, low=0, whole=True)
        if loss_warmup and isinstance(teacher, ForeignDensity):
            raise ValueError(
                f"loss_warmup: wanted 0 with a density of another library, which scores whole "
                f"values, got {loss_warmup}. Leave it out."
            )
        self.loss_warmup = loss_warmup
        check_number("min_log_scale", min_log_scale)
        self.min_log_scale = min_log_scale
        check_same_outer(student, teacher)
        objective.check(student.core, teacher.core)
        if encoder not in ("own", "copied", "shared"):
            raise ValueError(
                "encoder (student_encoder of a run): wanted own, copied or shared, got "
                f"{encoder!r}."
            )
        self.teacher = freeze(teacher)  # not before it is known to serve
        if encoder != "own":
            take_encoder(student, teacher, freeze=encoder == "shared")

    def train(self, mode: bool = True) -> Self:
        """Set the student's mode; the teacher stays in evaluation."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, batch: Batch, progress: float) -> Loss:
        """Encode features once, draw once where the objective reads a draw, and compare."""
        student: Flow = self.model  # type: ignore[assignment]
        batch = without_start(batch, self.loss_warmup)
        noise = student.noise(batch.x.shape[0], sites=batch.x.shape[1])
        context = student.context(batch.features)
        theirs = context if self.shares_encoder else self.teacher.context(batch.features)
        with torch.no_grad():
            value, _ = student.inward(batch.x, context)
        contexts = {"student": context, "teacher": theirs}
        # Without an encoder a model reads the features themselves.
        contexts = {role: given for role, given in contexts.items() if given is not None}
        inner = Batch(value, batch.features, batch.mask, contexts)
        # The one place where models are stripped of the bijector that they share.
        core, teacher = student.core, self.teacher.bounded(self.min_log_scale).core
        draw = core.draw(noise, context) if self.objective.wants_draw(progress) else None
        loss = self.objective(draw, core, teacher, inner, progress)
        return with_estimates(loss, student, batch)


def check_same_outer(student: Density, teacher: Density) -> None:
    """Raise unless both models end in the same bijector, or in none."""
    other = outer_difference(student, teacher)
    if other is not None:
        raise ValueError(
            f"Distillation: wanted a student with its teacher's outer bijector, {other}. Build "
            "both with the same outer=..., of the same data: they are compared before it."
        )


def with_estimates(loss: Loss, model: Density, batch: Batch) -> Loss:
    """Add what trains an encoder to find the features that may be left out."""
    encoder: nn.Module | None = getattr(model, "encoder", None)
    learn = getattr(encoder, "loss", None)
    if encoder is None or learn is None or not any(p.requires_grad for p in encoder.parameters()):
        return loss
    found: dict[str, Tensor] = learn(batch.practice or batch.features)
    parts = {**loss.parts, **{name: value.detach() for name, value in found.items()}}
    return Loss(sum(found.values(), loss.value), parts)


def without_start(batch: Batch, sites: int) -> Batch:
    """Mask the first sites of every value.

    Example:
        >>> import torch
        >>> without_start(Batch(torch.zeros(1, 4)), 2).mask.tolist()
        [[0.0, 0.0, 1.0, 1.0]]
    """
    if not sites:
        return batch
    if sites >= batch.x.shape[1]:
        raise ValueError(
            f"loss_warmup: wanted fewer sites than a value has ({batch.x.shape[1]}), got "
            f"{sites}. Take "
            "longer crops, or a shorter warm-up."
        )
    mask = torch.ones_like(batch.x) if batch.mask is None else batch.mask.clone()
    mask[:, :sites] = 0
    return replace(batch, mask=mask)


def take_encoder(student: Flow, teacher: Density, freeze: bool) -> None:
    """Give the student a copy of the teacher's encoder, so that it stays whole by itself."""
    mine, theirs = student.encoder, getattr(teacher, "encoder", None)
    if mine is None or theirs is None or repr(mine) != repr(theirs):
        raise ValueError(
            "encoder (student_encoder of a run): wanted encoders of the same form to take over, "
            f"got {mine} and {theirs}. Give student and teacher the same encoder settings, or "
            "leave it at own."
        )
    mine.load_state_dict(theirs.state_dict())
    mine.requires_grad_(not freeze)
