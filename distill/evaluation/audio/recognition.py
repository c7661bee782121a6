"""What a classifier recognizes in recordings and in copies of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from distill.data import Data
from distill.evaluation.audio.clips import HeldOutClip
from distill.evaluation.placing import evaluating, place, place_of
from distill.models.checkpoint import load
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


def classifier_from(folder: str | Path, rate: int) -> Classifier:
    """Load the classifier that `distill classifier` wrote.

    Errors:
        FileNotFoundError: There is none.
        ValueError: The folder holds another model, or a classifier for another sample rate.
    """
    classifier = cast("nn.Module", load(folder))
    if not isinstance(classifier, Classifier):
        raise ValueError(
            f"evaluation.classifier: wanted the folder of a classifier, got one of a "
            f"{type(classifier).__name__}: {folder}. Name RUN/classifier."
        )
    if classifier.spec.sample_rate != rate:
        raise ValueError(
            f"evaluation.classifier: wanted one for {rate} Hz, got one for "
            f"{classifier.spec.sample_rate} Hz. Train it on the same data."
        )
    return classifier


def labels_of(clips: Sequence[HeldOutClip], target: str, data: Data) -> list[int]:
    """Read the clips' labels: from their features, or from data that knows them besides.

    Errors:
        ValueError: Some clip has none.
    """
    beside = getattr(data, f"held_out_{target}s", None) or {}
    labels = [
        clip.features[target] if target in clip.features else beside.get(clip.name)
        for clip in clips
    ]
    if any(label is None for label in labels):
        raise ValueError(
            f"evaluation.classifier: wanted clips with a {target!r} to recognize, and this data "
            "has none. Leave the classifier out, or use labeled data."
        )
    return [int(label) for label in labels if label is not None]
