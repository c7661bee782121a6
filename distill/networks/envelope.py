"""From the mel of a frame to a linear predictor, without a parameter to train."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from distill.contract import DataSpec, Prediction
from distill.networks.levinson import levinson

LOWEST, HIGHEST = -30.0, 12.0
_COVERED = 0.5


class Envelope(nn.Module):
    r"""Mel frames `(B, F, bands)` to the linear predictor of each frame.

    1. An affine map, `spec.settings["envelope"]`, gives the log-power of the signal at the knots,
       the centers of the bands.
    2. Log-linear interpolation to all points of the Fourier transform, the ends held.
    3. The inverse transform of the power is an autocorrelation; white noise 40 dB below the signal,
       and of variance 1e-10 (that of 16-bit steps), is added: $r_0 (1 + 10^{-4}) + 10^{-10}$.
    4. Levinson's recursion gives coefficients, and the gain $g$ as the root of what is left.

    Everything is computed in float64, whatever the module was cast to. There are no parameters,
    and nothing to save: the map travels in the spec.

    Arguments:
        spec: Of audio data with a mel.
        order: p, the number of coefficients; below twice the number of knots.

    Attributes:
        solves: Set it to `False` to leave step 4 to whoever reads the autocorrelation, as loaders
            of exported graphs do; coefficients and gain are NaN then.

    Errors:
        ValueError: A spec without an envelope; a mel with too few bands for the order, or that
            covers less than half of the frequencies; frames of another shape.

    Source: Makhoul, Linear prediction: a tutorial review, 1975; Valin and Skoglund, LPCNet, 2018,
    arXiv 1810.11846 (linear prediction from band energies).

    Example:
        >>> flat = {"fft": 32, "knots": [4.0, 8.0, 12.0], "weight": [2.0] * 3, "bias": [0.0] * 3}
        >>> spec = DataSpec(None, hop=4, settings={"envelope": flat})
        >>> prediction = Envelope(spec, order=2)(torch.zeros(1, 5, 3))  # of white noise
        >>> prediction.coefficients.shape, prediction.log_gain.abs().max() < 1e-3
        (torch.Size([1, 5, 2]), tensor(True))
    """

    solves: bool = True
    weight: Tensor
    bias: Tensor
    interpolation: Tensor
    cosines: Tensor
    floor: Tensor

    def __init__(self, spec: DataSpec, order: int) -> None:
        super().__init__()
        entry = _entry(spec)
        knots, fft = np.asarray(entry["knots"], np.float64), int(entry["fft"])
        weight = torch.tensor(entry["weight"], dtype=torch.float64)
        _check(order, weight.shape[-1], knots, fft)
        self.order, self.hop = order, spec.hop
        bins, lags = np.arange(fft // 2 + 1), np.arange(order + 1)
        turns = np.outer(bins, lags) % fft / fft
        # Each point inside the half circle stands for its mirror image too.
        twice = np.where((bins == 0) | (2 * bins == fft), 1.0, 2.0)
        cosines = twice[:, None] * np.cos(2 * np.pi * turns) / fft
        cosines[:, 0] *= 1 + 1e-4
        tents = np.stack([np.interp(bins, knots, tent) for tent in np.eye(len(knots))])
        # Not persistent: they travel in the spec.
        for name, value in (
            ("weight", weight.diag() if weight.dim() == 1 else weight.T.contiguous()),
            ("bias", torch.tensor(entry["bias"], dtype=torch.float64)),
            ("interpolation", torch.from_numpy(tents)),
            ("cosines", torch.from_numpy(cosines)),
            # A vector: ONNX optimizers take a scalar as small as this for 0, and drop it.
            ("floor", torch.from_numpy(np.where(lags == 0, 1e-10, 0.0))),
        ):
            self.register_buffer(name, value, persistent=False)

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"bands={self.weight.shape[0]}, order={self.order}, hop={self.hop}"

    def forward(self, mel: Tensor) -> Prediction:
        """Derive coefficients and gain of each frame."""
        if mel.dim() != 3 or mel.shape[-1] != self.weight.shape[0]:
            raise ValueError(
                f"Envelope: wanted a mel (batch, frames, {self.weight.shape[0]}), got "
                f"{tuple(mel.shape)}. Pass the mel that the model was trained with."
            )
        r = self.autocorrelation(mel)
        if not self.solves:
            return Prediction(r[..., 1:] * math.nan, r[..., 0] * math.nan, self.hop, r)
        a, error = levinson(r)
        return Prediction(a, 0.5 * error.log(), self.hop, r)

    def autocorrelation(self, mel: Tensor) -> Tensor:
        r"""Return $r_0, \dots, r_p$ of each frame, `(B, F, p + 1)`, the added noise included."""
        knots = mel.double() @ self.weight + self.bias
        power = (knots.clamp(LOWEST, HIGHEST) @ self.interpolation).exp()
        return power @ self.cosines + self.floor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Envelope:
        """Follow the module to another device, and stay in float64."""
        exact = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)
        for name, value in exact.items():
            moved = getattr(self, name)
            setattr(self, name, moved.double() if value.is_meta else value.to(moved.device))
        return self


def _entry(spec: DataSpec) -> dict[str, Any]:
    entry = spec.settings.get("envelope")
    if entry is None:
        raise ValueError(
            "Envelope: wanted a spec with an envelope, that of audio data with a mel, got one with "
            f"{', '.join(spec.settings) or 'no settings'}. Add mel to data.conditions, or, where "
            "the model was trained by an older version, train it again or do without whitening."
        )
    return entry


def _check(order: int, bands: int, knots: np.ndarray, fft: int) -> None:
    # Low bands are narrower than even spacing would have them: they resolve more than their number.
    most = min(2 * min(bands, len(knots)), fft // 4) - 1
    if not 1 <= order <= most:
        raise ValueError(
            f"Envelope: wanted an order from 1 to {most}, for a mel of {bands} bands and an FFT of "
            f"{fft}, got {order}. Lower the order, or raise data.mel.bands."
        )
    covered = 2 * (knots[-1] - knots[0]) / fft
    if covered < _COVERED:
        raise ValueError(
            f"Envelope: wanted a mel over {_COVERED:.0%} or more of the frequencies up to half the "
            f"sample rate, got {covered:.0%}. Set data.mel.low and data.mel.high (null for half "
            "the rate), or data.envelope=fit."
        )
