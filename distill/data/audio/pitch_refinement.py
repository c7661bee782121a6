"""Refinement of F0 to where its harmonics are strongest."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_WINDOW = 0.032  # s
_BOX = 500.0  # Hz
_HARMONICS = 10
_CANDIDATES = 31
_DOUBT = 0.1
_AT_ONCE = 2_000  # frames
_LEAP = 0.26  # of log-frequency, between neighbors that belong to one line


def refine(hertz: Tensor, x: Tensor, rate: int, centers: Tensor, share: float) -> Tensor:
    r"""Move the frequency of each voiced frame to where its harmonics are strongest.

    $$\hat f = \arg\max_{\lvert d\rvert \le 1} \frac{\sum_{h=1}^{10} W(h f)}{\text{mean over } d}
      - 0.1\,d^2,\qquad d = \ln(f / f_0) / \text{share}$$

    W is the power spectrum of 32 ms around the frame's center over its own mean within 500 Hz, so
    that every harmonic counts alike. The square keeps frames that say little where they are. An
    error of F0 grows with the number of the harmonic: what is right at the tenth is right below.
    Scores and frequencies are smoothed over neighbors of the same voiced run, so that the line is
    smoother than the one that came.

    Arguments:
        hertz: Of each frame, `(F,)`, 0 where it is not voiced.
        x: Waveform `(T,)`.
        rate: Sample rate, Hz.
        centers: Site in the middle of each frame, `(F,)`.
        share: How far to look, as a share of the frequency.

    Returns:
        Hz `(F,)`, 0 where it is not voiced.

    Example:
        >>> time = torch.arange(4000) / 8000
        >>> wave = sum(torch.sin(2 * torch.pi * h * 200 * time) for h in range(1, 9))
        >>> found = refine(torch.full((50,), 204.0), wave, 8000, 40 + 80 * torch.arange(50), 0.03)
        >>> bool((found - 200).abs().median() < 0.5)  # 4 before
        True
    """
    voiced = hertz > 0
    if not voiced.any() or share <= 0:
        return hertz
    line = _smooth(hertz.double().clamp(min=1).log(), voiced)
    offsets = torch.linspace(-share, share, _CANDIDATES, dtype=torch.float64)
    score = torch.zeros(len(hertz), _CANDIDATES, dtype=torch.float64)
    for at in voiced.nonzero()[:, 0].split(_AT_ONCE):
        candidates = (line[at, None] + offsets).exp()
        score[at] = _score(candidates, x, rate, centers[at]).double()
    doubt = _DOUBT * torch.linspace(-1, 1, _CANDIDATES, dtype=torch.float64).square()
    score = _sums(score - doubt * voiced[:, None])
    best = score.argmax(1).clamp(1, _CANDIDATES - 2)
    below, top, above = (score.gather(1, best[:, None] + k)[:, 0] for k in (-1, 0, 1))
    bend = (below - 2 * top + above).clamp(max=-1e-9)
    # The top of the parabola through three scores.
    apex = ((below - above) / (2 * bend)).clamp(-1, 1)
    line = line + offsets[best] + apex * (offsets[1] - offsets[0])
    return torch.where(voiced, _smooth(line, voiced).exp(), 0).to(hertz)


def _score(candidates: Tensor, x: Tensor, rate: int, centers: Tensor) -> Tensor:
    half = round(_WINDOW * rate / 2)
    size = 2 ** (16 * half - 1).bit_length()  # points of the transform, 8 windows or more
    beyond = max(int(centers.max()) + half + 1 - len(x), 0)
    frames = F.pad(x.float(), (half, beyond)).unfold(0, 2 * half, 1)[centers]
    power = torch.fft.rfft(frames * torch.hann_window(2 * half), size).abs().square()
    reach = round(_BOX / 2 * size / rate)
    mean = F.avg_pool1d(F.pad(power[:, None], (reach, reach), "reflect"), 2 * reach + 1, 1)[:, 0]
    flat = power / (mean + 1e-12)
    order = torch.arange(1, _HARMONICS + 1, dtype=torch.float64)
    bins = candidates[:, :, None] * order * size / rate
    most = size // 2 - 1
    low = bins.clamp(max=most).floor()
    share = (bins - low).float() * (bins < most)
    index = low.long().flatten(1)
    left, right = (flat.gather(1, index + k).view_as(share) for k in (0, 1))
    heard = torch.lerp(left, right, share) * (bins < most)
    total = heard.sum(-1)
    return total / total.mean(1, keepdim=True).clamp(min=1e-12)


def _sums(score: Tensor) -> Tensor:
    """Add the scores of both neighbors, which are 0 where nothing is voiced, at half weight."""
    padded = F.pad(score, (0, 0, 1, 1))
    return padded[:-2] + 2 * score + padded[2:]


def _smooth(line: Tensor, voiced: Tensor) -> Tensor:
    """Average each frame with its neighbors in the same run, by weights 1, 2, 1."""
    steps = line.diff()
    steps = steps * (voiced[1:] & voiced[:-1] & (steps.abs() < _LEAP))
    before, after = F.pad(steps, (1, 0)), F.pad(steps, (0, 1))
    return line + (after - before) / 4
