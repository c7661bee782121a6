"""The phase of the fundamental, where a front end gives mel and F0 alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distill.export.metadata import Metadata

_TURN = 2**48  # counts of one turn


class PhaseLine:
    r"""Turns that F0 adds up to, frame after frame: $\Phi_{f+1} = \Phi_f + H F_0(f) / R$.

    The same as `Pitch.integrate` of whole contours, for any split and length: turns are added as
    integers that wrap around, so that no rounding gathers in streams of hours.

    Arguments:
        metadata: Of a sampler that takes `f0` and `phase`.

    Example:
        >>> from distill.contract import DataSpec, FeatureSpec
        >>> two = FeatureSpec("frames", 2)
        >>> spec = DataSpec(None, features={"f0": two, "phase": two}, sample_rate=8000, hop=10)
        >>> line = PhaseLine(Metadata(spec, "normal", "float32", weights=""))
        >>> f0 = torch.tensor([[[math.log(200.0), 1.0]] * 3])
        >>> line(f0)[0, :, 0].round(decimals=1).abs().tolist()  # 200 Hz: a quarter turn a frame
        [1.0, 0.0, 1.0]
    """

    def __init__(self, metadata: Metadata) -> None:
        spec = metadata.spec
        self._step = spec.hop / (spec.sample_rate or 1)
        self._turns: Tensor | None = None

    def __call__(self, f0: Tensor) -> Tensor:
        """Return cosine and sine `(B, F, 2)` at the start of each frame, 0 where it is not voiced.

        Arguments:
            f0: Log-frequency and voicing of the next frames, `(B, F, 2)`.
        """
        steps = f0[..., 0].double().exp() * self._step
        counts = (steps * _TURN).round().long()
        before = torch.zeros_like(counts[:, :1]) if self._turns is None else self._turns
        turns = torch.cat([before, counts], 1).cumsum(1)
        self._turns = turns[:, -1:]
        angle = 2 * math.pi * (turns[:, :-1] % _TURN).double() / _TURN
        return torch.stack([angle.cos(), angle.sin()], -1).to(f0.dtype) * f0[..., 1:]
