"""Data of signals and of sound with a small envelope, for tests of models that whiten."""

from __future__ import annotations

from functools import partial

from distill.contract import DataSpec, FeatureSpec
from distill.models import whitening

SIGNAL = DataSpec(sites=None, loc=(0.1,), scale=(0.02,))
# Power of three bands, by an affine map of a mel of three.
ENVELOPE = {"fft": 32, "knots": [4.0, 8.0, 12.0], "weight": [1.0] * 3, "bias": [-7.0] * 3}
SOUND = DataSpec(
    sites=None,
    scale=(0.02,),
    features={"mel": FeatureSpec("frames", 3)},
    hop=4,
    settings={"envelope": ENVELOPE},
)
WHITE = {"outer": partial(whitening, order=4)}
