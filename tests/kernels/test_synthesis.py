"""The synthesis filter on arrays: what it refuses, and how it finds that."""

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


@pytest.mark.parametrize("order", [1, 2, 3, 8, 33])
def test_the_compiled_check_is_that_of_the_plain_steps(order):
    generator = np.random.default_rng(order)
    reflections = generator.uniform(-0.8, 0.8, (200, order))
    reflections[::2, generator.integers(order)] = 1.1
    filters = np.zeros((200, 0))
    for k in reflections.T[..., None]:
        filters = np.concatenate([filters - k * filters[:, ::-1], k], 1)
    filters[1::50, 0] = np.nan
    wanted = synthesis.unstable_by_steps(filters)
    assert wanted.sum() == 104
    assert np.array_equal(synthesis.unstable_by_kernel(filters.copy()), wanted)
