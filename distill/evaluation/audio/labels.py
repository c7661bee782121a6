"""Whether models use their labels: speakers and classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from distill.contract import DataSpec
from distill.data.audio.mel import LogMel
from distill.evaluation.audio.clips import HeldOutClip, in_batches, rate_of
from distill.evaluation.audio.copies import copies
from distill.evaluation.audio.spectra import log_mel_distance
from distill.evaluation.placing import evaluating, place, place_of, total_of
from distill.models import Density


def label_features(spec: DataSpec) -> list[str]:
    """Name the labels that can be wrong: those with at least two classes."""
    return [name for name, f in spec.features.items() if f.kind == "label" and f.size > 1]


@torch.no_grad()
def right_label_wins(model: Density, clips: Sequence[HeldOutClip], feature: str) -> float:
    """Return the share of clips that score higher under their own label than under a wrong one.

    The wrong label is another one for each clip in turn. A model that ignores labels gets 0, since
    it scores both the same.

    Arguments:
        model: A density with parallel scores: the teacher.
        clips: Held-out clips.
        feature: Name of the label.
    """
    right, wrong = (_scores(model, given) for given in (clips, _relabeled(model, clips, feature)))
    return float((right > wrong).double().mean())


def change_by_label(
    model: Density, clips: Sequence[HeldOutClip], feature: str, spec: DataSpec, seed: int
) -> float:
    """Return the log-mel distance between draws under right and wrong labels, noise the same.

    Arguments:
        model: The student; 0 says that it ignores the label.
        clips: Held-out clips.
        feature: Name of the label.
        spec: Rate and mel.
        seed: Of the noise.
    """
    mel, rate = LogMel.of(spec), rate_of(spec)
    own, other = (
        copies(model, given, seed) for given in (clips, _relabeled(model, clips, feature))
    )
    off = [log_mel_distance(a, b, rate, mel)[0] for a, b in zip(own, other, strict=True)]
    return sum(off) / len(off)


def _relabeled(model: Density, clips: Sequence[HeldOutClip], feature: str) -> list[HeldOutClip]:
    size = model.spec.features[feature].size
    return [
        clip.with_label(feature, (int(clip.features[feature]) + 1 + i % (size - 1)) % size)
        for i, clip in enumerate(clips)
    ]


def _scores(model: Density, clips: Sequence[HeldOutClip]) -> torch.Tensor:
    device, dtype = place_of(model)
    parts = []
    with evaluating(model):
        for _, batch in in_batches(clips, model.spec):
            moved = place(batch, device, dtype)
            parts.append(total_of(model.log_prob(moved.x, moved.features), moved.mask).cpu())
    return torch.cat(parts)
