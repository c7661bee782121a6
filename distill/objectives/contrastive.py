"""The contrastive term: a student's sound must not suit another text."""

from __future__ import annotations

from distill import rows
from distill.checks import check_number
from distill.contract import Batch, Context, Draw, Features
from distill.models import Density, Flow
from distill.objectives.kl import check_gradient
from distill.objectives.objective import Loss, Objective


class Contrastive(Objective):
    r"""$\mathrm{KL}(q(c_1)\|p(c_1)) - \gamma\,\mathrm{KL}(q(c_1)\|p(c_2))$, the second half of it.

    This is the term with the minus sign; sum it with a KL. $c_2$ are the features of the next value
    of the batch. Only the teacher's score differs between the two, so the second KL's entropy is
    that of the same draw.

    Arguments:
        gamma: Weight of the wrong features.
        limit: Largest KL per site that still counts, in nats: beyond it there is nothing to gain.

    Source: van den Oord et al., Parallel WaveNet, 2017, arXiv 1711.10433, gamma = 0.3.
    """

    def __init__(self, gamma: float = 0.3, limit: float = 10.0) -> None:
        super().__init__()
        check_number("Contrastive: gamma", gamma, low=0)
        check_number("Contrastive: limit", limit, above=0)
        self.gamma = gamma
        self.limit = limit

    def check(self, student: Flow, teacher: Density) -> None:
        """Refuse data without features, and a teacher whose log-prob has no gradient in x."""
        check_gradient(self, teacher)
        if not student.spec.features:
            raise ValueError(
                "Contrastive: wanted data with features, whose exchange it punishes; there are "
                "none. Drop the term, or condition the model."
            )

    def forward(
        self, draw: Draw, student: Flow, teacher: Density, batch: Batch, progress: float
    ) -> Loss:
        """Reward a low score of the draw under the next value's features.

        Errors:
            ValueError: A batch of one value, whose next one is itself.
        """
        if rows.count(draw.x) < 2:
            raise ValueError(
                "Contrastive: wanted batches of at least 2 values, to exchange their features; got "
                "1, which would be compared with itself. Set student_trainer.batch_size=2 or more."
            )
        given = batch.given("teacher")
        # Rows that lie elsewhere are not encoded here.
        wrong = rolled(given) if rows.are_all() else rows.following(batch.features)
        log_p = teacher.log_prob(draw.x, wrong)
        kl = rows.mean(draw.log_prob - log_p, batch.mask, exact=True)
        value = -self.gamma * kl.clamp_max(self.limit)
        return Loss(value, {"wrong_kl_per_site": kl.detach()})


def rolled(given: Features | Context) -> Features | Context:
    """Give each value of a batch the features, or the context, of the next one."""
    if isinstance(given, Context):
        return given.each(lambda value: value.roll(-1, 0))
    return None if given is None else {k: v.roll(-1, 0) for k, v in given.items()}
