"""Steps and chunks hand on the same: a sampler's rings hold what a stream's state holds."""

from __future__ import annotations

import pytest
import torch

from distill.contract import Context
from tests.networks.wavenets import LONGEST, Case

NETS = {
    "r = 1": Case({"layers": 4, "cycles": 2, "kernel": 3, "channels": 4, "context_channels": 3}, 1),
    "r = 4, pitch taps": Case(
        {"layers": 2, "kernel": 3, "channels": 4, "block": 4, "pitch_taps": 3}
        | {"longest_lag": LONGEST}
    ),
}


@pytest.mark.parametrize("blocks", [1, 5, 24])
@pytest.mark.parametrize("name", NETS)
def test_the_rings_of_a_sampler_hold_the_state_of_a_stream(name, blocks):
    case = NETS[name]
    net, sites = case.net(), blocks * case.unit
    x, context = case.inputs(sites=sites)
    stepped, last = net.start(x, context), torch.zeros_like(x[:, 0])
    for t in range(sites):
        _, stepped = net.step(stepped, last)
        last = x[:, t]
    _, chunked = net.run(net.start_run(x), x, context)
    assert chunked[0].shape[1] == net.history
    # The last site is taken in by the next step.
    read = stepped.sites[:, sites : sites + net.history - 1]
    torch.testing.assert_close(torch.cat([read, last[:, None]], 1), chunked[0])
    for ring, past in zip(stepped.rings, chunked[1:], strict=True):
        in_order = ring.roll(-(blocks % len(ring)), 0).transpose(0, 1)
        torch.testing.assert_close(in_order, past, atol=1e-12, rtol=0)
        assert past.abs().sum() > 0


def test_a_stream_is_not_written_into():
    case = NETS["r = 4, pitch taps"]
    net, (x, context) = case.net(), case.inputs(sites=16)
    state = net.run(net.start_run(x), x, context)[1]
    before = [part.clone() for part in state]
    net.run(state, x, Context(lag=torch.full_like(x, 9.0)))
    assert all(torch.equal(part, old) for part, old in zip(state, before, strict=True))
