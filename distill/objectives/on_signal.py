"""An objective on signals, for models that are distilled before an outer bijector."""

from __future__ import annotations

from dataclasses import replace

import torch

from distill.contract import Batch, Draw
from distill.models import Density, Flow
from distill.objectives.objective import Loss, Objective


class OnSignal(Objective):
    r"""Evaluate an objective on the signal x, rather than on the values e that models work with.

    $$x = f(e; c),\qquad \log q(x) = \log q(e) - \log\lvert\partial f/\partial e\rvert$$

    Distillation compares models before the outer bijector f that they share. A divergence is the
    same there, but a distance of waveforms, spectra or activations is not: this takes draw and
    recording through f first, and the models with it. For several such objectives put a
    `WeightedSum` inside, so that f is run once. Without an outer bijector it changes nothing.

    The gradient passes through f, which may cost a sequential pass (`LinearPrediction`).

    Arguments:
        objective: What to evaluate.

    Example:
        >>> from distill.contract import DataSpec
        >>> from distill.models import iaf, standardization
        >>> from distill.objectives import PowerLoss
        >>> spec = DataSpec(sites=8, scale=(3.0,))
        >>> student = iaf(spec, layers=1, hidden=[4], outer=standardization).core
        >>> draw = student.draw(torch.randn(2, 8))
        >>> power = PowerLoss(window=8, floor=0.0, relative=False)
        >>> given = draw, student, student, Batch(torch.zeros(2, 8)), 0.0
        >>> round((OnSignal(power)(*given).value / power(*given).value).item())
        9
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.objective = objective

    def check(self, student: Flow, teacher: Density) -> None:
        """Check the pair that the objective will see: models of the signal."""
        whole = student.whole
        assert isinstance(whole, Flow)
        self.objective.check(whole, teacher.whole)

    def wants_draw(self, progress: float) -> bool:
        """Return whether the objective does."""
        return self.objective.wants_draw(progress)

    def forward(
        self, draw: Draw | None, student: Flow, teacher: Density, batch: Batch, progress: float
    ) -> Loss:
        """Take everything outward, and evaluate."""
        whole = student.whole
        assert isinstance(whole, Flow)
        if whole.outer is None or whole is student:
            return self.objective(draw, student, teacher, batch, progress)
        context = whole.context(batch.given("student"))
        signal = None
        if draw is not None:
            x, log_det = whole.outer(draw.x, context)
            signal = Draw(
                x, draw.noise, draw.log_det + log_det, draw.log_prob - log_det, whole.locatable
            )
        with torch.no_grad():
            recording = whole.outward(batch.x, context)
        heard = replace(batch, x=recording)
        return self.objective(signal, whole, teacher.whole, heard, progress)
