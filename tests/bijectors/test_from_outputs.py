"""Layers with a parallel inverse are found back from their last output, with equal gradients."""

from __future__ import annotations

import gc
import weakref
from functools import partial

import pytest
import torch

from distill.bijectors import BatchNorm, Chain, Coupling, Flip, RationalQuadraticSpline
from distill.contract import DataSpec, FeatureSpec
from distill.models import coupling_flow, iaf, maf, nice
from distill.networks import MLP
from tests.randomized import randomized

PLAIN = DataSpec(sites=4)
GIVEN = DataSpec(sites=4, features={"condition": FeatureSpec("vector", 2)})
SPLINE = partial(RationalQuadraticSpline, bins=4)

FLOWS = {
    "real_nvp": lambda again: coupling_flow(PLAIN, 4, [8], recompute=again),
    "real_nvp of features": lambda again: coupling_flow(GIVEN, 4, [8], recompute=again),
    "splines": lambda again: coupling_flow(GIVEN, 3, [8], SPLINE, recompute=again),
    "nice": lambda again: nice(GIVEN, 4, [8], recompute=again),
    "batch norm, whose inverse is another": lambda again: coupling_flow(
        PLAIN, 3, [8], norm="batch", recompute=again
    ),
    "maf, whose inverse is sequential": lambda again: maf(GIVEN, 2, [8], recompute=again),
    "iaf": lambda again: iaf(GIVEN, 2, [8], recompute=again),
}


def flow_of(name, again):
    torch.manual_seed(0)
    return randomized(FLOWS[name](again).double(), 0.3)


def gradients(flow, of_draws, frozen):
    torch.manual_seed(1)
    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    features = None
    if flow.spec.features:
        features = {"condition": torch.randn(5, 2, dtype=torch.float64, requires_grad=True)}
    flow.train().requires_grad_(not frozen)
    if of_draws:
        draw = flow.draw(x, features)
        loss = (draw.x.square() * 0.3 + draw.log_prob).sum()
    else:
        loss = flow.log_prob(x, features).square().sum()
    loss.backward()
    given = [] if features is None else [features["condition"].grad]
    return [loss.detach(), x.grad, *given, *(p.grad for p in flow.parameters() if not frozen)]


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("of_draws", [False, True])
@pytest.mark.parametrize("name", FLOWS)
def test_gradients_are_those_of_what_is_kept(name, of_draws, frozen):
    wanted, got = (
        gradients(flow_of(name, again), of_draws, frozen) for again in (False, "outputs")
    )
    for mine, plain in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-9, atol=1e-9)
    assert wanted[1].abs().sum() > 1e-3


@pytest.mark.parametrize("of_draws", [False, True])
@pytest.mark.parametrize("name", FLOWS)
def test_second_derivatives_are_those_of_what_is_kept(name, of_draws):
    found = []
    for again in (False, "outputs"):
        flow = flow_of(name, again).eval()
        torch.manual_seed(1)
        x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
        condition = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
        features = {"condition": condition} if flow.spec.features else None
        if of_draws:
            draw = flow.draw(x, features)
            loss = (draw.x.square() * 0.3 + draw.log_prob).sum()
        else:
            loss = flow.log_prob(x, features).square().sum()
        inputs = [x, *([condition] if features else []), *flow.parameters()]
        first = torch.autograd.grad(loss, inputs, create_graph=True)
        asked = sum(g.sin().sum() for g in first)
        found.append([*first, *torch.autograd.grad(asked, inputs, allow_unused=True)])
    for mine, plain in zip(*found, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-6, atol=1e-8)


def test_a_gradient_with_a_graph_is_let_go_of():
    held = []
    for _ in range(2):
        flow = flow_of("nice", "outputs").eval()
        x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
        value = flow.log_prob(x, {"condition": torch.zeros(5, 2, dtype=torch.float64)}).sum()
        (grad,) = torch.autograd.grad(value, x, create_graph=True)
        held.append(weakref.ref(flow))
        del flow, x, value, grad
    gc.collect()
    assert [each() for each in held] == [None, None]


def held(flow):
    sizes = []

    def keep(value):
        sizes.append(value.numel())
        return value

    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        flow.log_prob(x)
    return sum(sizes)


def test_what_is_held_does_not_grow_with_the_number_of_flows():
    def sizes(again):
        return [held(coupling_flow(PLAIN, n, [8], recompute=again).double()) for n in (2, 8)]

    few, many = sizes("outputs")
    assert few == many
    few, many = sizes(False)
    assert many > 3 * few


def test_a_weight_that_layers_share_gets_the_sum_of_its_gradients():
    found = []
    for again in (False, "outputs"):
        torch.manual_seed(0)
        network = MLP(2, 4, [8])
        torch.nn.init.normal_(network.layers[-1].weight)
        layers = [Coupling(4, network), Flip(), Coupling(4, network)]
        chain = Chain(layers, again).double()
        y, log_det = chain(torch.linspace(-1, 1, 12, dtype=torch.float64).view(3, 4))
        (y.square() + log_det).sum().backward()
        found.append([p.grad for p in network.parameters()])
    for mine, plain in zip(*found, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-10, atol=1e-10)


def test_mixed_precision_is_that_of_the_forward_pass():
    found = []
    for again in (False, "outputs"):
        torch.manual_seed(0)
        flow = coupling_flow(PLAIN, 3, [8], recompute=again)
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16):
            loss = -flow.log_prob(torch.randn(64, 4)).mean()
        loss.backward()
        found.append(torch.cat([p.grad.flatten() for p in flow.parameters()]))
    torch.testing.assert_close(*found, rtol=0.02, atol=1e-3)


def test_batch_norm_is_found_back_in_evaluation_only():
    layer = BatchNorm(3)
    assert not layer.is_parallel
    assert layer.eval().is_parallel


def test_another_way_is_refused():
    with pytest.raises(ValueError, match="wanted false, activations \\(or true\\) or outputs"):
        coupling_flow(PLAIN, 2, [8], recompute="inputs")
