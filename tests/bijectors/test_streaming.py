"""Bijectors in chunks: any split of the noise gives the numbers of one pass."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.bijectors import (
    ActNorm,
    Affine,
    Autoregressive,
    BatchNorm,
    Bijector,
    Chain,
    Coupling,
    Flip,
    Inverse,
    Permute,
    RationalQuadraticSpline,
    Standardize,
)
from distill.contract import Context
from distill.networks import MADE, MLP, WaveNet
from tests.networks.wavenets import LAGS, LONGEST, part_of

SITES = 60
HOP = 3


def wavenet(parameters: int = 2, context: int = 0, **more) -> WaveNet:
    return WaveNet(parameters, 4, 2, kernel=3, channels=6, context_channels=context, **more)


def blocks(context: int = 0) -> WaveNet:
    return wavenet(context=context, block=HOP, pitch_taps=3, longest_lag=LONGEST, pitch_periods=2)


CASES = {
    "Autoregressive (WaveNet)": lambda: Autoregressive(wavenet(), Affine(4.0)),
    "Autoregressive (WaveNet, context)": lambda: Autoregressive(wavenet(context=2)),
    "Autoregressive (WaveNet, spline)": lambda: Autoregressive(
        wavenet(11), RationalQuadraticSpline(bins=4)
    ),
    "Autoregressive (blocks with pitch taps)": lambda: Autoregressive(blocks()),
    "Autoregressive (blocks with pitch taps, context)": lambda: Autoregressive(blocks(context=2)),
    "Standardize": lambda: Standardize([0.5], [2.0]),
    "Chain": lambda: Chain(
        [Autoregressive(wavenet()), Autoregressive(wavenet()), Standardize([0.1], [3.0])]
    ),
}


@pytest.fixture(scope="module", params=CASES, name="bijector")
def _bijector(request) -> Bijector:
    torch.manual_seed(0)
    bijector = CASES[request.param]().double().eval().requires_grad_(False)
    for parameter in bijector.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return bijector


def values(bijector: Bijector):
    torch.manual_seed(1)
    u = torch.randn(2, SITES, dtype=torch.float64)
    if not any(isinstance(m, WaveNet) for m in bijector.modules()):
        return u, None
    rows = torch.randn(2, SITES // HOP, 2, dtype=torch.float64)
    return u, Context(rows, HOP, lag=LAGS.repeat(2, SITES // len(LAGS)))


def in_chunks(bijector: Bijector, u, context, cuts):
    """Run between the cuts, which are counted in hops."""
    edges = sorted({0, SITES // HOP, *cuts})
    state = bijector.start(u, context)
    drawn = []
    for a, b in pairwise(edges):
        begin, end = a * HOP, b * HOP
        x, log_det, state = bijector.run(state, u[:, begin:end], part_of(context, begin, end))
        drawn.append((x, log_det))
    assert len(state) == bijector.state_size
    return tuple(torch.cat(part, 1) for part in zip(*drawn, strict=True))


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 50])
def test_chunks_equal_the_whole_pass(bijector: Bijector, chunk: int):
    u, context = values(bijector)
    got = in_chunks(bijector, u, context, range(chunk, SITES // HOP, chunk))
    for part, whole in zip(got, bijector(u, context), strict=True):
        torch.testing.assert_close(part, whole, rtol=0, atol=1e-10)


@settings(max_examples=15, deadline=None)
@given(cuts=st.sets(st.integers(1, SITES // HOP - 1)))
def test_random_splits_equal_the_whole_pass(bijector: Bijector, cuts: set[int]):
    u, context = values(bijector)
    for part, whole in zip(
        in_chunks(bijector, u, context, cuts), bijector(u, context), strict=True
    ):
        torch.testing.assert_close(part, whole, rtol=0, atol=1e-10)


def test_a_state_is_contiguous_and_of_its_own_memory(bijector: Bijector):
    u, context = values(bijector)
    _, _, state = bijector.run(bijector.start(u, context), u, context)
    again = [tensor.clone() for tensor in state]
    bijector.run(state, u, context)
    for tensor, before in zip(state, again, strict=True):
        assert tensor.is_contiguous()
        assert torch.equal(tensor, before)


WHOLE_ONLY = {
    "Flip": Flip,
    "Permute": lambda: Permute([1, 0]),
    "Coupling": lambda: Coupling(2, MLP(1, 2, [4])),
    "ActNorm": lambda: ActNorm(2),
    "BatchNorm": lambda: BatchNorm(2),
    "Standardize of each site": lambda: Standardize([0.0, 1.0], [1.0, 1.0]),
    "Autoregressive (MADE)": lambda: Autoregressive(MADE(2, [4])),
    "Inverse(Autoregressive)": lambda: Inverse(Autoregressive(wavenet())),
    "Chain with a Flip": lambda: Chain([Standardize([0.0], [1.0]), Flip()]),
}


@pytest.mark.parametrize("case", WHOLE_ONLY)
def test_a_layer_that_needs_whole_values_says_so(case: str):
    with pytest.raises(ValueError, match=r"runs in chunks, and .*wavenet_iaf"):
        WHOLE_ONLY[case]().start(torch.zeros(1, 2))
