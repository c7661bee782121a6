"""MADE: strictly causal in any order, no input dropped, steps equal to the pass."""

from __future__ import annotations

import pytest
import torch

from distill.contract import Context
from distill.networks import MADE

ORDERS = {"natural": "natural", "reverse": "reverse", "own": [3, 0, 5, 1, 4, 2]}


def sequence(sites: int, order) -> list[int]:
    every = list(range(sites))
    return every if order == "natural" else every[::-1] if order == "reverse" else list(order)


def reach(made: MADE, context=None) -> torch.Tensor:
    """`(T, T)`: whether parameters of a site change with an input, by autograd."""
    x = torch.randn(1, made.sites, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: made(v, context)[0].sum(-1), x)
    return jacobian[:, 0] != 0


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("context", [0, 2])
def test_a_site_sees_exactly_the_sites_before_it(order, context):
    made = MADE(6, [24, 24], 3, context, order, activation="tanh", zero=False).double()
    given = Context(torch.randn(1, context, dtype=torch.float64)) if context else None
    seen, read = reach(made, given), sequence(6, order)
    for place, site in enumerate(read):
        assert seen[site].nonzero().flatten().tolist() == sorted(read[:place])


@pytest.mark.parametrize("width", [1, 2, 3, 7, 19, 40])
def test_no_input_is_dropped_however_narrow_the_layer(width):
    made = MADE(20, [width, width], activation="tanh", zero=False).double()
    # Every input but the last, which nothing may see, reaches the last site's parameters.
    assert reach(made)[-1].tolist() == [True] * 19 + [False]


@pytest.mark.parametrize("hidden", [[1], [4], [7, 3], [19, 2, 40]])
@pytest.mark.parametrize("context", [0, 2])
def test_every_site_sees_its_predecessor_however_narrow_the_layers(hidden, context):
    order = [(7 * i) % 20 for i in range(20)]
    made = MADE(20, hidden, 2, context, order, activation="tanh", zero=False).double()
    given = Context(torch.randn(1, context, dtype=torch.float64)) if context else None
    seen = reach(made, given)
    assert made.gap > 0
    for place, site in enumerate(order):
        assert not seen[site, order[place:]].any()
        assert not place or seen[site, order[place - 1]]


def test_a_wide_made_has_no_path_of_its_own_for_late_sites():
    assert MADE(6, [5, 8]).near is None


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("hidden", [[1], [3], [16, 5, 16]])
def test_steps_give_what_the_pass_gives(order, context, hidden):
    made = MADE(6, hidden, 2, context, order, zero=False).double()
    x = torch.randn(4, 6, dtype=torch.float64)
    given = Context(torch.randn(4, context, dtype=torch.float64)) if context else None
    with torch.no_grad():
        expected = made(x, given)
        state, last = made.start(x, given), torch.zeros(4, dtype=torch.float64)
        for site in sequence(6, order):
            params, state = made.step(state, last)
            torch.testing.assert_close(params, expected[:, site], rtol=0, atol=1e-12)
            last = x[:, site]


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_masks_survive_training(optimizer):
    made = MADE(6, [16, 16], zero=False).double()
    before = made.layers[0].weight.detach().clone()
    steps = optimizer(made.parameters(), lr=0.05)
    for _ in range(5):
        steps.zero_grad()
        made(torch.randn(32, 6, dtype=torch.float64)).square().mean().backward()
        steps.step()
    assert not torch.equal(made.layers[0].weight, before)
    for layer in made.layers:
        assert torch.equal(layer.weight * layer.mask, layer.weight)
    assert not reach(made).triu().any()


def test_training_and_evaluation_give_the_same_numbers():
    made = MADE(40, [64, 64], zero=False).double()
    x = torch.randn(5, 40, dtype=torch.float64)
    with torch.no_grad():
        without = made(x)
    torch.testing.assert_close(made(x), without, rtol=0, atol=1e-12)


def test_a_start_at_zero_gives_zero_parameters():
    assert MADE(4, [8])(torch.randn(3, 4)).abs().sum() == 0


def test_one_site_has_constant_parameters():
    made = MADE(1, [4], zero=False)
    params = made(torch.randn(5, 1))
    assert torch.equal(params, params[:1].expand_as(params))


def test_with_a_context_even_the_first_site_depends_on_it():
    made = MADE(3, [6], context_channels=2, zero=False)
    x = torch.zeros(1, 3)
    one, other = made(x, Context(torch.zeros(1, 2))), made(x, Context(torch.ones(1, 2)))
    assert not torch.equal(one[:, 0], other[:, 0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden": []}, "at least one hidden layer"),
        ({"activation": "gelu2"}, "gelu2"),
        ({"order": "random"}, "random"),
        ({"order": [0, 0, 1]}, "once"),
    ],
)
def test_bad_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        MADE(3, **{"hidden": [4], **settings})


def test_a_missing_or_misshaped_context_is_refused():
    made = MADE(3, [4], context_channels=2)
    with pytest.raises(ValueError, match="got none"):
        made(torch.zeros(5, 3))
    with pytest.raises(ValueError, match=r"\(5, 2\)"):
        made(torch.zeros(5, 3), Context(torch.zeros(5, 3)))
