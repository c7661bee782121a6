"""Spectral distances and loudness: a copy against the clip that its features came from."""

from __future__ import annotations

import math

import torch
from auraloss.freq import MultiResolutionSTFTLoss
from torch import Tensor
from torch.nn import functional as F

from distill.data.audio.mel import LogMel

_SILENCE = 1e-6
_ACTIVE_BELOW_PEAK_DB = 40.0
_WINDOWS_SECONDS = (0.01, 0.025, 0.05)


def log_mel_distance(
    copy: Tensor, reference: Tensor, rate: int, mel: LogMel
) -> tuple[float, float]:
    """Return mean absolute and root mean square difference of two log-mels, in the mel's units.

    Arguments:
        copy: `(T,)`.
        reference: `(T,)`.
        rate: Sites per second.
        mel: Settings; natural logarithms give nepers, 1 of which is 8.7 dB.
    """
    pair = mel(torch.stack([finite(copy), finite(reference)]), rate)
    off = pair[0] - pair[1]
    return float(off.abs().mean()), float(off.square().mean().sqrt())


def stft_distance(copy: Tensor, reference: Tensor, rate: int) -> float:
    """Multi-resolution STFT distance (auraloss): spectral convergence plus log-magnitude distance.

    Windows of 10, 25 and 50 ms with a fifth of each as hop, as Parallel WaveGAN has at 24 kHz.
    Sounds shorter than a window are filled up with silence. A silent reference gives NaN: there is
    nothing to converge to.

    Source: Yamamoto et al., Parallel WaveGAN, 2019, arXiv 1910.11480.
    """
    if float(reference.abs().max()) < _SILENCE:
        return math.nan
    windows = [round(seconds * rate) for seconds in _WINDOWS_SECONDS]
    sizes = [1 << math.ceil(math.log2(window)) for window in windows]
    distance = MultiResolutionSTFTLoss(
        fft_sizes=sizes, hop_sizes=[window // 5 for window in windows], win_lengths=windows
    )
    missing = max(0, max(sizes) + 1 - len(reference))
    pair = [F.pad(finite(x), (0, missing))[None, None] for x in (copy, reference)]
    return float(distance(*pair))


def level_difference(copy: Tensor, reference: Tensor, rate: int) -> float:
    """Return the difference in level, in dB, over the part where the reference is heard.

    That part are the frames of 20 ms within 40 dB of the reference's loudest. A silent reference
    gives NaN, a silent copy a large negative number.

    Example:
        >>> tone = torch.sin(torch.arange(8000) * 0.3)
        >>> round(level_difference(0.5 * tone, tone, rate=8000), 2)
        -6.02
    """
    energy, wanted = (_frame_energy(finite(x), rate // 50) for x in (copy, reference))
    if float(reference.abs().max()) < _SILENCE:
        return math.nan
    active = wanted >= wanted.max() * 10 ** (-_ACTIVE_BELOW_PEAK_DB / 10)
    floor = _SILENCE**2
    ratio = (energy[active].mean() + floor) / (wanted[active].mean() + floor)
    return float(10 * ratio.log10())


def finite(x: Tensor) -> Tensor:
    """Return a sound as float32 on the CPU, what is not finite set to 0."""
    return torch.nan_to_num(x.detach().cpu().float(), posinf=0.0, neginf=0.0)


def _frame_energy(x: Tensor, size: int) -> Tensor:
    return F.pad(x, (0, -len(x) % size)).double().view(-1, size).square().mean(-1)
