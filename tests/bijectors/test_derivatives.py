"""Every bijector has right derivatives of both orders, in both directions, in float64."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from distill.bijectors import RationalQuadraticSpline
from distill.contract import Context
from tests.bijectors.test_contract import CASES, SITES
from tests.randomized import randomized


@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.parametrize("name", CASES)
def test_both_outputs_have_right_derivatives_of_both_orders(name, direction):
    case = CASES[name]
    torch.manual_seed(0)
    layer = randomized(case.build().double().eval(), 0.2)
    x = torch.randn(2, SITES, dtype=torch.float64, requires_grad=True)
    context = None
    if case.context:
        context = Context(torch.randn(2, case.context, dtype=torch.float64))

    def both(x):
        # Bent, so that an affine map has a second derivative to compare.
        return tuple(part.tanh() for part in getattr(layer, direction)(x.sinh(), context))

    assert gradcheck(both, x, fast_mode=True)
    assert gradgradcheck(both, x, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_spline_is_finite_at_its_knots_and_ends_in_any_precision(dtype):
    torch.manual_seed(0)
    spline = RationalQuadraticSpline(bins=8)
    raw = (4 * torch.randn(500, 1, spline.parameters_per_site)).to(dtype)
    at = torch.linspace(-4, 4, 500)[:, None].to(dtype).requires_grad_()
    for direction in (spline.forward, spline.inverse):
        y, log_det = direction(at, raw)
        (slope,) = torch.autograd.grad(y.sum() + log_det.sum(), at)
        assert y.isfinite().all()
        assert log_det.isfinite().all()
        assert slope.isfinite().all()
        assert (y.dtype, log_det.dtype) == (dtype, torch.float32)
