"""How the log-power of a signal follows from its mel: the affine map that a spec carries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from distill.data.audio.envelope_fit import fitted
from distill.data.audio.envelope_formula import closed_formula
from distill.data.audio.mel import LogMel
from distill.data.audio.preparation import Clip

KINDS = ("auto", "formula", "fit")


def check_kind(owner: str, kind: str) -> None:
    """Raise unless an envelope is known."""
    if kind not in KINDS:
        raise ValueError(f"{owner}: wanted envelope among {', '.join(KINDS)}, got {kind!r}.")


def envelope_of(mel: LogMel, rate: int, kind: str, clips: Sequence[Clip]) -> dict[str, Any]:
    """Return the map from a mel to the signal's log-power, in plain containers.

    Arguments:
        mel: The settings.
        rate: Sample rate, Hz.
        kind: `formula`, `fit`, or `auto`: the formula, and a fit where the mel bends: decibels
            between two levels, or a floor that is high.
        clips: To fit it to.

    Returns:
        `kind`; `fft` and `knots`: points of the Fourier transform, in fractions too, where the
        power is given; `weight`: of each band `(K,)`, or of all bands for each knot `(K, bands)`;
        `bias` `(K,)`.
    """
    formula = closed_formula(mel, rate)
    if kind == "fit" or (kind == "auto" and _bends(mel, formula)):
        return fitted(mel, rate, clips)
    return formula


def _bends(mel: LogMel, formula: dict[str, Any]) -> bool:
    """Whether a mel is clipped, or stands still where a voice may be, above -70 dB."""
    if mel.log == "decibel":
        return True
    smallest = math.log(mel.floor) / mel.to_natural_log()[0]
    powers = [w * smallest + b for w, b in zip(formula["weight"], formula["bias"], strict=True)]
    return median(powers) > math.log(1e-7)
