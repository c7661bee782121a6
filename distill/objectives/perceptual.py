"""The perceptual term: a classifier of sounds hears the draw as it hears the recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from distill import rows
from distill.contract import Batch, Draw
from distill.functional import without_autocast
from distill.models import Density, Flow, freeze
from distill.models.classifier import Classifier
from distill.objectives.objective import Loss, Objective

_FORMS = ("gram", "features")


class Perceptual(Objective):
    r"""Distance of a classifier's activations, or of their Gram matrices.

    $$\frac1L\sum_l \frac{\|G_l(x) - G_l(y)\|^2}{\|G_l(y)\|^2},\qquad
      G_l = \frac1{T_l} F_l F_l^\top$$

    with $F_l$ `(C, T_l)` the activations of gated layer l; `features` compares $F_l$ itself.
    Every term is relative to the recording's own size, so no layer drowns the others.

    Arguments:
        classifier: A trained `Classifier`, or a factory that loads one; the factory is called when
            training starts. It is frozen, but x keeps its graph through it.
        form: `gram` or `features`.

    Errors:
        ValueError: An unknown form; something else than a classifier; one of another sample rate;
            no classifier where the factory looks.

    Source: van den Oord et al., Parallel WaveNet, 2017, arXiv 1711.10433, section 5.
    """

    def __init__(
        self, classifier: Classifier | Callable[[], nn.Module], form: str = "gram"
    ) -> None:
        super().__init__()
        if form not in _FORMS:
            raise ValueError(f"Perceptual: wanted form among {', '.join(_FORMS)}, got {form!r}.")
        self.form = form
        self.classifier: nn.Module | None = None
        self._load: Callable[[], nn.Module] | None = None
        if isinstance(classifier, nn.Module):
            self.classifier = self._checked(classifier)
        else:
            self._load = classifier

    def check(self, student: Flow, teacher: Density) -> None:
        """Load the classifier, and refuse one of another sample rate."""
        classifier = self._loaded()
        rate, wanted = classifier.spec.sample_rate, student.spec.sample_rate
        if rate != wanted:
            raise ValueError(
                f"Perceptual: wanted a classifier of sounds at {wanted} Hz, as the student makes "
                f"them, got one for {rate} Hz. Train one on the same data (distill classifier)."
            )

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the classifier stays in evaluation."""
        super().train(mode)
        if self.classifier is not None:
            self.classifier.eval()
        return self

    def forward(
        self, draw: Draw, student: Flow, teacher: Density, batch: Batch, progress: float
    ) -> Loss:
        """Average the relative distance over layers and batch."""
        classifier = self._loaded()
        with without_autocast(draw.x.device):
            dtype = next(classifier.parameters()).dtype
            mask = None if batch.mask is None else batch.mask.to(dtype)
            mine = classifier.activations(draw.x.to(dtype), mask)
            with torch.no_grad():
                theirs = classifier.activations(batch.x.to(dtype), mask)
            parts = [self._distance(a, b) for a, b in zip(mine, theirs, strict=True)]
            distance = torch.stack(parts).mean()
        return Loss(distance, {"distance": distance.detach()})

    def _distance(self, mine: Tensor, theirs: Tensor) -> Tensor:
        if self.form == "gram":
            mine, theirs = (f @ f.mT / f.shape[-1] for f in (mine, theirs))
        off = (mine - theirs).square().sum((1, 2))
        return rows.mean(off / theirs.square().sum((1, 2)).clamp_min(1e-6))

    def _loaded(self) -> Classifier:
        if self.classifier is None:
            assert self._load is not None
            try:
                model = self._load()
            except FileNotFoundError as error:
                raise ValueError(
                    f"Perceptual: no classifier there ({error}) Train one with `distill classifier "
                    "run=...` in the same run folder, or name its folder."
                ) from error
            self.classifier = self._checked(model)
        return self.classifier  # type: ignore[return-value]

    @staticmethod
    def _checked(model: nn.Module) -> nn.Module:
        if not isinstance(model, Classifier):
            raise ValueError(
                f"Perceptual: wanted a Classifier, got {type(model).__name__}. Train one with "
                "`distill classifier`."
            )
        return freeze(model)
