"""Outer bijectors that a teacher and its students share, made from a spec."""

from __future__ import annotations

from distill.bijectors import LinearPrediction, Standardize
from distill.contract import DataSpec


def whitening(spec: DataSpec, order: int = 24) -> LinearPrediction:
    """Carry white excitation to sound, by a linear predictor that follows from the mel.

    Arguments:
        spec: Of sound with a mel.
        order: Of the predictor; 16 to 24 at 8 kHz, 24 to 32 at 22 kHz.

    Errors:
        ValueError: Data without a mel.

    Source: Makhoul, Linear prediction: a tutorial review, 1975; Valin and Skoglund, LPCNet, 2018,
    arXiv 1810.11846.
    """
    if "mel" not in spec.features:
        raise ValueError(
            "outer=whitening: wanted data with a mel among its conditions, got "
            f"{', '.join(spec.features) or 'none'}. Set data.conditions=[mel], or leave out outer."
        )
    return LinearPrediction(order)


def standardization(spec: DataSpec) -> Standardize:
    """Carry values of mean 0 and variance 1 to data units.

    Example:
        >>> standardization(DataSpec(sites=2, loc=(1.0, 2.0), scale=(3.0, 4.0)))
        Standardize()
    """
    return Standardize(spec.loc, spec.scale)
