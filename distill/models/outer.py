"""Outer bijectors that a teacher and its students share: made from a spec, and compared."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distill.bijectors import LinearPrediction, Standardize
from distill.contract import DataSpec
from distill.models.density import Density


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


def outer_difference(student: Density, teacher: Density) -> str | None:
    """Return how the outer bijectors of two models differ, `None` where they are the same.

    Example:
        >>> from distill.models import iaf, maf
        >>> spec = DataSpec(sites=2)
        >>> outer_difference(iaf(spec), maf(spec, outer=standardization))
        'Standardize, got none'
    """
    mine, theirs = (getattr(model, "outer", None) for model in (student, teacher))
    if mine is None and theirs is None:
        return None
    wanted, got = ("none" if o is None else type(o).__name__ for o in (theirs, mine))
    if mine is not None and theirs is not None and type(mine) is type(theirs):
        others = _differences(mine, theirs)
        if not others:
            return None
        got = f"one of other {', '.join(others)}"
    return f"{wanted}, got {got}"


def _differences(one: nn.Module, other: nn.Module) -> list[str]:
    """Return the names of what differs: settings, as they show, and numbers."""
    a, b = one.state_dict(), other.state_dict()
    names = [k for k in a | b if not (k in a and k in b and _equal(a[k], b[k]))]
    return names if repr(one) == repr(other) else ["settings", *names]


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers, wherever they lie and in whatever precision."""
    return torch.equal(one.cpu().double(), other.cpu().double())
