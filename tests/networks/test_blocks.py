"""What a conditioner over blocks needs: the triangle inside a block, and sites a period ago."""

import pytest
import torch
from torch.autograd.functional import jacobian

from distill.networks.blocks import InnerBlock, sites_ago, whole_periods


def doubles(*shape):
    return torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize("block", [1, 2, 3, 8])
def test_each_site_is_moved_by_the_triangle_of_those_before_it(block):
    inner = InnerBlock(block, 3, [0, 2]).double()
    raw, values = doubles(2, 5, block, 3), doubles(2, 5, block)
    coefficients = doubles(2, 5, block * (block - 1) // 2)
    assert inner.coefficients == coefficients.shape[-1]
    moved = inner(raw, coefficients, values)
    at = 0
    for j in range(block):
        shift = torch.zeros(2, 5, dtype=torch.float64)
        for i in range(j):
            shift += coefficients[..., at] * values[..., i]
            at += 1
        torch.testing.assert_close(moved[..., j, 0], raw[..., j, 0] + shift)
        torch.testing.assert_close(moved[..., j, 2], raw[..., j, 2] + shift)
        assert torch.equal(moved[..., j, 1], raw[..., j, 1])


def test_a_site_is_not_moved_by_itself_or_by_later_ones():
    inner, raw, coefficients = InnerBlock(4, 2, [0]).double(), doubles(4, 2), doubles(6)
    moved = jacobian(lambda v: inner(raw, coefficients, v)[:, 0], doubles(4))
    assert torch.equal(moved.triu(), torch.zeros_like(moved))
    assert (moved.tril(-1) != 0).sum() == 6


@pytest.mark.parametrize(("block", "locations"), [(4, []), (1, [0]), (1, [])])
def test_where_nothing_is_moved_there_are_no_coefficients(block, locations):
    inner, raw = InnerBlock(block, 2, locations), torch.randn(3, block, 2)
    assert inner.coefficients == 0
    assert torch.equal(inner(raw, torch.zeros(3, 0), torch.randn(3, block)), raw)


@pytest.mark.parametrize("locations", [[2], [-1], [0, 5]])
def test_locations_that_a_site_does_not_have_are_refused(locations):
    with pytest.raises(ValueError, match="locations among the 2 parameters of a site"):
        InnerBlock(2, 2, locations)


def test_its_tables_are_not_saved_but_follow_the_precision():
    inner = InnerBlock(3, 2, [0])
    assert not inner.state_dict()
    assert inner.double().pick.dtype == torch.float64


@pytest.mark.parametrize(
    ("lag", "distance"),
    [
        (0.0, 0),  # unvoiced
        (-3.0, 0),
        (5.0, 5),  # the nearest that reads nothing of its own block
        (4.9, 10),  # one period is too short, though it would round up
        (4.4, 9),
        (2.0, 6),
        (1.6, 6),
        (0.01, 5),
        (7.4, 7),
        (7.5, 8),
        (20.4, 20),
        (20.6, 0),  # beyond the longest
        (1e9, 0),
    ],
)
def test_the_fewest_whole_periods_that_lie_before_the_block_are_taken(lag, distance):
    found = whole_periods(torch.tensor([lag], dtype=torch.float64), 4, 3, 20)
    assert found.dtype == torch.int64
    assert found.tolist() == [[distance]]


@pytest.mark.parametrize(
    ("lag", "distances"),
    [
        (0.0, [0, 0, 0]),
        (5.0, [5, 10, 15]),
        (2.0, [6, 8, 10]),  # three of them are the first that fit
        (6.4, [6, 13, 19]),  # rounded each, so that errors don't add up
        (9.0, [9, 18, 0]),
    ],
)
def test_further_distances_are_a_period_farther_each_as_long_as_they_are_in_reach(lag, distances):
    found = whole_periods(torch.tensor([lag], dtype=torch.float64), 4, 3, 20, periods=3)
    assert found.tolist() == [distances]


@pytest.mark.parametrize(("block", "around"), [(1, 1), (1, 3), (2, 5), (8, 1), (8, 3)])
def test_no_distance_reaches_into_its_own_block_or_beyond_the_longest(block, around):
    lag = torch.linspace(0.0, 40.0, 4001, dtype=torch.float64)
    distance = whole_periods(lag, block, around, 30)[:, 0]
    found = distance > 0
    assert (distance[found] >= block + around // 2).all()
    assert (distance[found] <= 30).all()
    # Off by at most half a site of whole periods.
    periods = torch.round(distance[found] / lag[found])
    assert ((periods * lag[found] - distance[found]).abs() <= 0.5 + 1e-9).all()
    # Everything that fits is found: one or several periods within reach.
    assert found[(lag >= block + around // 2) & (lag <= 30)].all()


@pytest.mark.parametrize(("block", "around"), [(1, 1), (1, 3), (4, 1), (4, 3)])
def test_sites_ago_are_those_at_the_distance_and_around_it(block, around):
    before, blocks = 20, 6
    past = torch.arange(1.0, 1 + before + blocks * block)[None].repeat(2, 1)
    distance = torch.randint(block + around // 2, before - around // 2 + 1, (2, blocks, 2))
    distance[0, 1, 0] = distance[1, 4] = 0
    read = sites_ago(past, distance, block, around)
    assert read.shape == (2, blocks, 2 * (block + around - 1))
    each = read.unflatten(2, (2, -1))
    for b in range(2):
        for n in range(blocks):
            for p in range(2):
                start = before + n * block - int(distance[b, n, p]) - around // 2
                wanted = past[b, start : start + block + around - 1]
                if not distance[b, n, p]:
                    wanted = torch.zeros_like(wanted)
                assert torch.equal(each[b, n, p], wanted)


def test_autocast_moves_locations_in_full_precision():
    inner = InnerBlock(4, 2, [0])
    given = torch.randn(2, 5, 4, 2), torch.randn(2, 5, 6), 9 * torch.randn(2, 5, 4)
    full = inner(*given)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(inner(*given), full)
