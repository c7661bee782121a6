from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, parametrize, vector_to_parameters
from torch.utils.flop_counter import FlopCounterMode

from distill.networks import MADE, MaskedLinear

# Inputs, and how far each output reaches: one block, several, none at all, all of them.
CASES = {
    "small": (3, [0, 1, 3]),
    "nothing reached": (4, [0, 0, 0]),
    "everything reached": (300, [300] * 400),
    "one row": (5, [2]),
    "even stairs": (400, [i * 400 // 512 for i in range(512)]),
    "blocks that add nothing": (700, [0] * 200 + [350] * 200 + [700] * 112),
    "a tail out of reach": (600, [i // 2 for i in range(512)]),
}


def twins(case: str):
    inputs, reach = CASES[case]
    torch.manual_seed(0)
    layer = MaskedLinear(inputs, reach).double()
    mask = (torch.arange(inputs) < torch.tensor(reach)[:, None]).double()
    x = torch.randn(6, inputs, dtype=torch.float64)
    return layer, mask, x


@pytest.mark.parametrize("case", CASES)
def test_it_equals_a_plain_masked_layer(case: str):
    layer, mask, x = twins(case)
    assert torch.equal(layer.weight * mask, layer.weight)
    wanted = F.linear(x, layer.weight * mask, layer.bias)
    torch.testing.assert_close(layer(x), wanted)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), wanted)


@pytest.mark.parametrize("case", CASES)
def test_its_gradients_equal_those_of_a_plain_masked_layer(case: str):
    layer, mask, x = twins(case)
    y = torch.randn(6, len(mask), dtype=torch.float64)
    got = torch.autograd.grad((layer(x.requires_grad_()) * y).sum(), [x, layer.weight, layer.bias])
    plain = F.linear(x, layer.weight * mask, layer.bias)
    wanted = torch.autograd.grad((plain * y).sum(), [x, layer.weight, layer.bias])
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_a_frozen_layer_passes_the_gradient_to_its_input():
    layer, mask, x = twins("even stairs")
    layer.requires_grad_(False)
    (got,) = torch.autograd.grad(layer(x.requires_grad_()).sum(), x)
    torch.testing.assert_close(got, (layer.weight * mask).sum(0).expand_as(x))
    assert layer.weight.grad is None


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_an_optimizer_keeps_the_zeros(kind: type[torch.optim.Optimizer]):
    layer, mask, x = twins("even stairs")
    before = layer.weight.detach().clone()
    optimizer = kind(layer.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        optimizer.step()
    assert not torch.equal(layer.weight, before)
    assert not (layer.weight * (1 - mask)).any()


def test_loading_a_dense_state_masks_it():
    layer, mask, _ = twins("small")
    layer.load_state_dict({"weight": torch.ones_like(layer.weight), "bias": layer.bias})
    assert torch.equal(layer.weight.detach(), mask)


def test_under_autocast_it_equals_a_plain_masked_layer_with_gradients():
    inputs, reach = CASES["even stairs"]
    layer = MaskedLinear(inputs, reach)
    x = torch.randn(6, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    y.float().sum().backward()
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), layer(x), atol=0.05, rtol=0.05)
    assert not (layer.weight.grad * (1 - layer.mask)).any()


def test_a_copy_is_independent():
    layer, _, x = twins("even stairs")
    other = copy.deepcopy(layer)
    before = layer(x)
    with torch.no_grad():
        other.bias += 1
    assert torch.equal(layer(x), before)
    torch.testing.assert_close(other(x), before + 1)


@pytest.mark.parametrize("hidden", [[700, 600], [40]])
def test_steps_of_a_made_equal_its_parallel_pass_in_blocks(hidden: list[int]):
    torch.manual_seed(0)
    made = MADE(sites=300, hidden=hidden, zero=False).double()
    x = torch.randn(3, 300, dtype=torch.float64)
    params = made(x)
    state, last = made.start(x), torch.zeros_like(x[:, 0])
    with torch.no_grad():
        for site in range(300):
            got, state = made.step(state, last)
            torch.testing.assert_close(got, params[:, site])
            last = x[:, site]


class Raised(nn.Module):
    """A parametrization that knows of no mask."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight + 0.1


def raised(made: MADE) -> dict[str, nn.Parameter]:
    return {name: nn.Parameter(w.detach() + 0.1) for name, w in made.named_parameters()}


def written(made: MADE) -> MADE:
    vector_to_parameters(parameters_to_vector(made.parameters()) + 0.1, made.parameters())
    return made


def parametrized(made: MADE) -> MADE:
    for layer in made.layers:
        parametrize.register_parametrization(layer, "weight", Raised())
    return made


def optimized(made: MADE) -> MADE:
    """Take a step that mixes the entries of a weight, as orthogonalizing optimizers do."""
    made(torch.ones(1, 5)).sum().backward()
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(weight.grad.sum() + 0.1)
    return made


CHANGES: dict[str, Callable[[MADE], Callable[[Tensor], Tensor]]] = {
    "written to": written,
    "parametrized": parametrized,
    "optimized": optimized,
    "copied": lambda made: written(copy.deepcopy(made)),
    "called with others": lambda made: partial(functional_call, made, raised(made)),
}


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_no_site_sees_a_later_one_whatever_was_done_to_the_weights(change: str, grad: bool):
    made = MADE(5, [16, 16], zero=False)
    made(torch.zeros(1, 5))
    network, x = CHANGES[change](made), torch.zeros(5, 5).fill_diagonal_(3.0)
    with torch.set_grad_enabled(grad):
        moved = (network(x) - network(torch.zeros(5, 5))).abs().sum(-1)  # input, output
    assert not moved.tril().any()
    assert moved.triu(1).any()


def test_a_layer_that_was_emptied_is_what_is_loaded_into_it():
    made = MADE(5, [16, 16], zero=False)
    state, wanted = copy.deepcopy(made.state_dict()), made(torch.ones(1, 5))
    made.to("meta").to_empty(device="cpu").load_state_dict(state)
    assert torch.equal(made(torch.ones(1, 5)), wanted)


@pytest.mark.parametrize("grad", [False, True])
def test_weights_that_were_just_written_are_masked_where_nothing_may_be_written(grad):
    torch.manual_seed(0)
    layer, x = MaskedLinear(4, reach=[0, 1, 3]), torch.randn(2, 4)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    with torch.set_grad_enabled(grad):
        compiled(x)
        for look in (compiled, counted(layer)):
            vector_to_parameters(torch.randn(15), layer.parameters())
            got = look(x)
            torch.testing.assert_close(got, layer(x))


def counted(layer):
    def call(x):
        with FlopCounterMode(display=False):
            return layer(x)

    return call
