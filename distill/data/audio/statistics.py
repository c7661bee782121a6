"""Location and scale of training audio and its features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distill.contract import FeatureSpec
from distill.data.audio.preparation import STEP, Clip

_MOST = 1000


def measure(clips: Sequence[Clip], names: Sequence[str]) -> tuple[float, dict[str, FeatureSpec]]:
    """Return the root mean square of clips, and the specs of their features at frame rate.

    Of more than a thousand clips, a thousand that lie evenly spread are measured.

    Arguments:
        clips: The training clips.
        names: Of the features.
    """
    power, sites = 0.0, 0
    frames: dict[str, list[Tensor]] = {name: [] for name in names}
    for clip in clips[:: -(-len(clips) // _MOST)]:
        loaded = clip.load()
        power += float(loaded.samples.double().square().sum()) * STEP**2
        sites += clip.sites
        for name in names:
            frames[name].append(loaded.frames[name])
    return (power / sites) ** 0.5, {name: _spec_of(torch.cat(frames[name])) for name in names}


def _spec_of(values: Tensor) -> FeatureSpec:
    values = values.double()
    scale = values.std(0, correction=0)
    # A channel that never changes stays where it is: 0 after centering.
    scale = torch.where(scale > 1e-6, scale, torch.ones_like(scale))
    return FeatureSpec(
        "frames", values.shape[1], tuple(values.mean(0).tolist()), tuple(scale.tolist())
    )
