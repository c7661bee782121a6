import pytest
import torch
from torch.autograd.functional import jacobian

from distill.bijectors import Affine, Autoregressive
from distill.networks import Conditioner, WaveNet

CASES = {
    "kernel 2 with skips": lambda: WaveNet(2, 6, 2, channels=8),
    "kernel 3 without skips": lambda: WaveNet(2, 3, kernel=3, channels=8, skip_channels=0),
    "unequal widths": lambda: WaveNet(
        3, 4, kernel=2, channels=5, gate_channels=3, skip_channels=9, input_scale=4.0
    ),
    "context at frame rate": lambda: WaveNet(2, 4, channels=8, context_channels=3, context_hop=6),
    "context with a source": lambda: WaveNet(
        2, 4, channels=8, context_channels=3, context_hop=6, source_channels=2
    ),
    "context at site rate": lambda: WaveNet(2, 4, kernel=3, channels=8, context_channels=3),
}


@pytest.fixture(params=CASES)
def net(request):
    torch.manual_seed(0)
    return CASES[request.param]().double()


def inputs(net, batch=2, sites=42):
    x = torch.randn(batch, sites, dtype=torch.float64)
    if not net.context_channels:
        return x, None
    width = net.context_channels + net.context_hop * net.source_channels
    shape = (batch, sites // net.context_hop, width)
    return x, torch.randn(shape, dtype=torch.float64)


def test_output_t_sees_exactly_the_receptive_field_before_t(net):
    x, context = inputs(net, batch=1)
    seen = jacobian(lambda v: net(v, context).abs().sum(-1)[0], x)[:, 0] != 0
    t, s = torch.meshgrid(torch.arange(42), torch.arange(42), indexing="ij")
    assert net.receptive_field < 42
    assert not seen[(s >= t) | (s < t - net.receptive_field)].any()
    # Rectifiers may hide single sites, but not a whole lag.
    assert torch.diagonal(seen, -net.receptive_field).any()
    assert torch.diagonal(seen, -1).any()


def test_log_det_of_the_flow_is_that_of_the_jacobian(net):
    layer = Autoregressive(Pair(net), Affine()).double()
    x, context = inputs(net, batch=1, sites=18)
    _, log_det = layer(x, context)
    jac = jacobian(lambda v: layer(v, context)[0][0], x)[:, 0]
    assert torch.equal(jac.triu(1), torch.zeros_like(jac))
    torch.testing.assert_close(jac.diagonal().log(), log_det[0], atol=1e-12, rtol=0)
    again = layer.inverse(layer(x, context)[0], context)[0]
    torch.testing.assert_close(again, x, atol=1e-9, rtol=0)


def at_site_rate(net, context):
    rows = context[..., : net.context_channels].repeat_interleave(net.context_hop, 1)
    if not net.source_channels:
        return rows
    source = context[..., net.context_channels :].reshape(2, -1, net.source_channels)
    return torch.cat([rows, source], -1)


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


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 42])
def test_chunks_with_a_state_equal_the_whole(net, chunk):
    x, context = inputs(net)
    if context is not None:
        context = at_site_rate(net, context)
    whole, state, parts = net(x, context), net.zero_state(x), []
    for start in range(0, 42, chunk):
        piece = slice(start, start + chunk)
        rows = None if context is None else context[:, piece]
        params, state = net.run(state, x[:, piece], rows)
        assert all(part.is_contiguous() for part in state)
        parts.append(params)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-10, rtol=0)


def test_chunks_of_whole_frames_take_rows_at_frame_rate():
    net = WaveNet(2, 4, channels=4, context_channels=3, context_hop=6).double()
    x, context = inputs(net)
    state, parts = net.zero_state(x), []
    for frame in range(0, 7, 2):
        piece = x[:, 6 * frame : 6 * frame + 12]
        params, state = net.run(state, piece, context[:, frame : frame + 2])
        parts.append(params)
    torch.testing.assert_close(torch.cat(parts, 1), net(x, context), atol=1e-10, rtol=0)


def test_steps_equal_the_whole(net):
    x, context = inputs(net)
    state, last, rows = net.start(x, context), torch.zeros_like(x[:, 0]), []
    for t in range(42):
        params, state = net.step(state, last)
        rows.append(params)
        last = x[:, t]
    torch.testing.assert_close(torch.stack(rows, 1), net(x, context), atol=1e-10, rtol=0)


def test_every_parameter_gets_a_gradient(net):
    x, context = inputs(net)
    net(x, context).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_a_held_row_equals_repeated_rows():
    net = WaveNet(2, 4, channels=4, context_channels=3, context_hop=6).double()
    x, context = inputs(net)
    repeated = context.repeat_interleave(6, 1)
    torch.testing.assert_close(net(x, context), net(x, repeated), atol=1e-12, rtol=0)
    everywhere = context[:, 0]
    torch.testing.assert_close(
        net(x, everywhere), net(x, everywhere[:, None].expand(-1, 42, -1)), atol=1e-12, rtol=0
    )


def test_context_changes_its_own_sites_and_later_ones_only():
    net = WaveNet(2, 4, channels=4, context_channels=3, context_hop=6).double()
    x, context = inputs(net)
    changed = context.clone()
    changed[:, 3] += 1
    same = (net(x, context) == net(x, changed)).all(-1)
    assert same[:, :18].all()
    assert not same[:, 18].any()


def test_last_scale_zero_starts_at_zero_parameters():
    net = WaveNet(2, 4, channels=4, last_scale=0.0)
    assert torch.equal(net(torch.randn(2, 9)), torch.zeros(2, 9, 2))


def test_layers_must_fill_the_cycles():
    with pytest.raises(ValueError, match="layers=10, cycles=3"):
        WaveNet(layers=10, cycles=3)


@pytest.mark.parametrize("shape", [None, (2, 6, 3), (1, 7, 3), (2, 7, 4), (2, 4)])
def test_a_context_that_does_not_fit_is_refused(shape):
    net = WaveNet(2, 4, channels=4, context_channels=3, context_hop=6)
    context = None if shape is None else torch.zeros(shape)
    with pytest.raises(ValueError, match=r"2 x 42 sites wanted a context of shape \(2, frames, 3"):
        net(torch.zeros(2, 42), context)


def test_autocast_keeps_parameters_in_full_precision():
    torch.manual_seed(0)
    net = WaveNet(2, 8, channels=16)
    x = torch.randn(2, 100)
    with torch.autocast("cpu", torch.bfloat16):
        half = net(x)
    full = net(x)
    assert half.dtype == torch.float32
    assert 0 < (half - full).abs().max() < 0.05 * full.std()
