import numpy as np
import pytest
import torch

from distill.contract import DataSpec
from distill.distributions import (
    GaussianHead,
    LogisticHead,
    MixtureOfGaussians,
    MixtureOfLogistics,
    MuLaw,
)
from distill.kernels.wavenet_loop import half_tanh
from distill.models import AutoregressiveDensity
from distill.networks import WaveNet, wavenet_sampling

HEADS = {
    "gaussian": lambda: GaussianHead(log_scale=-2.0),
    "logistic": lambda: LogisticHead(log_scale=-2.0),
    "gaussian below its clip": lambda: GaussianHead(min_log_scale=-1.0, log_scale=-3.0),
    "mixture of gaussians": lambda: MixtureOfGaussians(3, log_scale=-1.0, spread=0.5),
    "mixture of logistics": lambda: MixtureOfLogistics(4, log_scale=-1.0, spread=0.5),
    "discretized logistics": lambda: MixtureOfLogistics(2, bins=256, log_scale=-1.0),
    "mu-law": lambda: MuLaw(16),
}
NETS = {
    "skips": {"layers": 6, "cycles": 2, "channels": 6},
    "no skips, kernel 3": {"layers": 3, "kernel": 3, "channels": 5, "skip_channels": 0},
    "context": {
        "layers": 4,
        "channels": 8,
        "gate_channels": 6,
        "skip_channels": 10,
        "context_channels": 3,
        "context_hop": 10,
        "input_scale": 3.0,
    },
    "source": {
        "layers": 4,
        "channels": 6,
        "context_channels": 3,
        "context_hop": 10,
        "source_channels": 2,
    },
}


def pair(head, sizes, batch, sites=60):
    torch.manual_seed(0)
    net = WaveNet(head.parameters_per_site, **sizes)
    noise = head.noise((batch, sites))
    width = net.context_channels + net.context_hop * net.source_channels
    context = torch.randn(batch, sites // 10, width) if width else None
    return net, noise, context


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("sizes", NETS)
@pytest.mark.parametrize("name", HEADS)
def test_the_compiled_loop_equals_the_plain_steps(name, sizes, batch):
    head = HEADS[name]()
    net, noise, context = pair(head, NETS[sizes], batch)
    fast = net.generate(head, noise, context, temperature=0.9)
    plain = net.generate_by_steps(head, noise, context, temperature=0.9)
    assert plain.std() > 0.01
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=0)


def test_samples_are_those_of_the_parallel_pass():
    head = GaussianHead(log_scale=-2.0)
    net, noise, context = pair(head, NETS["context"], 3)
    x = net.generate(head, noise, context)
    loc, log_scale, _ = head.location_scale(net(x, context))
    torch.testing.assert_close(x, loc + noise[..., 0] * log_scale.exp(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("threads", [1, 2])
def test_streams_do_not_depend_on_their_neighbors_or_on_threads(threads):
    head = MixtureOfLogistics(3)
    net, noise, context = pair(head, NETS["context"], 5)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        together = net.generate(head, noise, context)
        alone = [net.generate(head, noise[i : i + 1], context[i : i + 1]) for i in range(5)]
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_a_context_at_site_rate_is_projected_in_blocks(monkeypatch):
    monkeypatch.setattr(wavenet_sampling, "_ROWS", 14)
    head = GaussianHead(log_scale=-2.0)
    net, noise, context = pair(head, NETS["context"], 2)
    repeated = context.repeat_interleave(10, 1)
    expected = net.generate_by_steps(head, noise, context)
    torch.testing.assert_close(net.generate(head, noise, repeated), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(net.generate(head, noise, context), expected, atol=1e-5, rtol=0)


def test_one_context_for_all_sites_is_held():
    head = GaussianHead()
    net, noise, _ = pair(head, NETS["context"], 2)
    context = torch.randn(2, 3)
    repeated = context[:, None].expand(-1, 60, -1)
    torch.testing.assert_close(
        net.generate(head, noise, context), net.generate(head, noise, repeated), atol=1e-5, rtol=0
    )


def test_temperature_zero_takes_locations():
    head = LogisticHead()
    net, noise, _ = pair(head, NETS["skips"], 2)
    x = net.generate(head, noise, temperature=0.0)
    torch.testing.assert_close(x, head.location_scale(net(x))[0], atol=1e-5, rtol=0)


def test_half_tanh_is_accurate_everywhere():
    z = np.linspace(-40, 40, 40_001, dtype=np.float32)[None]
    exact = np.tanh(z.astype(np.float64) / 2)
    half_tanh(z)
    assert np.abs(z - exact).max() < 5e-7
    assert np.abs(z).max() <= 1


def test_float64_is_sampled_by_the_plain_steps():
    head = GaussianHead().double()
    net, noise, context = pair(head, NETS["context"], 2)
    x = net.double().generate(head, noise.double(), context.double())
    assert x.dtype == torch.float64
    assert torch.equal(x, net.generate_by_steps(head, noise.double(), context.double()))


def test_a_density_samples_reproducibly_by_seed():
    head = MixtureOfLogistics(3)
    net, _, _ = pair(head, NETS["skips"], 1)
    density = AutoregressiveDensity(net, head, DataSpec(sites=None))
    first = density.sample(3, sites=50, seed=1)
    assert first.shape == (3, 50)
    assert torch.equal(first, density.sample(3, sites=50, seed=1))
    assert not torch.equal(first, density.sample(3, sites=50, seed=2))
    assert torch.isfinite(density.log_prob(first)).all()
