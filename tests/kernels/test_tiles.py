"""Products in tiles against NumPy's."""

import numpy as np
import pytest
import torch
from numba import njit

from distill.kernels.panels import PANEL, fits, panels, taps_times_panels, times_panels
from distill.kernels.tiles import ROWS, WIDTH, times

random = np.random.default_rng(0)


@njit
def compiled_times(a, b, c, add):
    times(a, b, c, add)


def drawn(*shape, dtype="f4"):
    return random.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("rows", [1, 3, 4, 5, ROWS, 2 * ROWS + 5])
@pytest.mark.parametrize("columns", [WIDTH, 2 * WIDTH, 3 * WIDTH, 11 * WIDTH, 5])
@pytest.mark.parametrize("add", [True, False])
def test_a_product_of_any_size_is_written_or_added(rows, columns, add):
    a, b, c = drawn(rows, 7), drawn(7, columns), drawn(rows, columns)
    wanted = a @ b + (c if add else 0)
    compiled_times(a, b, c, add)
    np.testing.assert_allclose(c, wanted, atol=1e-5)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_both_sides_may_be_parts_of_larger_matrices(dtype):
    a, b, c = drawn(9, 20, dtype=dtype), drawn(7, 100, dtype=dtype), drawn(9, 100, dtype=dtype)
    before = c.copy()
    inner = slice(3, 3 + 4 * WIDTH) if WIDTH == 8 else slice(3, 3 + 2 * WIDTH)
    wanted = a[:, 5:12] @ b[:, inner]
    compiled_times(a[:, 5:12], b[:, inner], c[:, inner], False)
    np.testing.assert_allclose(c[:, inner], wanted, atol=1e-5)
    np.testing.assert_array_equal(np.delete(c, inner, 1), np.delete(before, inner, 1))


def test_what_was_not_written_yet_does_not_matter():
    a, b = drawn(5, 3), drawn(3, WIDTH)
    c = np.full((5, WIDTH), np.nan, "f4")
    compiled_times(a, b, c, False)
    np.testing.assert_allclose(c, a @ b, atol=1e-5)


def test_no_rows_and_no_inputs_give_nothing_and_zero():
    c = drawn(2, WIDTH)
    compiled_times(np.zeros((2, 0), "f4"), np.zeros((0, WIDTH), "f4"), c, False)
    assert not c.any()
    compiled_times(
        np.zeros((0, 3), "f4"), np.zeros((3, WIDTH), "f4"), np.zeros((0, WIDTH), "f4"), True
    )


def test_weights_in_panels_give_the_same_product():
    a, w, c = drawn(ROWS + 5, 6), drawn(1, 6, 3 * PANEL), drawn(ROWS + 5, 3 * PANEL)
    wanted = c + a @ w[0]
    times_panels(a, panels(torch.from_numpy(w))[0].numpy(), c, True)
    np.testing.assert_allclose(c, wanted, atol=1e-5)


def test_taps_and_context_are_summed_in_one_go():
    h, rows, w = drawn(40, 6), drawn(40, 5), drawn(1, 3 * 6 + 5, PANEL)
    c = np.full((20, PANEL), np.nan, "f4")
    shifts, low = np.array([8, 4, 0]), 11
    taps_times_panels(h, shifts, rows, low, panels(torch.from_numpy(w))[0].numpy(), c)
    seen = [h[low - s : low - s + 20] for s in shifts]
    np.testing.assert_allclose(c, np.hstack([*seen, rows[low : low + 20]]) @ w[0], atol=1e-4)


def test_what_does_not_fill_panels_has_none():
    assert panels(torch.zeros(2, 3, PANEL + 1)).shape == (2, 0, 3, PANEL)
    assert panels(torch.zeros(2, 3, PANEL, dtype=torch.float64)).shape[1] == 0
    assert fits(PANEL, 4 * PANEL)
    assert not fits(PANEL, PANEL // 2)
