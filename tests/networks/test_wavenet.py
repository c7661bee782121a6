"""What a WaveNet promises, for every block, with and without each part of a context."""

import pytest
import torch
from torch.autograd.functional import jacobian

from distill.bijectors import Affine, Autoregressive
from distill.networks import Conditioner, WaveNet
from tests.half_precision import check_bfloat16
from tests.networks.wavenets import CASES, part_of


@pytest.fixture(params=CASES, name="case")
def _case(request):
    return CASES[request.param]


@pytest.fixture(name="net")
def _net(case):
    return case.net()


def test_output_t_sees_exactly_the_receptive_field_before_t(case, net):
    x, context = case.inputs(batch=1)
    seen = jacobian(lambda v: net(v, context).abs().sum(-1)[0], x, vectorize=True)[:, 0] != 0
    t, s = torch.meshgrid(torch.arange(case.sites), torch.arange(case.sites), indexing="ij")
    assert net.receptive_field < case.sites
    assert not seen[s >= t].any()
    # Rectifiers may hide single sites, but not a whole lag.
    assert torch.diagonal(seen, -net.receptive_field).any()
    assert torch.diagonal(seen, -1).any()
    # Sites a pitch period ago may lie further back.
    assert seen[s < t - net.receptive_field].any() == (net.pitch_taps > 0)


def test_the_first_sites_do_not_depend_on_how_many_follow(case, net):
    x, context = case.inputs()
    fewer = case.few
    part, whole = net(x[:, :fewer], part_of(context, 0, fewer)), net(x, context)
    # A last block that is not whole has fewer rows to average.
    known = fewer - fewer % case.unit if case.hop else fewer
    torch.testing.assert_close(part[:, :known], whole[:, :known], atol=1e-12, rtol=0)


class Pair(Conditioner):
    """The first two parameters of a conditioner that may give more."""

    parameters_per_site = 2

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, context=None):
        return self.net(x, context)[..., :2]

    def start(self, x, context=None):
        return self.net.start(x, context)

    def step(self, state, x_t):
        params, state = self.net.step(state, x_t)
        return params[:, :2], state


def test_log_det_of_the_flow_is_that_of_the_jacobian(case, net):
    layer = Autoregressive(Pair(net), Affine()).double()
    x, context = case.inputs(batch=1, sites=case.few)
    _, log_det = layer(x, context)
    jac = jacobian(lambda v: layer(v, context)[0][0], x, vectorize=True)[:, 0]
    assert torch.equal(jac.triu(1), torch.zeros_like(jac))
    assert jac.tril(-1).abs().max() > 1e-3
    torch.testing.assert_close(jac.diagonal().log(), log_det[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("gradients", [True, False])
def test_the_flow_is_inverted_by_passes_and_by_steps(case, net, gradients):
    layer = Autoregressive(Pair(net), Affine())
    u, context = case.inputs(sites=case.few)
    with torch.set_grad_enabled(gradients):
        x, log_det = layer(u, context)
        again, back = layer.inverse(x, context)
    torch.testing.assert_close(again, u, atol=1e-9, rtol=0)
    torch.testing.assert_close(back, -log_det, atol=1e-9, rtol=0)


@pytest.mark.parametrize("units", [1, 2, 3, 7])
def test_chunks_with_a_state_equal_the_whole(case, net, units):
    sites, chunk = case.sites - case.sites % case.unit, units * case.unit
    x, context = case.inputs(sites=sites)
    whole, state, parts = net(x, context), net.start_run(x), []
    for begin in range(0, sites, chunk):
        end = min(begin + chunk, sites)
        params, state = net.run(state, x[:, begin:end], part_of(context, begin, end))
        assert all(part.is_contiguous() for part in state)
        parts.append(params)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-10, rtol=0)


def test_steps_equal_the_whole(case, net):
    x, context = case.inputs()
    state, last, rows = net.start(x, context), torch.zeros_like(x[:, 0]), []
    for t in range(case.sites):
        params, state = net.step(state, last)
        rows.append(params)
        last = x[:, t]
    torch.testing.assert_close(torch.stack(rows, 1), net(x, context), atol=1e-10, rtol=0)


def test_every_parameter_gets_a_gradient(case, net):
    x, context = case.inputs()
    net(x, context).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_saved_weights_give_the_same_parameters(case, net):
    x, context = case.inputs()
    other = case.net(seed=1)
    assert not torch.equal(other(x, context), net(x, context))
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(x, context), net(x, context))


def test_a_block_starts_with_independent_sites():
    torch.manual_seed(0)
    net = WaveNet(2, 2, channels=6, block=4).double()
    x = torch.randn(1, 12, dtype=torch.float64)
    seen = jacobian(lambda v: net(v).abs().sum(-1)[0], x, vectorize=True)[:, 0] != 0
    t, s = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    assert not seen[t // 4 == s // 4].any()
    assert seen[8:, 4:8].any()


def test_last_scale_zero_starts_at_zero_parameters():
    for block in (1, 4):
        net = WaveNet(2, 4, channels=4, last_scale=0.0, block=block)
        assert torch.equal(net(torch.randn(2, 9)), torch.zeros(2, 9, 2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 10, "cycles": 3}, "layers=10 and cycles=3"),
        ({"layers": 0}, "WaveNet.layers: wanted a whole number from 1 to 1000, got 0"),
        ({"layers": 10**9}, "WaveNet.layers: .* got 1000000000"),
        ({"layers": 25}, "equal cycles of 24 at most"),
        ({"kernel": 1}, "WaveNet.kernel: wanted a whole number from 2 .*, got 1"),
        ({"channels": -4}, "WaveNet.channels: wanted a whole number from 1 .*, got -4"),
        ({"block": 0}, "WaveNet.block: wanted a whole number from 1 to 256, got 0"),
        ({"source_channels": 2}, "context_channels > 0 beside a source"),
        ({"pitch_taps": 2, "longest_lag": 50}, "odd number of pitch_taps .* got pitch_taps=2"),
        (
            {"pitch_taps": -1, "longest_lag": 50},
            "pitch_taps: wanted a whole number of 0 or more, got -1",
        ),
        ({"pitch_taps": 3, "longest_lag": 8, "block": 8}, "longest_lag=8, block=8"),
        ({"pitch_periods": 2}, "pitch_taps > 0 beside .* got pitch_taps=0 and pitch_periods=2"),
        (
            {"pitch_taps": 3, "longest_lag": 50, "pitch_periods": 0},
            "pitch_periods: wanted a whole number from 1 to 100, got 0",
        ),
        ({"locations": [2], "block": 2}, r"among the 2 parameters of a site, got \[2\]"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        WaveNet(**settings)


def test_chunks_that_are_no_whole_blocks_are_refused():
    net = WaveNet(2, 2, channels=4, block=4)
    x = torch.zeros(1, 6)
    with pytest.raises(ValueError, match="whole blocks of 4 sites, got 6 sites"):
        net.run(net.start_run(x), x)


def test_autocast_keeps_parameters_in_full_precision():
    torch.manual_seed(0)
    net = WaveNet(2, 8, channels=16)
    check_bfloat16(net, torch.randn(2, 100))
