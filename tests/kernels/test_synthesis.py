"""The synthesis filter on arrays: what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from distill.kernels import synthesis


def test_stability_is_that_of_the_poles():
    generator = np.random.default_rng(0)
    a = generator.normal(size=(200, 1, 3)) * 0.6
    seen = set()
    for own in a:
        poles = np.abs(np.roots([1, *-own[0]])).max()
        seen.add(bool(poles < 1))
        if poles < 1:
            synthesis.check_filters("x", own[None], np.ones((1, 1)))
        else:
            with pytest.raises(ValueError, match="stable"):
                synthesis.check_filters("x", own[None], np.ones((1, 1)))
    assert seen == {True, False}


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"synthesize: wanted e \(B, F \* hop\)"):
        synthesis.synthesize(np.zeros((1, 5)), np.zeros((1, 2, 3)), np.ones((1, 2)))
