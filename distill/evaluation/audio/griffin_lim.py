"""Griffin-Lim from a log-mel: what no model at all makes of the same features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill.data.audio.mel import LogMel
from distill.kernels.numba_cache import first_alone


def griffin_lim(features: Tensor, sites: int, rate: int, mel: LogMel, steps: int = 60) -> Tensor:
    """Turn a log-mel `(F, bands)` into a sound `(sites,)`.

    The filterbank is undone by non-negative least squares, the phases are found by the fast
    Griffin-Lim algorithm (librosa), from the same start each time.

    Arguments:
        features: The log-mel, not standardized.
        sites: Length of the sound.
        rate: Sites per second.
        mel: Settings that the log-mel was made with.
        steps: Iterations.

    Source: Perraudin, Balazs and Sondergaard, A fast Griffin-Lim algorithm, 2013.
    """
    import librosa

    bands = _linear(features.detach().cpu().double(), mel).numpy().T
    filters = mel.filters(rate).numpy()
    bins = librosa.util.nnls(filters, bands) ** (1 / mel.power)
    # The frames lie in the middle of a sound that is longer by the window's reach on both sides.
    left = mel.fft // 2 if mel.align == "start" else (mel.fft - mel.hop) // 2
    with first_alone("griffinlim", Path(librosa.__file__).parent):
        sound = librosa.griffinlim(
            bins,
            n_iter=steps,
            hop_length=mel.hop,
            win_length=mel.window,
            n_fft=mel.fft,
            center=False,
            random_state=0,
        )
    x = np.nan_to_num(sound[left : left + sites])
    if mel.preemphasis:
        from scipy.signal import lfilter

        x = lfilter([1.0], [1.0, -mel.preemphasis], x)
    return torch.from_numpy(np.ascontiguousarray(x)).float()


def _linear(features: Tensor, mel: LogMel) -> Tensor:
    """Undo the logarithm."""
    if mel.log == "natural":
        return features.exp()
    if mel.log == "log10":
        return 10**features
    return 10 ** (((features - 1) * mel.span + mel.reference) / 20)
