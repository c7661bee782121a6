"""Steps and chunks hand on the same: a sampler's rings hold what a stream's state holds."""

from __future__ import annotations

import pytest
import torch

from distill.networks import WaveNet


@pytest.mark.parametrize("sites", [1, 5, 24])
def test_the_rings_of_a_sampler_hold_the_state_of_a_stream(sites):
    torch.manual_seed(0)
    net = WaveNet(2, 4, 2, kernel=3, channels=4, context_channels=3).double()
    x, context = torch.randn(2, sites).double(), torch.randn(2, sites, 3).double()
    stepped, last = net.start(x, context), torch.zeros_like(x[:, 0])
    for t in range(sites):
        _, stepped = net.step(stepped, last)
        last = x[:, t]
    _, chunked = net.run(net.zero_state(x), x, context)
    torch.testing.assert_close(last[:, None], chunked[0])
    for ring, past in zip(stepped.rings, chunked[1:], strict=True):
        in_order = ring.roll(-(sites % len(ring)), 0).transpose(0, 1)
        torch.testing.assert_close(in_order, past, atol=1e-12, rtol=0)
        assert past.abs().sum() > 0
