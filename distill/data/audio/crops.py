"""A stretch of a clip, filled up with silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from distill.data.audio.preparation import STEP, Clip


class Crop(NamedTuple):
    """Samples `(T,)` in int16, frames by name `(T / hop, size)`, and how many samples are real."""

    samples: Tensor
    frames: dict[str, Tensor]
    valid: int


def cut(
    clip: Clip,
    sites: int,
    hop: int,
    blank: Mapping[str, Tensor],
    where: float = 0.0,
    most: int | None = None,
) -> Crop:
    """Cut a clip to a number of sites.

    Arguments:
        clip: The clip.
        sites: A multiple of the hop.
        hop: Sites per frame.
        blank: The frame of silence of each feature, for what is filled up.
        where: Share of the possible frames to start on, 0 for the first.
        most: Use no more sites of the clip than these.
    """
    loaded = clip.load()
    length = clip.sites if most is None else min(most, clip.sites)
    frames = sites // hop
    start = int(where * (max(length // hop - frames, 0) + 1))
    valid = min(sites, length - start * hop)
    samples = torch.zeros(sites, dtype=torch.int16)
    samples[:valid] = loaded.samples[start * hop : start * hop + valid]
    cuts = {}
    for name, values in loaded.frames.items():
        known = values[start : start - (-valid // hop)]
        fill = blank[name].expand(frames - len(known), -1)
        cuts[name] = torch.cat([known, fill]) if len(fill) else known
    return Crop(samples, cuts, valid)


def dequantize(samples: Tensor, noise: np.ndarray) -> Tensor:
    """Turn 16-bit samples into floats of full scale 1, under noise that is uniform over a step.

    Arguments:
        samples: int16, any shape.
        noise: Uniform on 0 to 1, float32, of the same shape.

    Example:
        >>> low = dequantize(torch.tensor([-(2**15)], dtype=torch.int16), np.float32([0.5]))
        >>> float(low)
        -1.0
    """
    return (samples + (torch.from_numpy(noise) - 0.5)) * STEP
