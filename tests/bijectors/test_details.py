"""What single bijectors promise beyond the contract."""

from __future__ import annotations

import pytest
import torch

from distill.bijectors import (
    ActNorm,
    Affine,
    Autoregressive,
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
from distill.networks import MADE, MLP


def test_steps_and_passes_invert_alike():
    layer = Autoregressive(MADE(6, [16], zero=False, order=[3, 1, 5, 0, 2, 4])).double()
    x = torch.randn(7, 6, dtype=torch.float64)
    with torch.no_grad():
        pairs = zip(layer.inverse_by_steps(x), layer.inverse_by_passes(x), strict=True)
        for by_steps, by_passes in pairs:
            torch.testing.assert_close(by_steps, by_passes, rtol=0, atol=1e-12)


def test_an_untrained_flow_is_the_identity():
    u = torch.randn(4, 5)
    for transform in (Affine(), Shift(), RationalQuadraticSpline(bins=5)):
        x, log_det = Autoregressive(MADE(5, [8], transform.parameters_per_site), transform)(u)
        torch.testing.assert_close(x, u, rtol=0, atol=1e-5)
        assert log_det.abs().max() < 1e-5


def test_a_conditioner_with_other_parameters_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="parameters_per_site=2"):
        Autoregressive(MADE(3, [8], parameters_per_site=3))


def test_log_scale_stays_within_its_bound():
    affine = Affine(bound=1.5, log_scale=-1.0)
    raw = torch.tensor([-1e6, -3.0, 0.0, 3.0, 1e6]).repeat(2, 1).T
    log_scale = affine.loc_and_log_scale(raw)[1]
    assert log_scale.min() == -2.5
    assert log_scale.max() == 0.5
    assert (log_scale.diff() > 0).all()


@pytest.mark.parametrize("bound", [0.0, -1.0])
def test_a_bound_that_is_not_positive_is_refused(bound):
    with pytest.raises(ValueError, match="bound: wanted a number above 0"):
        Affine(bound=bound)


def test_spline_is_the_identity_outside_and_continuous_at_the_limit():
    spline = RationalQuadraticSpline(bins=6, limit=3.0).double()
    raw = torch.randn(1, spline.parameters_per_site, dtype=torch.float64)
    u = torch.tensor([-50.0, -3 - 1e-9, -3 + 1e-9, 3 - 1e-9, 3 + 1e-9, 50.0], dtype=torch.float64)
    x, log_det = spline(u, raw.expand(6, -1))
    torch.testing.assert_close(x, u, rtol=0, atol=1e-7)
    assert log_det.abs().max() < 1e-6


def test_spline_gives_finite_gradients_everywhere():
    spline = RationalQuadraticSpline(bins=4)
    u = torch.tensor([-1e6, -4.0, 0.0, 4.0, 1e6], requires_grad=True)
    raw = (10 * torch.randn(5, spline.parameters_per_site)).requires_grad_()
    for apply in (spline.forward, spline.inverse):
        value, log_det = apply(u, raw)
        grads = torch.autograd.grad((value + log_det).sum(), (u, raw))
        assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("settings", [{"bins": 1}, {"limit": 0.0}, {"floor": 0.5}, {"floor": 0.0}])
def test_bad_spline_settings_are_refused(settings):
    with pytest.raises(ValueError, match="RationalQuadraticSpline"):
        RationalQuadraticSpline(**settings)


def test_nice_keeps_volume():
    layer = Coupling(4, MLP(2, 2, [8]), Shift())
    assert layer(torch.randn(3, 4))[1].abs().sum() == 0


@pytest.mark.parametrize(("sites", "mask"), [(1, "half"), (4, "checker")])
def test_bad_couplings_are_refused(sites, mask):
    with pytest.raises(ValueError, match="at least 2 sites"):
        Coupling(sites, MLP(1, 1), mask=mask)


def test_coupling_keeps_its_part_bit_by_bit():
    u = torch.randn(3, 5)
    network = MLP(3, 4, [8])
    torch.nn.init.normal_(network.layers[-1].weight)
    x = Coupling(5, network, mask="even")(u)[0]
    assert torch.equal(x[:, ::2], u[:, ::2])
    assert not torch.equal(x[:, 1::2], u[:, 1::2])


@pytest.mark.parametrize("rows", [torch.zeros(2, 1), torch.zeros(1, 1), torch.zeros(3, 4, 1)])
def test_a_coupling_refuses_a_context_that_is_not_one_row_a_value(rows):
    layer = Coupling(2, MLP(2, 2, [4]))
    assert layer(torch.zeros(3, 2), Context(torch.zeros(3, 1)))[0].shape == (3, 2)
    for way in (layer.forward, layer.inverse):
        with pytest.raises(ValueError, match=r"wanted context rows of shape \(3, channels\)"):
            way(torch.zeros(3, 2), Context(rows))


def test_act_norm_normalizes_its_first_batch_and_then_stays():
    layer = ActNorm(2).double()
    x = 4 + 3 * torch.randn(100, 2, dtype=torch.float64)
    u, log_det = layer.inverse(x)
    torch.testing.assert_close(u.mean(0), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(u.std(0, correction=0), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(log_det[0], -x.std(0, correction=0).log())
    loc = layer.loc.clone()
    layer.inverse(x + 100)
    assert torch.equal(layer.loc, loc)


def test_a_loaded_act_norm_does_not_start_again():
    first, second = ActNorm(2), ActNorm(2)
    first.inverse(torch.randn(50, 2))
    second.load_state_dict(first.state_dict())
    second.inverse(10 + torch.randn(50, 2))
    assert torch.equal(first.loc, second.loc)


def test_in_evaluation_act_norm_does_not_start():
    layer = ActNorm(2).eval()
    layer.inverse(5 + torch.randn(50, 2))
    assert not layer.started
    assert layer.loc.abs().sum() == 0


def test_permute_undoes_itself_and_refuses_what_is_no_permutation():
    x = torch.randn(2, 4)
    layer = Permute([2, 0, 3, 1])
    assert torch.equal(layer(x)[0], x[:, [2, 0, 3, 1]])
    assert torch.equal(layer.inverse(layer(x)[0])[0], x)
    with pytest.raises(ValueError, match=r"each of 0, 1, 2, .* once"):
        Permute([0, 0, 1])


def test_a_chain_applies_the_first_layer_nearest_to_the_noise():
    chain = Chain([Standardize([1.0], [2.0]), Standardize([0.0], [10.0])])
    assert chain(torch.ones(1, 1))[0].item() == 30


def test_a_chain_traces_every_layer():
    chain = Chain([Standardize([1.0], [2.0]), Flip()])
    trace = chain.trace(torch.tensor([[0.0, 1.0]]))
    assert [value.tolist() for value in trace] == [[[0.0, 1.0]], [[1.0, 3.0]], [[3.0, 1.0]]]


def test_an_empty_chain_is_refused():
    with pytest.raises(ValueError, match="Chain: wanted at least one layer"):
        Chain([])


def test_inverse_of_inverse_is_the_map_itself():
    layer = Autoregressive(MADE(3, [8], zero=False))
    u = torch.randn(4, 3)
    assert torch.equal(Inverse(Inverse(layer))(u)[0], layer(u)[0])


@pytest.mark.parametrize(("loc", "scale"), [([0.0], [0.0]), ([0.0], [-1.0]), ([0.0, 1.0], [1.0])])
def test_bad_scales_are_refused(loc, scale):
    with pytest.raises(ValueError, match="positive scales"):
        Standardize(loc, scale)
