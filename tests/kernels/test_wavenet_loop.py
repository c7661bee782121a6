import numpy as np
import pytest
import torch
from numba import njit

from distill.contract import Context, DataSpec
from distill.distributions import (
    GaussianHead,
    LogisticHead,
    MixtureOfGaussians,
    MixtureOfLogistics,
    MuLaw,
)
from distill.kernels.gated_stack import factors
from distill.models import AutoregressiveDensity
from distill.networks import wavenet_sampling
from tests.networks.wavenets import LONGEST, Case, part_of

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
        "input_scale": 3.0,
    },
    "source": {"layers": 4, "channels": 6, "context_channels": 3, "source_channels": 2},
}
PITCH = {"pitch_taps": 3, "longest_lag": LONGEST}
SEVERAL = {"pitch_taps": 3, "longest_lag": 2 * LONGEST, "pitch_periods": 3}
# Sites, sites of a row of the context, settings.
BLOCKS = {
    "1, pitch taps": (60, None, {"layers": 2, "channels": 6, **PITCH}),
    "4, several periods": (59, None, {"layers": 2, "channels": 6, "block": 4, **SEVERAL}),
    "2, not whole": (59, None, {"layers": 3, "channels": 6, "block": 2}),
    "4, one row, not whole": (
        59,
        0,
        {"layers": 2, "channels": 6, "block": 4, "context_channels": 3},
    ),
    "4, all of it": (
        60,
        12,
        {
            "layers": 2,
            "kernel": 3,
            "channels": 5,
            "skip_channels": 0,
            "context_channels": 3,
            "source_channels": 2,
            "block": 4,
            "input_scale": 2.0,
            **PITCH,
        },
    ),
    "8, rows averaged, not whole": (
        58,
        2,
        {"layers": 2, "channels": 6, "context_channels": 3, "block": 8, **PITCH},
    ),
}


def pair(head, sizes, batch, sites=60, hop=10):
    sizes = {"parameters_per_site": head.parameters_per_site, "locations": head.locations, **sizes}
    case = Case(sizes, hop if "context_channels" in sizes else None, sites)
    net, (_, context) = case.net(), case.inputs(batch)
    with torch.no_grad():
        # Random coefficients inside a block must not let its sites grow.
        net.last.weight.mul_(0.3)
        net.last.bias.mul_(0.3)
    return net.float(), head.noise((batch, sites)), of_type(context, torch.float32)


def of_type(context, dtype):
    if context is None:
        return None
    parts = (context.rows, context.source, context.lag)
    rows, source, lag = (None if part is None else part.to(dtype) for part in parts)
    return Context(rows, context.hop, source, lag)


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


@pytest.mark.parametrize("sizes", BLOCKS)
@pytest.mark.parametrize("name", HEADS)
def test_over_blocks_the_loop_the_steps_the_chunks_and_the_whole_agree(name, sizes):
    head, (sites, hop, settings) = HEADS[name](), BLOCKS[sizes]
    net, noise, context = pair(head, settings, 2, sites, hop)
    fast = net.generate(head, noise, context)
    plain = net.generate_by_steps(head, noise, context)
    assert plain.std() > 0.01
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=0)
    head, net = head.double(), net.double()
    noise, context = noise.double(), of_type(context, torch.float64)
    x = net.generate(head, noise, context)
    raw = net(x, context)
    torch.testing.assert_close(head.sample_from(raw, noise), x, atol=1e-10, rtol=0)
    state, parts, whole = net.start_run(x), [], sites - sites % 24
    for begin in range(0, whole, 24):
        given = part_of(context, begin, begin + 24)
        part, state = net.run(state, x[:, begin : begin + 24], given)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), raw[:, :whole], atol=1e-10, rtol=0)


@pytest.mark.parametrize("blocks", [1, 3, 4])
def test_parts_of_a_value_over_blocks_are_sampled_in_turn(monkeypatch, blocks):
    head = GaussianHead(log_scale=-2.0)
    net, noise, context = pair(head, BLOCKS["4, all of it"][2], 2, hop=4)
    expected = net.generate_by_steps(head, noise, context)
    monkeypatch.setattr(wavenet_sampling, "_ROWS", 2 * blocks)
    torch.testing.assert_close(net.generate(head, noise, context), expected, atol=1e-5, rtol=0)


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
        alone = [
            net.generate(head, noise[i : i + 1], Context(context.rows[i : i + 1], 10))
            for i in range(5)
        ]
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_a_context_at_site_rate_is_projected_in_blocks(monkeypatch):
    monkeypatch.setattr(wavenet_sampling, "_ROWS", 14)
    head = GaussianHead(log_scale=-2.0)
    net, noise, context = pair(head, NETS["context"], 2)
    repeated = Context(context.rows.repeat_interleave(10, 1))
    expected = net.generate_by_steps(head, noise, context)
    torch.testing.assert_close(net.generate(head, noise, repeated), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(net.generate(head, noise, context), expected, atol=1e-5, rtol=0)


def test_one_context_for_all_sites_is_held():
    head = GaussianHead()
    net, noise, _ = pair(head, NETS["context"], 2)
    row = torch.randn(2, 3)
    held, repeated = Context(row), Context(row[:, None].expand(-1, 60, -1))
    torch.testing.assert_close(
        net.generate(head, noise, held), net.generate(head, noise, repeated), atol=1e-5, rtol=0
    )


def test_temperature_zero_takes_locations():
    head = LogisticHead()
    net, noise, _ = pair(head, NETS["skips"], 2)
    x = net.generate(head, noise, temperature=0.0)
    torch.testing.assert_close(x, head.location_scale(net(x))[0], atol=1e-5, rtol=0)


@njit
def both_factors(a, b):
    found = np.empty((2, len(a)), a.dtype)
    for i in range(len(a)):
        found[0, i], found[1, i] = factors(a[i], b[i])
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_factors_of_a_gate_are_accurate_everywhere(dtype):
    a = np.linspace(-40, 40, 40_001, dtype=dtype)
    b = np.ascontiguousarray(a[np.random.default_rng(0).permutation(len(a))])
    got = both_factors(a, b)
    exact = np.stack([np.tanh(a.astype(np.float64) / 2), 1 / (1 + np.exp(-b.astype(np.float64)))])
    assert np.abs(got - exact).max() < (5e-7 if dtype == np.float32 else 1e-14)
    assert np.abs(got).max() <= 1 + 3e-7


def test_float64_is_sampled_by_the_plain_steps():
    head = GaussianHead().double()
    net, noise, context = pair(head, NETS["context"], 2)
    noise, context = noise.double(), of_type(context, torch.float64)
    x = net.double().generate(head, noise, context)
    assert x.dtype == torch.float64
    assert torch.equal(x, net.generate_by_steps(head, noise, context))


def test_a_density_samples_reproducibly_by_seed():
    head = MixtureOfLogistics(3)
    net, _, _ = pair(head, NETS["skips"], 1)
    density = AutoregressiveDensity(net, head, DataSpec(sites=None))
    first = density.sample(3, sites=50, seed=1)
    assert first.shape == (3, 50)
    assert torch.equal(first, density.sample(3, sites=50, seed=1))
    assert not torch.equal(first, density.sample(3, sites=50, seed=2))
    assert torch.isfinite(density.log_prob(first)).all()
