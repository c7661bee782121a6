"""Derivatives of masked networks: of second order, by torch.func, and nothing left behind."""

from __future__ import annotations

import copy
import io
from functools import partial

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, vmap

from distill.bijectors import ActNorm, BatchNorm, Inverse, RationalQuadraticSpline
from distill.contract import DataSpec
from distill.models import coupling_flow, iaf, maf
from distill.networks import MADE, MaskedLinear
from distill.networks import masked_linear as module

FLOWS = {
    "maf": partial(maf, activation="tanh"),
    "maf (spline)": partial(maf, activation="silu", transform=partial(RationalQuadraticSpline, 4)),
    "maf (mixture)": partial(maf, activation="tanh", mixture=2),
    "maf (batch norm)": partial(maf, activation="tanh", norm="batch"),
    "iaf": partial(iaf, activation="tanh"),
    "coupling": partial(coupling_flow, norm="act"),
}


def density(name: str, sites: int = 2, hidden: tuple[int, ...] = (12, 12)) -> nn.Module:
    torch.manual_seed(0)
    flow = FLOWS[name](DataSpec(sites=sites), layers=2, hidden=list(hidden)).double()
    for layer in flow.modules():
        if isinstance(layer, MaskedLinear | nn.Linear):
            nn.init.normal_(layer.weight, std=0.4)
        if isinstance(layer, MaskedLinear):
            layer.mask_()
    return flow.eval()


@pytest.mark.parametrize("entries", [1, 10_000], ids=["in blocks", "in one block"])
def test_a_staircase_has_a_second_derivative(entries, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_ENTRIES", entries)
    layer = MaskedLinear(5, reach=[0, 1, 2, 2, 4]).double()
    assert len(layer._plan) == (4 if entries == 1 else 1)
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)

    def smooth(x, weight, bias):
        # The weight is masked by hand, since finite differences move every entry of it.
        given = {"weight": weight * layer.mask, "bias": bias}
        return functional_call(layer, given, (x.tanh(),)).tanh()

    inputs = (x, layer.weight, layer.bias)
    assert gradcheck(smooth, inputs)
    assert gradgradcheck(smooth, inputs)


@pytest.mark.parametrize("name", [name for name in FLOWS if name != "coupling"])
def test_the_hessian_of_a_density_is_symmetric_and_that_of_finite_differences(name):
    flow = density(name)
    x, step = torch.tensor([0.803276, 0.174833], dtype=torch.float64), 1e-5

    def score(x):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(flow.log_prob(x[None]).sum(), x)[0]

    got = torch.autograd.functional.hessian(lambda x: flow.log_prob(x[None]).sum(), x)
    steps = step * torch.eye(2, dtype=torch.float64)
    wanted = torch.stack([(score(x + d) - score(x - d)) / (2 * step) for d in steps])
    assert got.abs().max() > 0.05
    torch.testing.assert_close(got, got.T, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_score_matching_trains_every_weight():
    """The squared score and its divergence, Hyvarinen's objective, need second derivatives."""
    flow = density("maf").train()
    data = torch.randn(64, 2, dtype=torch.float64) * torch.tensor([2.0, 0.5], dtype=torch.float64)
    optimizer = torch.optim.Adam(flow.parameters(), 0.01)
    losses = []
    for _ in range(30):
        x = data.clone().requires_grad_()
        (score,) = torch.autograd.grad(flow.log_prob(x).sum(), x, create_graph=True)
        trace = sum(
            torch.autograd.grad(score[:, i].sum(), x, create_graph=True)[0][:, i] for i in (0, 1)
        )
        loss = (trace + 0.5 * score.square().sum(1)).mean()
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in flow.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", FLOWS)
def test_transforms_of_torch_give_what_autograd_gives_and_leave_nothing_behind(name, training):
    flow = density(name).train(training)
    points = torch.randn(3, 2, dtype=torch.float64)
    before = copy.deepcopy(flow.state_dict())

    def log_prob(x):
        # Two equal rows: batch statistics, where there are any, want more than one.
        return flow.log_prob(x.expand(2, 2) if x.dim() == 1 else x)[0].sum()

    slopes = vmap(grad(log_prob))(points)
    assert slopes.isfinite().all()
    torch.testing.assert_close(vmap(jacrev(log_prob))(points), slopes)
    torch.testing.assert_close(vmap(jacfwd(log_prob))(points), slopes)
    if not training:
        bends = [torch.autograd.functional.hessian(log_prob, x) for x in points]
        torch.testing.assert_close(vmap(hessian(log_prob))(points), torch.stack(bends))
        with torch.no_grad():
            values = vmap(log_prob)(points)
        torch.testing.assert_close(values, torch.stack([log_prob(x) for x in points]))
        for name_, value in flow.state_dict().items():
            assert torch.equal(value, before[name_]), name_
    other = copy.deepcopy(flow)
    torch.save(flow, io.BytesIO())
    torch.testing.assert_close(other.eval().log_prob(points), flow.eval().log_prob(points))


def test_forward_mode_gives_the_directional_derivative():
    flow = density("maf")
    x, along = torch.randn(2, 4, 2, dtype=torch.float64)
    with forward_ad.dual_level():
        out = flow.log_prob(forward_ad.make_dual(x, along)).sum()
        got = forward_ad.unpack_dual(out).tangent
    value = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(flow.log_prob(value).sum(), value)
    torch.testing.assert_close(got, (slope * along).sum())


def test_a_model_that_was_traced_or_compiled_can_be_copied():
    made = MADE(30, [300], zero=False)
    x = torch.randn(2, 30)
    torch.export.export(made, (x,))
    with torch.no_grad():
        torch.export.export(made, (x,))
    compiled = torch.compile(made, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), made(x))
    torch.testing.assert_close(copy.deepcopy(made)(x), made(x))


@pytest.mark.parametrize("layer", [BatchNorm, ActNorm])
def test_a_batch_that_is_not_finite_spoils_no_statistics(layer):
    norm = layer(2)
    norm.inverse(torch.tensor([[float("nan"), 1.0], [0.0, 1.0]]))
    assert all(value.isfinite().all() for value in norm.state_dict().values())
    norm.inverse(torch.randn(8, 2) + 3)
    moved = norm.running_mean if layer is BatchNorm else norm.loc
    assert (moved > 0.1).all()


def test_a_student_of_couplings_normalizes_as_it_is_trained():
    student = coupling_flow(DataSpec(sites=2), 2, [4], norm="batch", drawn=True)
    norms = [m for m in student.modules() if isinstance(m, BatchNorm)]
    assert all(isinstance(m, Inverse) for m in student.bijector.layers[1:-1:2])
    student.draw(5 + 3 * torch.randn(64, 2))
    assert all((norm.running_mean != 0).any() for norm in norms)
