"""Measures of perceived quality from packages that may be installed or not: STOI and PESQ."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from math import gcd

import numpy as np
from scipy.signal import resample_poly
from torch import Tensor

from distill.evaluation.audio.spectra import finite

# STOI compares segments of 384 ms of speech.
_STOI_SECONDS = 0.5
_PESQ_SECONDS = 0.25
_PESQ_MODES = {8_000: "nb", 16_000: "wb"}


def missing_measures() -> list[str]:
    """Name the measures whose packages are not installed."""
    return [name for name in ("pystoi", "pesq") if importlib.util.find_spec(name) is None]


def stoi(copy: Tensor, reference: Tensor, rate: int) -> float | None:
    """Short-time objective intelligibility, 0 to 1; `None` without pystoi or for too short a clip.

    Source: Taal et al., An algorithm for intelligibility prediction, 2011.
    """
    if "pystoi" in missing_measures() or len(reference) < _STOI_SECONDS * rate:
        return None
    from pystoi import stoi as measure

    with warnings.catch_warnings():
        # It warns, and gives 1e-5, where too little of the clip is loud.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return _number(measure, _array(reference), _array(copy), rate)
        except RuntimeWarning:
            return None


def pesq(copy: Tensor, reference: Tensor, rate: int) -> float | None:
    """Perceptual evaluation of speech quality, about 1 to 4.6.

    Narrow-band at 8 kHz for rates below 16 kHz, else wide-band at 16 kHz. `None` without the pesq
    package, for too short a clip, or where it finds no speech.

    Source: ITU-T P.862.
    """
    if "pesq" in missing_measures() or len(reference) < _PESQ_SECONDS * rate:
        return None
    from pesq import PesqError
    from pesq import pesq as measure

    target = 16_000 if rate >= 16_000 else 8_000
    sounds = [_resampled(_array(x), rate, target) for x in (reference, copy)]
    try:
        return _number(lambda ref, own, at: measure(at, ref, own, _PESQ_MODES[at]), *sounds, target)
    except PesqError:
        return None


def _number(measure: Callable[..., float], *arguments: object) -> float | None:
    value = float(measure(*arguments))
    return value if np.isfinite(value) else None


def _resampled(x: np.ndarray, rate: int, target: int) -> np.ndarray:
    common = gcd(rate, target)
    return x if rate == target else resample_poly(x, target // common, rate // common)


def _array(x: Tensor) -> np.ndarray:
    return finite(x).double().numpy()
