"""Coverage of modes, recall and precision."""

from __future__ import annotations

import pytest
import torch

from distill.data import Moons
from distill.evaluation import Neighborhood, coverage


def _normal(count: int, sites: int, seed: int) -> torch.Tensor:
    return torch.randn(count, sites, generator=torch.Generator().manual_seed(seed))


def test_coverage_of_one_moon_deviates_by_a_half() -> None:
    data = Moons(count=2000)
    assert data.modes is not None
    x = data.train_values
    one = coverage(x[data.modes.assign(x) == 0], data.modes)
    assert one.shares == (1.0, 0.0)
    assert one.largest_deviation == 0.5
    assert coverage(x, data.modes).largest_deviation < 0.03


def test_samples_that_are_not_finite_belong_to_no_mode() -> None:
    modes = Moons(count=100).modes
    assert modes is not None
    x = torch.tensor([[0.0, 1.0], [float("nan"), 0.0], [float("inf"), 1.0], [1.0, -0.5]])
    covered = coverage(x, modes)
    assert (covered.outside, covered.shares) == (0.5, (0.25, 0.25))


@pytest.mark.parametrize("sites", [1, 2, 5, 30])
def test_a_perfect_sampler_recalls_the_quantile(sites: int) -> None:
    train, samples, held_out = (_normal(2000, sites, seed) for seed in range(3))
    near = Neighborhood.of(train)
    assert near.recall(samples, held_out) == pytest.approx(0.99, abs=0.015)
    assert near.precision(samples) == pytest.approx(0.99, abs=0.015)


@pytest.mark.parametrize("sites", [2, 20])
def test_a_lost_mode_lowers_recall_and_a_stray_one_precision(sites: int) -> None:
    def pair(seed: int, low: float, high: float) -> torch.Tensor:
        x = 0.1 * _normal(1000, sites, seed)
        return torch.cat([x[:500] + low, x[500:] + high])

    near = Neighborhood.of(pair(0, -3, 3))
    held_out = pair(1, -3, 3)
    assert near.recall(pair(2, -3, -3), held_out) == pytest.approx(0.5, abs=0.02)
    assert near.precision(pair(2, -3, -3)) > 0.97
    assert near.precision(pair(2, -3, 9)) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("sites", [2, 20])
def test_radius_is_the_distance_to_the_nearest_other_value(sites: int) -> None:
    train = _normal(300, sites, 0).double()
    apart = torch.cdist(train, train)
    apart.fill_diagonal_(float("inf"))
    expected = apart.min(1).values.quantile(0.99)
    assert Neighborhood.of(train).radius == pytest.approx(float(expected), rel=1e-6)


def test_units_do_not_matter_with_a_scale() -> None:
    train, samples, held_out = (_normal(500, 3, seed) for seed in range(3))
    units = torch.tensor([1.0, 1000.0, 1e-3])
    plain = Neighborhood.of(train).recall(samples, held_out)
    scaled = Neighborhood.of(train * units, scale=units).recall(samples * units, held_out * units)
    assert scaled == pytest.approx(plain)


def test_broken_samples_are_neither_precise_nor_near() -> None:
    near = Neighborhood.of(_normal(100, 2, 0))
    broken = torch.full((50, 2), float("nan"))
    assert near.precision(broken) == 0
    assert near.recall(broken, _normal(10, 2, 1)) == 0
