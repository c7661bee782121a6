"""The filterbank of a mel, in NumPy alone: librosa's takes seconds to import."""

from __future__ import annotations

import numpy as np

_PER_MEL, _BREAK, _STEP = 200 / 3, 1000.0, np.log(6.4) / 27  # Hz of a mel below 1 kHz, log above


def mel_frequencies(count: int, low: float, high: float, htk: bool = False) -> np.ndarray:
    """Return frequencies that are equally far apart in mel, Hz `(count,)`.

    Arguments:
        count: How many, both ends included.
        low: The first, Hz.
        high: The last, Hz.
        htk: Mel scale of HTK in place of Slaney's.

    Source: Slaney, Auditory Toolbox, 1998; Young et al., The HTK Book. The numbers are those of
    `librosa.mel_frequencies`.

    Example:
        >>> mel_frequencies(4, 0.0, 600.0).round(6).tolist()
        [0.0, 200.0, 400.0, 600.0]
    """
    ends = np.array([low, high], np.float64)
    if htk:
        first, last = 2595.0 * np.log10(1.0 + ends / 700.0)
        mels = np.linspace(first, last, count)
        return np.asarray(700.0 * (10.0 ** (mels / 2595.0) - 1.0))
    bent = _BREAK / _PER_MEL
    above = bent + np.log(np.maximum(ends, _BREAK) / _BREAK) / _STEP
    first, last = np.where(ends >= _BREAK, above, ends / _PER_MEL)
    mels = np.linspace(first, last, count)
    return np.where(mels >= bent, _BREAK * np.exp(_STEP * (mels - bent)), _PER_MEL * mels)


def mel_filters(rate: int, fft: int, edges: np.ndarray, normalize: bool = True) -> np.ndarray:
    """Return triangles over the points of a transform, `(bands, fft // 2 + 1)`, float64.

    Arguments:
        rate: Sample rate, Hz.
        fft: Points of the transform.
        edges: Frequencies where bands begin, peak and end, each two further than the one before,
            Hz `(bands + 2,)`.
        normalize: Give each triangle unit area.

    Example:
        >>> mel_filters(8, 8, np.array([0.0, 2.0, 4.0]), normalize=False).tolist()
        [[-0.0, 0.5, 1.0, 0.5, 0.0]]
    """
    apart = edges[:, None] - np.fft.rfftfreq(fft, 1 / rate)
    width = np.diff(edges)[:, None]
    rising, falling = -apart[:-2] / width[:-1], apart[2:] / width[1:]
    weights = np.maximum(0, np.minimum(rising, falling))
    return weights * (2 / (edges[2:] - edges[:-2]))[:, None] if normalize else weights
