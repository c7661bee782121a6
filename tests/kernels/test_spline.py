"""Splines by compiled loops against plain operations."""

import pytest
import torch

from distill.bijectors import RationalQuadraticSpline
from distill.kernels.choice import may_compile, plain_twins

torch.manual_seed(0)
SPLINE = RationalQuadraticSpline(bins=5, limit=3.0)
GIVEN = 2 * torch.randn(200, 3, dtype=torch.float64)  # some 13 % lie outside
RAW = 2 * torch.randn(200, 3, SPLINE.parameters_per_site, dtype=torch.float64)
ENDS = torch.randn(200, 3, dtype=torch.float64), torch.randn(200, 3, dtype=torch.float64)
DIRECTIONS = pytest.mark.parametrize("direction", [SPLINE.forward, SPLINE.inverse])


def found(direction, dtype=torch.float64):
    value, raw = (t.to(dtype).requires_grad_() for t in (GIVEN, RAW))
    results = direction(value, raw)
    ends = [e.to(dtype) for e in ENDS]
    return [*results, *torch.autograd.grad(results, (value, raw), ends)]


@DIRECTIONS
def test_the_loop_gives_what_operations_give_and_their_gradients(direction):
    assert may_compile(GIVEN, RAW)
    fast = found(direction)
    with plain_twins():
        plain = found(direction)
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@DIRECTIONS
def test_in_single_precision_the_loop_is_about_as_near_to_the_truth(direction):
    with plain_twins():
        truth, plain = found(direction), found(direction, torch.float32)
    for a, b, true in zip(found(direction, torch.float32), plain, truth, strict=True):
        assert a.dtype == torch.float32
        assert (a - true).abs().mean() <= 2 * (b - true).abs().mean()


@DIRECTIONS
def test_gradients_of_the_loop_can_be_differentiated(direction):
    value, raw = GIVEN[:6, :1].clone().requires_grad_(), RAW[:6, :1].clone().requires_grad_()
    assert torch.autograd.gradcheck(direction, (value, raw))
    assert torch.autograd.gradgradcheck(direction, (value, raw))


@DIRECTIONS
def test_a_gradient_of_one_input_alone_is_the_same(direction):
    value, raw = GIVEN.clone().requires_grad_(), RAW.clone().requires_grad_()
    both = torch.autograd.grad(direction(value, raw), (value, raw), ENDS)
    (one,) = torch.autograd.grad(direction(value, RAW), value, ENDS)
    (other,) = torch.autograd.grad(direction(GIVEN, raw)[1].sum(), raw, create_graph=True)
    (same,) = torch.autograd.grad(direction(GIVEN, raw)[1].sum(), raw)
    torch.testing.assert_close(one, both[0])
    torch.testing.assert_close(other, same)


def test_values_and_parameters_may_lie_in_any_order_of_memory():
    turned, raw = GIVEN.T, RAW.transpose(0, 1)
    assert torch.equal(SPLINE(turned, raw)[0], SPLINE(GIVEN, RAW)[0].T)
    assert SPLINE(GIVEN[:0], RAW[:0])[0].shape == (0, 3)


def test_what_is_not_finite_stays_so():
    raw = torch.zeros(2, SPLINE.parameters_per_site)
    given = torch.tensor([float("nan"), float("inf")])
    x, _ = SPLINE(given, raw)
    assert x[0].isnan()
    assert x[1] == float("inf")
    raw[0] = float("nan")
    assert SPLINE(torch.zeros(2), raw)[0].isnan().tolist() == [True, False]


@pytest.mark.parametrize("shape", [(1, 2, 11), (2, 11), (9, 2, 11), (8, 2, 12), (8, 2, 10)])
def test_parameters_of_other_values_are_refused_rather_than_read_past_their_end(shape):
    with pytest.raises(ValueError, match=r"for values \(8, 2\) wanted .*\(8, 2, 11\), got"):
        RationalQuadraticSpline(4)(torch.randn(8, 2), torch.randn(shape))
