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
    sums = {name: _Sums() for name in names}
    for clip in clips[:: -(-len(clips) // _MOST)]:
        loaded = clip.load()
        power += float(loaded.samples.double().square().sum()) * STEP**2
        sites += clip.sites
        for name in names:
            sums[name].add(loaded.frames[name].double())
    return (power / sites) ** 0.5, {name: sums[name].spec() for name in names}


class _Sums:
    """Sums that a mean and a deviation follow from, about a point that lies near the mean."""

    def __init__(self) -> None:
        self._point: Tensor | None = None
        self._count = 0

    def add(self, values: Tensor) -> None:
        if self._point is None:
            self._point = values.mean(0)
            self._first, self._second = (torch.zeros_like(self._point) for _ in range(2))
        values = values - self._point
        self._count += len(values)
        self._first += values.sum(0)
        self._second += values.square().sum(0)

    def spec(self) -> FeatureSpec:
        assert self._point is not None
        beside = self._first / self._count
        scale = (self._second / self._count - beside.square()).clamp(min=0).sqrt()
        # A channel that never changes stays where it is: 0 after centering.
        scale = torch.where(scale > 1e-6, scale, torch.ones_like(scale))
        mean = self._point + beside
        return FeatureSpec("frames", len(mean), tuple(mean.tolist()), tuple(scale.tolist()))
