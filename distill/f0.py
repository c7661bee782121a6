"""What numbers stand for an F0: the natural logarithm of Hz, and 0 or 1 for voicing."""

from __future__ import annotations

import numpy as np

_LOWEST = 20.0  # Hz
_FORM = (
    "Its first channel is the natural logarithm of Hz, a line from voiced frame to voiced frame "
    "where there is no voice, its second one 0 or 1."
)


def check_f0(values: np.ndarray, frames: np.ndarray, rate: int, name: str) -> None:
    """Raise unless frames hold an F0 as training does, those that are not voiced too.

    Arguments:
        values: `(F, 2)`.
        frames: Their numbers, for the error.
        rate: Samples per second, a quarter of which no F0 is above.
        name: What to call it in an error.

    Errors:
        ValueError: A frequency out of range, or a voicing that is neither 0 nor 1.
    """
    with np.errstate(over="ignore"):
        hertz, high = np.exp(values[:, 0].astype(np.float64)), rate / 4
    voiced = values[:, 1] > 0
    outside = ~((hertz >= _LOWEST) & (hertz <= high))
    # What stands where there is no voice is said where that alone is wrong.
    for state, wrong in (("voiced", voiced & outside), ("unvoiced", ~voiced & outside)):
        if (found := np.flatnonzero(wrong)).size:
            raise ValueError(
                f"{name}: wanted {_LOWEST:g} to {high:g} Hz in {state} frames, got "
                f"{hertz[found[0]]:.4g} Hz in frame {frames[found[0]]} and in "
                f"{len(found) - 1} others. {_FORM}"
            )
    between = np.flatnonzero((values[:, 1] != 0) & (values[:, 1] != 1))
    if between.size:
        raise ValueError(
            f"{name}: wanted a voicing of 0 or 1, got {values[between[0], 1]:.4g} in frame "
            f"{frames[between[0]]} and in {len(between) - 1} others. {_FORM}"
        )
