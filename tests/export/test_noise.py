"""The noise of streams: one seed, one sequence, whatever the pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.export import Noise


@pytest.mark.parametrize("base", ["normal", "logistic"])
@given(sizes=st.lists(st.integers(0, 40), max_size=8))
def test_pieces_are_the_whole(base: str, sizes: list[int]):
    pieces, whole = Noise(base, 3), Noise(base, 3).draw(sum(sizes))
    assert np.array_equal(np.concatenate([np.zeros(0, "f4"), *map(pieces.draw, sizes)]), whole)


@pytest.mark.parametrize(("base", "deviation"), [("normal", 1.0), ("logistic", np.pi / 3**0.5)])
def test_it_has_the_moments_of_its_base(base: str, deviation: float):
    x = Noise(base, 0, "float64").draw(200_000)
    assert abs(x.mean()) < 0.01 * deviation
    assert x.std() == pytest.approx(deviation, rel=0.01)


def test_a_plain_generator_draws_the_same_numbers():
    plain = np.random.Generator(np.random.Philox(9)).standard_normal(50).astype(np.float32)
    assert np.array_equal(Noise("normal", 9).draw(50), plain)
    assert np.array_equal(Noise("normal", 9, "float64").draw(50).astype(np.float32), plain)


def test_seeds_differ_and_none_is_a_new_one_that_is_known():
    first, second = Noise("normal"), Noise("normal")
    assert first.seed != second.seed
    x = first.draw(5)
    assert not np.array_equal(x, second.draw(5))
    assert np.array_equal(x, Noise("normal", first.seed).draw(5))


@pytest.mark.parametrize(("base", "seed"), [("uniform", 0), ("normal", -1), ("normal", 1.5)])
def test_another_base_or_seed_is_refused(base: str, seed):
    with pytest.raises(ValueError, match="noise: wanted"):
        Noise(base, seed)
