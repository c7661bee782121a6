"""Stretches of clips, filled up with silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from distill.data.audio.preparation import STEP, Clip


class Crops(NamedTuple):
    """Samples `(B, T)` in int16, frames by name `(B, F, size)`, number of real samples `(B,)`."""

    samples: Tensor
    frames: dict[str, Tensor]
    valid: Tensor


def cut(
    clips: Sequence[Clip],
    sites: int,
    hop: int,
    blank: Mapping[str, Tensor],
    where: Sequence[float] | np.ndarray | None = None,
    most: int | None = None,
) -> Crops:
    """Cut clips to a number of sites; of a clip in a file no more is read than that.

    Arguments:
        clips: The clips.
        sites: A multiple of the hop.
        hop: Sites per frame.
        blank: The frame of silence of each feature, for what is filled up.
        where: For each clip, the share of the possible frames to start on; 0 is the first, and the
            default.
        most: Use no more sites of a clip than these.
    """
    samples = np.zeros((len(clips), sites), np.int16)
    frames: dict[str, np.ndarray] = {}
    valid = []
    for row, clip in enumerate(clips):
        loaded = clip.load()
        length = clip.sites if most is None else min(most, clip.sites)
        share = 0.0 if where is None else float(where[row])
        start = int(share * (max(length // hop - sites // hop, 0) + 1)) * hop
        real = min(sites, length - start)
        samples[row, :real] = loaded.samples.numpy()[start : start + real]
        for name, values in loaded.frames.items():
            if name not in frames:
                shape = (len(clips), sites // hop, values.shape[1])
                frames[name] = np.empty(shape, np.float32)
            known = values.numpy()[start // hop : start // hop - (-real // hop)]
            frames[name][row, : len(known)] = known
            if len(known) < sites // hop:
                frames[name][row, len(known) :] = blank[name].numpy()
        valid.append(real)
    found = {name: torch.from_numpy(values) for name, values in frames.items()}
    return Crops(torch.from_numpy(samples), found, torch.tensor(valid))


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
