"""Training a classifier of sounds."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from distill import rows
from distill.contract import Batch
from distill.models.classifier import Classifier
from distill.objectives.objective import Loss
from distill.objectives.tasks import Task


class Classification(Task):
    """Cross-entropy of the right label, on sounds at random levels with a little noise.

    Both keep the classifier from judging by level and by noise floor, in which copies differ from
    recordings.

    Arguments:
        model: The classifier to train.
        level: Largest change of level, in dB.
        noise: Largest standard deviation of the added noise, over that of the sound.
        smoothing: Of the labels.
    """

    model: Classifier  # type: ignore[assignment]

    def __init__(
        self, model: Classifier, level: float = 6.0, noise: float = 0.05, smoothing: float = 0.05
    ) -> None:
        super().__init__()
        self.model = model
        self.level = level
        self.noise = noise
        self.smoothing = smoothing

    def forward(self, batch: Batch, progress: float) -> Loss:
        """Average the cross-entropy over the batch, in nats."""
        assert batch.features is not None
        labels = batch.features[self.model.target]
        x = self._changed(batch.x, batch.mask) if self.training else batch.x
        logits = self.model(x, batch.mask)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        right = rows.mean((logits.argmax(-1) == labels).float())
        return Loss(loss, {"cross_entropy": loss.detach(), "accuracy": right})

    def _changed(self, x: Tensor, mask: Tensor | None) -> Tensor:
        uniform, normal = (
            partial(draw, device=x.device, dtype=x.dtype) for draw in (torch.rand, torch.randn)
        )
        draws = rows.drawn(uniform, (2, len(x), 1), x.device, axis=1)
        gain = 10 ** ((2 * draws[0] - 1) * self.level / 20)
        power = x.square().mean(1, keepdim=True)
        if mask is not None:
            heard = mask.sum(1, keepdim=True).clamp_min(1)
            power = (x * mask).square().sum(1, keepdim=True) / heard
        noise = rows.drawn(normal, tuple(x.shape), x.device)
        return gain * (x + self.noise * draws[1] * power.sqrt() * noise)
