"""The fused stack of gated layers: its plain twin, gradients, and what it leaves alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

from distill.contract import Context
from distill.kernels.choice import may_compile, plain_twins
from distill.networks import WaveNet, wavenet_stack
from distill.networks.gated_stack import Given, Stack, stack_by_operations
from distill.networks.gated_stack_fast import GatedStack, stack_forward
from tests.networks.wavenets import CASES, Case

SOME = [
    "kernel 2 with skips",
    "kernel 3 without skips",
    "unequal widths",
    "a row a site",
    "blocks of 2, all of it",
    "blocks of 4, one row",
]


@pytest.fixture(autouse=True)
def _short_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wavenet_stack, "_LEAST_ROWS", 1)


def long(name: str) -> Case:
    """Return a case of several pieces of rows, of which the last is shorter."""
    case = CASES[name]
    hop = (case.hop or 1) * case.settings.get("block", 1)
    return case._replace(sites=1_030 * case.settings.get("block", 1) // hop * hop)


def gradients(net: WaveNet, x: torch.Tensor, context: Context | None) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    rows = None if context is None or context.rows is None else context.rows.requires_grad_()
    inputs = [t for t in (x, rows, *net.parameters()) if t is not None]
    out = net(x, context)
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    found = torch.autograd.grad((out * weight).sum(), inputs, allow_unused=True)
    return [out, *(torch.zeros_like(x) if g is None else g for g in found)]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", SOME)
def test_a_fused_stack_gives_the_values_and_gradients_of_plain_layers(name, threads):
    case = long(name)
    net, (x, context) = case.net(), case.inputs(batch=3)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        got = gradients(net, x, context)
        with torch.no_grad():
            kept_nothing = net(x, context)
        part = copy.deepcopy(net).float()
        single = part(x.float(), None if context is None else floats(context))
    finally:
        torch.set_num_threads(before)
    with plain_twins():
        wanted = gradients(net, x, context)
    for g, w in zip(got, wanted, strict=True):
        torch.testing.assert_close(g, w, rtol=1e-10, atol=1e-10 * w.abs().max().clamp_min(1).item())
    torch.testing.assert_close(kept_nothing, wanted[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(single.double(), wanted[0], rtol=1e-4, atol=1e-5)


def floats(context: Context) -> Context:
    each = (context.rows, context.source, context.lag)
    rows, source, lag = (None if t is None else t.float() for t in each)
    return Context(rows, context.hop, source, lag)


@pytest.mark.parametrize("name", ["kernel 2 with skips", "kernel 3 without skips"])
def test_a_plain_stack_is_the_function_that_the_fused_one_computes(name):
    net, (x, _) = CASES[name].net(), CASES[name].inputs()
    layers = list(net.layers)
    h = torch.randn(2, 70, net.channels, dtype=x.dtype)
    stack, given = wavenet_stack.stack_of(net, layers, h, net.reader(None, x))
    wanted = stack_by_operations(stack, h, given)
    torch.testing.assert_close(stack_forward(stack, h, given), wanted)
    torch.testing.assert_close(GatedStack.apply(stack, h, *given), wanted)


@pytest.mark.parametrize("name", ["unequal widths", "a row a site"])
def test_second_derivatives_go_through_a_fused_stack(name):
    case = CASES[name]
    net, (x, context) = case.net(), case.inputs(batch=1, sites=3)
    given = dict(net.named_parameters())
    chosen = ["layers.0.taps.weight", "layers.1.out.weight", "layers.1.taps.bias"]

    def run(x, *weights):
        own = {**given, **dict(zip(chosen, weights, strict=True))}
        return functional_call(net, own, (x, context)).tanh()

    inputs = (x.requires_grad_(), *(given[key] for key in chosen))
    assert gradcheck(run, inputs)
    assert gradgradcheck(run, inputs)


def test_frozen_weights_get_no_gradient_and_pass_one_on():
    net = CASES["kernel 2 with skips"].net().requires_grad_(False)
    x = torch.randn(2, 80, dtype=torch.float64, requires_grad=True)
    net(x).square().sum().backward()
    got = x.grad.clone()
    x.grad = None
    with plain_twins():
        net(x).square().sum().backward()
    torch.testing.assert_close(got, x.grad)
    assert all(p.grad is None for p in net.parameters())


def test_a_backward_pass_can_be_repeated_and_not_after_it_is_let_go():
    net, x = CASES["kernel 2 with skips"].net(), torch.randn(1, 70, dtype=torch.float64)
    loss = net(x).square().sum()
    loss.backward(retain_graph=True)
    once = net.first.weight.grad.clone()
    loss.backward()
    torch.testing.assert_close(net.first.weight.grad, 2 * once)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_compiled_loops_leave_alone_what_they_do_not_know():
    x = torch.zeros(2, 3)
    assert may_compile(x)
    assert not may_compile(x.half())
    assert not may_compile(x.to("meta"))
    assert not may_compile(x, x.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert not may_compile(x)
    seen = []
    torch.func.vmap(lambda row: (seen.append(may_compile(row)), row)[1])(x)
    assert seen == [False]


def test_a_layer_that_somebody_watches_or_replaces_is_called():
    net, x, calls = CASES["kernel 2 with skips"].net(), torch.randn(1, 70).double(), []
    handle = net.layers[1].taps.register_forward_hook(lambda *_: calls.append("hook"))
    net(x)
    assert calls == ["hook"]
    handle.remove()

    class Other(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append("other")
            return super().forward(x)

    net.layers[1].out.__class__ = Other
    net(x)
    assert calls == ["hook", "other"]


def test_rows_of_another_precision_are_refused_as_by_plain_layers():
    case = CASES["a row a site"]
    net, (x, context) = case.net(), case.inputs()
    with pytest.raises(RuntimeError, match="dtype"):
        net(x, Context(context.rows.float(), context.hop))


@pytest.mark.parametrize("skips", [0, 3])
def test_a_gradient_may_lie_in_any_order_of_memory(skips):
    weights = torch.randn(2, 4), torch.randn(2, 8, 8), torch.randn(2, 4 + skips, 4)
    given = Given(torch.randn(1, 1, 2, 8), None, None, *weights)
    stack, h = Stack(2, (1, 2), skips, 5, True), torch.randn(3, 5, 4, requires_grad=True)
    gradient = torch.randn(skips or 4, 3, 5).permute(1, 2, 0)
    (got,) = torch.autograd.grad(GatedStack.apply(stack, h, *given), h, gradient)
    (expected,) = torch.autograd.grad(stack_by_operations(stack, h, given), h, gradient)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
