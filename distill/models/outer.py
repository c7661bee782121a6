"""Factories of outer bijectors: what carries a model's values of unit scale to data."""

from __future__ import annotations

from distill.bijectors import Standardize
from distill.contract import DataSpec


def standardization(spec: DataSpec) -> Standardize:
    """Return the map to the location and scale of the data.

    As `outer=standardization` of a teacher's builder and of its student's, or in a config
    `outer: {_target_: distill.models.standardization, _partial_: true}`, it lets the two be
    distilled, and objectives compare values, in units of the data's own spread.

    Arguments:
        spec: The data's location and scale, one number a site, or one for all.

    Example:
        >>> standardization(DataSpec(sites=2, loc=(1.0,), scale=(2.0,))).scale.tolist()
        [2.0]
    """
    return Standardize(spec.loc, spec.scale)
