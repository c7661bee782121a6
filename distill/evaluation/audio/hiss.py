"""Hiss: how far what lies between the harmonics of a steady tone is below them."""

from __future__ import annotations

import numpy as np
from scipy.signal.windows import blackmanharris
from torch import Tensor

from distill.data.audio.mel import LogMel
from distill.evaluation.audio.pitch import Track

_SECONDS = 0.128
_LOBE = 4  # bins on each side: a Blackman-Harris window leaves -92 dB beyond
_HARMONICS = 10
_FLOOR = 1e-20


def hiss(x: Tensor, track: Track, rate: int, mel: LogMel) -> np.ndarray:
    r"""Return the power between harmonics over that of the harmonics, of each steady window, in dB.

    Means of power a bin, up to half a harmonic beyond the tenth, in windows of 128 ms whose frames
    are all voiced and whose F0 keeps the highest harmonic within a bin:

    $$10 \log_{10} \operatorname{mean}_{k \text{ between}} \lvert X_k \rvert^2 -
      10 \log_{10} \operatorname{mean}_{k \text{ at } h F_0} \lvert X_k \rvert^2$$

    Arguments:
        x: A sound `(T,)`.
        track: Its pitch, on the frames of the mel.
        rate: Sites per second.
        mel: Whose frames.

    Returns:
        `(W,)`, nothing where no window is steady or F0 is too low to look between.
    """
    size = round(_SECONDS * rate)
    window, values = blackmanharris(size, sym=False), x.detach().double().cpu().numpy()
    centers = mel.centers(len(track.refined)).numpy()
    found = []
    for begin in range(0, len(values) - size + 1, size // 4):
        inside = (centers >= begin) & (centers < begin + size)
        f0 = track.refined[inside] * size / rate  # in bins
        if not len(f0) or not track.voiced[inside].all():
            continue
        pitch = float(f0.mean())
        count = min(_HARMONICS, int((size / 2 - _LOBE) / pitch))
        if count < 1 or pitch < 2 * _LOBE + 2 or np.abs(f0 - pitch).max() * count > 1:
            continue
        bins = np.arange(size // 2 + 1)
        number = np.rint(bins / pitch)
        there = (number >= 1) & (number <= count)
        near = np.abs(bins - number * pitch) <= _LOBE
        power = np.abs(np.fft.rfft(window * values[begin : begin + size])) ** 2
        ratio = power[there & ~near].mean() / max(power[there & near].mean(), _FLOOR)
        found.append(10 * np.log10(max(ratio, _FLOOR)))
    return np.array(found)
