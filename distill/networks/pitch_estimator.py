"""Fundamental frequency and voicing, from a mel alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill import rows
from distill.contract import DataSpec
from distill.networks.upsample import FrameConv

_BINS = 64
_WIDTH = 0.05  # of a soft target, in log-frequency
BESIDE = 2
_KERNELS = (5, 5, 3)
_CENTS = 1200 / math.log(2)
_LIMITS = (20, 50, 100)


class PitchEstimator(nn.Module):
    r"""Log-frequency and voicing of each frame, from standardized frames around it.

    Three convolutions over 5, 5 and 3 frames give the logits of 64 bins $c_k$ of log-frequency,
    even over the range of `spec.settings["pitch"]`, and one of voicing. The estimate is the mean of
    the five bins around the most probable one:

    $$\hat f = \sum_k p_k c_k \Big/ \sum_k p_k \quad\text{over}\ \lvert k - k^*\rvert \le 2$$

    Arguments:
        spec: For the range of frequencies, 65 to 600 Hz by default.
        inputs: Channels of a frame.
        channels: Of the convolutions.
        ahead: Frames seen after one's own, up to all ten that are seen beside it.

    Attributes:
        latency: `ahead`.
        reach: Frames seen beside one's own.

    Errors:
        ValueError: `ahead` beyond the reach; a range without sense.

    Source: after Kim et al., CREPE, 2018, arXiv 1802.06182, which reads the waveform.

    Example:
        >>> estimator = PitchEstimator(DataSpec(sites=None), inputs=8)
        >>> f0 = estimator(torch.randn(2, 5 + estimator.reach, 8))
        >>> f0.shape, bool((f0[..., 0].exp() > 64).all())
        (torch.Size([2, 5, 2]), True)
    """

    centers: Tensor

    def __init__(self, spec: DataSpec, inputs: int, channels: int = 96, ahead: int = 3) -> None:
        super().__init__()
        pitch = spec.settings.get("pitch", {})
        low, high = float(pitch.get("low", 65.0)), float(pitch.get("high", 600.0))
        self.latency, self.reach = ahead, sum(_KERNELS) - len(_KERNELS)
        if not (0 <= ahead <= self.reach and 0 < low < high):
            raise ValueError(
                f"PitchEstimator: wanted ahead from 0 to {self.reach} frames and 0 < low < high, "
                f"got ahead={ahead}, low={low}, high={high}."
            )
        widths = (inputs, *[channels] * (len(_KERNELS) - 1))
        self.layers = nn.Sequential(
            *[FrameConv(width, channels, k) for width, k in zip(widths, _KERNELS, strict=True)]
        )
        self.last = nn.Linear(channels, _BINS + 1)
        bins = torch.linspace(math.log(low), math.log(high), _BINS)
        self.register_buffer("centers", bins, persistent=False)

    def logits(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the bins `(B, F, 64)` and of voicing `(B, F)`.

        Arguments:
            frames: Standardized, `(B, reach + F, inputs)`.
        """
        made = self.last(self.layers(frames)).to(self.centers.dtype)
        return made[..., :-1], made[..., -1]

    def forward(self, frames: Tensor) -> Tensor:
        """Estimate log-frequency and voicing, 0 or 1.

        Arguments:
            frames: Standardized, `(B, reach + F, inputs)`.

        Returns:
            `(B, F, 2)`, as the feature `f0` is.
        """
        bins, voicing = self.logits(frames)
        peak = bins.argmax(-1, keepdim=True)
        index = torch.arange(_BINS, device=bins.device)
        around = ((index - peak).abs() <= BESIDE).to(bins.dtype)
        weight = (bins - bins.amax(-1, keepdim=True)).exp() * around
        line = (weight * self.centers).sum(-1) / weight.sum(-1)
        return torch.stack([line, (voicing > 0).to(bins.dtype)], -1)

    def loss(self, frames: Tensor, f0: Tensor) -> dict[str, Tensor]:
        """Compare with a known pitch.

        Arguments:
            frames: Standardized, `(B, reach + F, inputs)`.
            f0: Log-frequency and voicing `(B, F, 2)`; a frame that holds NaN is left out.

        Returns:
            Scalars in nats a frame: `pitch`, the cross-entropy of the bins in voiced frames, less
            that of a perfect estimate, and `voicing`, that of voicing.
        """
        bins, voicing = self.logits(frames)
        line, voiced, known = _truth(f0.to(bins.dtype))
        apart = (self.centers - line[..., None]) / _WIDTH
        target = torch.softmax(-apart.square() / 2, -1)
        off = (torch.xlogy(target, target) - target * torch.log_softmax(bins, -1)).sum(-1)
        wrong = F.binary_cross_entropy_with_logits(voicing, voiced, reduction="none")
        both = voiced * known
        return {
            "pitch": rows.mean(off, both),
            "voicing": rows.mean(wrong, known),
        }

    @torch.no_grad()
    def accuracy(self, frames: Tensor, f0: Tensor) -> dict[str, float]:
        """Return how well a known pitch is found.

        Arguments:
            frames: Standardized, `(B, reach + F, inputs)`.
            f0: Log-frequency and voicing `(B, F, 2)`; a frame that holds NaN is left out.

        Returns:
            `voicing`, the share of frames whose voicing is right; and of the frames that are voiced
            in both, `within_20_cents`, `within_50_cents`, `within_100_cents`, and `median_cents`.
            What has no frame to judge is left out. Padding counts as silence, which is easy.
        """
        found = self(frames)
        line, voiced, known = _truth(f0.to(found.dtype))
        right = (found[..., 1] == voiced)[known > 0].double()
        both = voiced * known * found[..., 1] > 0
        off = (found[..., 0] - line)[both].abs().double() * _CENTS
        numbers = {"voicing": float(right.mean())} if len(right) else {}
        if len(off):
            numbers |= {f"within_{c}_cents": float((off <= c).double().mean()) for c in _LIMITS}
            numbers["median_cents"] = float(off.median())
        return numbers


def _truth(f0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log-frequency, voicing and where both are known, without NaN."""
    known = ~f0.isnan().any(-1)
    line, voiced = torch.where(known[..., None], f0, 0).unbind(-1)
    return line, (voiced > 0).to(f0.dtype), known.to(f0.dtype)
