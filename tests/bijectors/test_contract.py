"""What every bijector promises, in float64, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import nn

from distill.bijectors import (
    ActNorm,
    Affine,
    Autoregressive,
    BatchNorm,
    Bijector,
    Chain,
    Coupling,
    Flip,
    Inverse,
    Permute,
    RationalQuadraticSpline,
    Shift,
    Standardize,
)
from distill.contract import Context
from distill.networks import MADE, MLP, MaskedLinear, WaveNet

SITES = 5
CONTEXT = 3
ORDER = [2, 0, 4, 1, 3]


class Case(NamedTuple):
    build: Callable[[], Bijector]
    keeps_order: bool
    is_affine: bool
    context: int = 0


def made(context: int = 0, parameters: int = 2, order: str | list[int] = "natural") -> MADE:
    return MADE(SITES, [12, 9], parameters, context, order, activation="tanh")


def iaf(**settings) -> Autoregressive:
    return Autoregressive(made(**settings))


def spline_iaf(context: int = 0) -> Autoregressive:
    spline = RationalQuadraticSpline(bins=4)
    return Autoregressive(made(context, spline.parameters_per_site), spline)


def blocks(context: int = 0) -> Autoregressive:
    """Five sites in blocks of two: the last block is not whole."""
    return Autoregressive(WaveNet(2, 2, channels=6, context_channels=context, block=2))


def coupling(transform=Affine, mask: str = "half", keep: int = 0, context: int = 0) -> Coupling:
    kept = len(range(SITES)[keep::2]) if mask == "even" else (SITES + keep) // 2
    change = transform()
    outputs = (SITES - kept) * change.parameters_per_site
    return Coupling(SITES, MLP(kept + context, outputs, [8]), change, mask, keep)


def batch_norm() -> BatchNorm:
    layer = BatchNorm(SITES)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2.0)
    return layer


def deep(context: int = 0) -> Chain:
    return Chain(
        [
            iaf(context=context),
            Flip(),
            Inverse(iaf(context=context)),
            Permute(ORDER),
            coupling(context=context),
            batch_norm(),
            Standardize([0.1, 0.2, 0.3, 0.4, 0.5], [1.0, 2.0, 0.5, 3.0, 0.1]),
        ]
    )


CASES = {
    "Autoregressive": Case(iaf, True, True),
    "Autoregressive (context)": Case(lambda: iaf(context=CONTEXT), True, True, CONTEXT),
    "Autoregressive (reverse order)": Case(lambda: iaf(order="reverse"), False, True),
    "Autoregressive (own order)": Case(lambda: iaf(order=ORDER), False, True),
    "Autoregressive (own order, context)": Case(
        lambda: iaf(order=ORDER, context=CONTEXT), False, True, CONTEXT
    ),
    "Autoregressive (no bound)": Case(
        lambda: Autoregressive(made(), Affine(bound=None, log_scale=-0.5)), True, True
    ),
    "Autoregressive (shift)": Case(lambda: Autoregressive(made(parameters=1), Shift()), True, True),
    "Autoregressive (spline)": Case(spline_iaf, True, False),
    "Autoregressive (spline, context)": Case(lambda: spline_iaf(CONTEXT), True, False, CONTEXT),
    "Autoregressive (blocks)": Case(blocks, True, True),
    "Autoregressive (blocks, context)": Case(lambda: blocks(CONTEXT), True, True, CONTEXT),
    "Inverse(Autoregressive) (blocks)": Case(lambda: Inverse(blocks()), True, True),
    "Inverse(Autoregressive)": Case(lambda: Inverse(iaf()), True, True),
    "Inverse(Autoregressive) (own order, context)": Case(
        lambda: Inverse(iaf(order=ORDER, context=CONTEXT)), False, True, CONTEXT
    ),
    "Inverse(Autoregressive) (spline)": Case(lambda: Inverse(spline_iaf()), True, False),
    "Coupling (half)": Case(coupling, True, True),
    "Coupling (half, keep=1)": Case(lambda: coupling(keep=1), False, True),
    "Coupling (even)": Case(lambda: coupling(mask="even"), False, True),
    "Coupling (even, keep=1)": Case(lambda: coupling(mask="even", keep=1), False, True),
    "Coupling (shift)": Case(lambda: coupling(Shift), True, True),
    "Coupling (spline)": Case(lambda: coupling(RationalQuadraticSpline), True, False),
    "Coupling (context)": Case(lambda: coupling(context=CONTEXT), True, True, CONTEXT),
    "BatchNorm": Case(batch_norm, True, True),
    "Inverse(BatchNorm)": Case(lambda: Inverse(batch_norm()), True, True),
    "ActNorm": Case(lambda: ActNorm(SITES), True, True),
    "Standardize": Case(lambda: Standardize([1.0, 2, 3, 4, 5], [0.5, 2, 1, 3, 4]), True, True),
    "Standardize (one for all)": Case(lambda: Standardize([1.0], [3.0]), True, True),
    "Flip": Case(Flip, False, True),
    "Permute": Case(lambda: Permute(ORDER), False, True),
    "Chain (in order)": Case(
        lambda: Chain([iaf(), batch_norm(), Inverse(iaf()), ActNorm(SITES)]), True, True
    ),
    "Chain (everything)": Case(deep, False, True),
    "Chain (everything, context)": Case(lambda: deep(CONTEXT), False, True, CONTEXT),
    "Inverse(Chain)": Case(lambda: Inverse(deep()), False, True),
}


def randomized(module: nn.Module, seed: int) -> nn.Module:
    """Random float64 weights, so that nothing is tested at its identity."""
    generator = torch.Generator().manual_seed(seed)
    module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.6)
    for part in module.modules():
        if isinstance(part, MaskedLinear):
            part.mask_()
    return module


@pytest.fixture(params=CASES, name="case")
def _case(request) -> Case:
    torch.manual_seed(0)
    return CASES[request.param]


@pytest.fixture(name="bijector")
def _bijector(case: Case) -> nn.Module:
    return randomized(case.build(), seed=1)


@pytest.fixture(name="u")
def _u() -> torch.Tensor:
    return torch.randn(6, SITES, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.fixture(name="context")
def _context(case: Case) -> Context | None:
    generator = torch.Generator().manual_seed(3)
    if not case.context:
        return None
    return Context(torch.randn(6, case.context, dtype=torch.float64, generator=generator))


def part_of(context: Context | None, rows: slice) -> Context | None:
    return None if context is None else Context(context.rows[rows])


def jacobians(apply, value, context):
    """The Jacobian of each row by itself, `(B, T, T)`."""
    rows = []
    for i, row in enumerate(value):
        given = part_of(context, slice(i, i + 1))
        rows.append(
            torch.autograd.functional.jacobian(
                lambda v, given=given: apply(v[None], given)[0][0], row
            )
        )
    return torch.stack(rows)


def test_values_and_log_dets_are_batch_by_sites(bijector, u, context):
    for apply in (bijector.forward, bijector.inverse):
        value, log_det = apply(u, context)
        assert value.shape == log_det.shape == u.shape
        assert value.dtype == log_det.dtype == torch.float64


def test_the_claims_are_the_expected_ones(case, bijector):
    assert bijector.keeps_order == case.keeps_order
    assert bijector.is_affine == case.is_affine


@pytest.mark.parametrize("gradients", [True, False])
def test_inverse_undoes_forward(bijector, u, context, gradients):
    with torch.set_grad_enabled(gradients):
        x, log_det = bijector(u, context)
        back, log_det_back = bijector.inverse(x, context)
    torch.testing.assert_close(back, u, rtol=0, atol=1e-9)
    torch.testing.assert_close(log_det_back.sum(1), -log_det.sum(1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("gradients", [True, False])
def test_forward_undoes_inverse(bijector, u, context, gradients):
    with torch.set_grad_enabled(gradients):
        noise, log_det = bijector.inverse(u, context)
        x, log_det_back = bijector(noise, context)
    torch.testing.assert_close(x, u, rtol=0, atol=1e-9)
    torch.testing.assert_close(log_det_back.sum(1), -log_det.sum(1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_log_det_is_that_of_the_jacobian(bijector, u, context, direction):
    apply = getattr(bijector, direction)
    log_det = apply(u, context)[1].sum(1)
    expected = torch.linalg.slogdet(jacobians(apply, u, context)).logabsdet
    torch.testing.assert_close(log_det, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_where_the_order_is_kept_the_jacobian_is_triangular(case, bijector, u, context, direction):
    apply = getattr(bijector, direction)
    jacobian = jacobians(apply, u, context)
    above = jacobian.triu(1)
    if not case.keeps_order:
        assert above.abs().max() > 1e-3, "it keeps the order after all"
        return
    assert torch.equal(above, torch.zeros_like(above))
    diagonal = jacobian.diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(apply(u, context)[1], diagonal.abs().log(), rtol=0, atol=1e-9)


def test_where_affine_is_claimed_a_site_is_affine_in_its_own_noise(case, bijector, u, context):
    if not case.keeps_order:
        pytest.skip("sites are reordered: own noise is not on the diagonal")
    bends = []
    for site in range(SITES):
        step = torch.zeros_like(u)
        step[:, site] = 0.5
        middle, left, right = (bijector(u + k * step, context)[0] for k in (0, -1, 1))
        bends.append((left + right - 2 * middle)[:, site].abs().max())
    assert (max(bends) < 1e-9) == case.is_affine


def test_gradient_reaches_every_parameter(bijector, u, context):
    if not list(bijector.parameters()):
        pytest.skip("it has none")
    generator = torch.Generator().manual_seed(4)
    for apply in (bijector.forward, bijector.inverse):
        bijector.zero_grad()
        value, log_det = apply(u, context)
        weight = torch.randn(2, *u.shape, generator=generator, dtype=torch.float64)
        (value * weight[0] + log_det * weight[1]).sum().backward()
        for name, parameter in bijector.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_gradient_is_that_of_finite_differences(bijector, u, context):
    value = u[:2].clone().requires_grad_()
    given = part_of(context, slice(2))
    for apply in (bijector.forward, bijector.inverse):
        assert torch.autograd.gradcheck(lambda v, f=apply: f(v, given), (value,), atol=1e-5)


def test_context_is_used(case, bijector, u, context):
    if not case.context:
        pytest.skip("it takes none")
    assert not torch.equal(bijector(u, context)[0], bijector(u, Context(context.rows + 1))[0])


def test_saved_weights_give_the_same_map(case, bijector, u, context):
    other = randomized(case.build(), seed=9)
    if list(bijector.parameters()):
        assert not torch.equal(other(u, context)[0], bijector(u, context)[0])
    other.load_state_dict(bijector.state_dict())
    for before, after in zip(bijector(u, context), other(u, context), strict=True):
        assert torch.equal(before, after)


def test_repr_names_the_class(bijector):
    assert type(bijector).__name__ in repr(bijector)


def test_other_numbers_of_sites_are_refused_with_both_numbers(bijector, u):
    of_any_length = isinstance(bijector, Flip) or any(
        isinstance(part, WaveNet) for part in bijector.modules()
    )
    if of_any_length or (isinstance(bijector, Standardize) and len(bijector.loc) == 1):
        pytest.skip("it takes any number of sites")
    with pytest.raises(ValueError, match=rf"{SITES}.*{SITES + 1}"):
        bijector(torch.zeros(2, SITES + 1, dtype=torch.float64))
