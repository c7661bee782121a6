"""What a classifier recognizes in recordings and in copies of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distill.data import Data
from distill.evaluation.placing import evaluating, place, place_of
from distill.models.classifier import Classifier


@torch.no_grad()
def accuracy(classifier: Classifier, sounds: Sequence[Tensor], labels: Sequence[int]) -> float:
    """Return the share of sounds `(T,)` whose label the classifier names.

    Arguments:
        classifier: A trained one.
        sounds: Of any length each.
        labels: The right ones.
    """
    device, dtype = place_of(classifier)
    right = 0
    with evaluating(classifier):
        for x, label in zip(sounds, labels, strict=True):
            logits = classifier(torch.nan_to_num(x).to(device, dtype)[None])
            right += int(logits.argmax()) == label
    return right / max(1, len(sounds))


@torch.no_grad()
def held_out_accuracy(classifier: Classifier, data: Data, size: int = 32) -> float:
    """Return the share of held-out values whose label the classifier names."""
    device, dtype = place_of(classifier)
    right = total = 0
    with evaluating(classifier):
        for batch in data.held_out(size):
            moved = place(batch, device, dtype)
            assert moved.features is not None
            found = classifier(moved.x, moved.mask).argmax(-1)
            right += int((found == moved.features[classifier.target]).sum())
            total += len(found)
    return right / max(1, total)
