"""What is trained: a density by likelihood, or a student against its teacher.

The loop calls a task's `forward`, so data-parallel wrappers, compilation and hooks see the whole
step, and the loop need not know which of the two it runs.
"""

from __future__ import annotations

from typing import Self

from torch import nn

from distill.contract import Batch
from distill.models import Density, Flow, freeze
from distill.objectives.kl import total
from distill.objectives.objective import Loss, Objective, per_site


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
    """

    def __init__(self, model: Density) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, progress: float) -> Loss:
        """Average the negative log-density over the batch and over sites."""
        log_prob = self.model.log_prob(batch.x, batch.features)
        loss = -per_site(log_prob, batch.mask)
        return Loss(
            loss, {"nll": -total(log_prob.detach(), batch.mask), "nll_per_site": loss.detach()}
        )


class Distillation(Task):
    """Minimize an objective between the student's draws and a frozen teacher.

    Arguments:
        student: The flow to train.
        teacher: The density to match. It is frozen here: no gradient for its weights, but x keeps
            its graph through it.
        objective: Turns draw and teacher into one number.

    Errors:
        ValueError: Student and teacher are of different data, or the objective refuses the pair.
    """

    def __init__(self, student: Flow, teacher: Density, objective: Objective) -> None:
        super().__init__()
        if student.spec != teacher.spec:
            raise ValueError(
                "Distillation: wanted a student and a teacher of the same data, got "
                f"{student.spec} and {teacher.spec}. Build the student from the teacher's spec."
            )
        self.model = student
        self.teacher = freeze(teacher)
        self.objective = objective
        objective.check(student, teacher)

    def train(self, mode: bool = True) -> Self:
        """Set the student's mode; the teacher stays in evaluation."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, batch: Batch, progress: float) -> Loss:
        """Draw once with the batch's features, and compare."""
        student: Flow = self.model  # type: ignore[assignment]
        noise = student.noise(*batch.x.shape[:1], sites=batch.x.shape[1])
        draw = student(noise, batch.features)
        return self.objective(draw, student, self.teacher, batch, progress)
