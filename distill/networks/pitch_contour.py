"""The contour of F0 between frames, linear in voiced runs, and the phase that it adds up to."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LEAP = 1.3  # a larger ratio between two frames is a leap of the tracker, or of the voice


class PitchContour(NamedTuple):
    """Frequencies at both ends of each frame, and whether it glides on into the next one."""

    start: Tensor
    end: Tensor
    joined: Tensor

    def turns(self, hop: int) -> Tensor:
        """Return the turns that each frame adds, for frequencies in turns per site."""
        return hop * (self.start + self.end) / 2

    def within(self, site: Tensor, hop: int) -> Tensor:
        """Return the turns since a frame's start at sites of it, one more axis.

        Arguments:
            site: `(I,)`, of 0 up to the hop.
            hop: Sites per frame.
        """
        bend = (self.end - self.start)[..., None] / (2 * hop)
        return (self.start[..., None] + bend * site) * site


def pitch_contour(frequency: Tensor, voiced: Tensor, centered: bool) -> PitchContour:
    r"""Draw a line through the frequencies of voiced frames, and hold them at the ends of a run.

    With $F_f$ in the middle of frame f, the line passes its start at $(F_{f-1} + F_f) / 2$; in a
    frame it runs straight from start to end.

    Arguments:
        frequency: Of F frames, the one before them and the one after, `(..., F + 2)`.
        voiced: Whether each is voiced, likewise.
        centered: Whether a frequency is that of the frame's middle; else of its start.

    Returns:
        What holds for the F frames.

    Example:
        >>> hertz = torch.tensor([0.0, 100.0, 110.0, 0.0])
        >>> line = pitch_contour(hertz, hertz > 0, centered=True)
        >>> line.start.tolist(), line.end.tolist(), line.joined.tolist()
        ([100.0, 105.0], [105.0, 110.0], [True, False])
    """
    before, after = frequency[..., :-1], frequency[..., 1:]
    joined = voiced[..., :-1] & voiced[..., 1:]
    joined = joined & (before <= LEAP * after) & (after <= LEAP * before)
    own = frequency[..., 1:-1]
    border = (before + after) / 2 if centered else after
    start = torch.where(joined[..., :-1], border[..., :-1], own)
    end = torch.where(joined[..., 1:], border[..., 1:], own)
    return PitchContour(start, end, joined[..., 1:])
