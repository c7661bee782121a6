"""Toy densities: geometry, modes, entropy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from distill.data import ArrayData, Banana, Checkerboard, Moons, Rings, Text
from distill.data.moons import moons

TOYS: dict[str, Callable[..., ArrayData]] = {
    "moons": Moons,
    "rings": Rings,
    "checkerboard": Checkerboard,
    "banana": Banana,
    "text": Text,
}


@pytest.mark.parametrize("name", TOYS)
def test_toy_is_seeded_and_sized(name: str) -> None:
    first, again, other = (TOYS[name](count=400, seed=s) for s in (0, 0, 1))
    assert first.train_values.shape == (360, 2)
    assert torch.equal(first.train_values, again.train_values)
    assert not torch.equal(first.train_values, other.train_values)


@pytest.mark.parametrize("name", TOYS)
def test_toy_of_few_points_raises(name: str) -> None:
    with pytest.raises(ValueError, match=r"got .*count=3"):
        TOYS[name](count=3)


@pytest.mark.parametrize("name", [name for name in TOYS if name != "banana"])
def test_modes_of_a_toy_have_the_expected_shares(name: str) -> None:
    data = TOYS[name]()
    assert data.modes is not None
    mode = data.modes.assign(data.train_values)
    shares = torch.bincount(mode, minlength=len(data.modes.names)) / len(mode)
    assert mode.shape == (18_000,)
    assert torch.allclose(shares.double(), data.modes.shares.double(), atol=0.015)


def test_moons_have_the_geometry_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    expected, label = datasets.make_moons(101, shuffle=False, noise=None)
    upper, lower = moons(101)
    assert np.allclose(expected[label == 0], upper, atol=1e-12)
    assert np.allclose(expected[label == 1], lower, atol=1e-12)


def test_points_belong_to_the_nearest_moon() -> None:
    modes = Moons(count=100).modes
    assert modes is not None
    upper, lower = (torch.tensor(m) for m in moons(60))
    assert modes.assign(upper).tolist() == [0] * 30
    assert modes.assign(lower).tolist() == [1] * 30
    dense = [torch.tensor(m) for m in moons(20_000)]
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)).double() + 0.5
    nearest = torch.stack([torch.cdist(x, m).min(1).values for m in dense], 1)
    clear = (nearest[:, 0] - nearest[:, 1]).abs() > 1e-3
    assert torch.equal(modes.assign(x)[clear], nearest.argmin(1)[clear])


def test_entropy_of_moons_is_that_of_a_kernel_estimate_over_the_arcs() -> None:
    data = Moons(count=4000)
    x, arcs = data.train_values.double(), torch.tensor(np.concatenate(moons(4000)))
    squares = torch.cdist(x, arcs).square() / (2 * 0.05**2)
    log_p = torch.logsumexp(-squares, 1) - np.log(4000 * 2 * np.pi * 0.05**2)
    error = float(log_p.std()) / len(x) ** 0.5
    assert abs(data.entropy + float(log_p.mean())) < 4 * error
    assert error < 0.02


def test_entropy_of_one_wide_ring_is_nearly_that_of_a_line_across_normal() -> None:
    noise, radius = 0.01, 3.0
    line = np.log(2 * np.pi * radius) + 0.5 * np.log(2 * np.pi * np.e * noise**2)
    assert Rings(count=100, radii=[radius], noise=noise).entropy == pytest.approx(line, abs=1e-4)


def test_checkerboard_points_outside_of_dark_squares_have_no_mode() -> None:
    modes = Checkerboard(count=100).modes
    assert modes is not None
    x = torch.tensor([[-1.5, -1.5], [-1.5, -0.5], [1.5, 1.5], [2.5, 0.5], [-0.5, -0.5]])
    mode = modes.assign(x)
    assert mode[[1, 3]].tolist() == [-1, -1]
    assert [modes.names[i] for i in mode[[0, 2, 4]]] == ["0,0", "3,3", "1,1"]


def test_letters_have_holes_and_a_share_by_area() -> None:
    data = Text(word="O I", count=4000)
    x = torch.cat([data.train_values, data.held_out_values])
    assert data.modes is not None
    assert data.modes.names == ("1_O", "2_I")
    letter = x[data.modes.assign(x) == 0]
    middle = (letter.max(0).values + letter.min(0).values) / 2
    assert (letter - middle).norm(dim=1).min() > 0.15
    assert data.modes.shares[0] > 2 * data.modes.shares[1]
    assert (x.max(0).values + x.min(0).values).abs().max() < 0.05


def test_text_of_other_words_raises() -> None:
    with pytest.raises(ValueError, match="lacks"):
        Text(word="a\u4e2d", count=100)
    for word in ("", "  ", "a\nb"):
        with pytest.raises(ValueError, match="one line"):
            Text(word=word)
    with pytest.raises(ValueError, match="No Such Family"):
        Text(font="No Such Family")


def test_settings_without_sense_raise() -> None:
    with pytest.raises(ValueError, match="noise > 0"):
        Moons(noise=0)
    with pytest.raises(ValueError, match="radii that rise"):
        Rings(radii=[2.0, 1.0])
    with pytest.raises(ValueError, match="even number"):
        Checkerboard(squares=3)
