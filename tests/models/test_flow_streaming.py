"""Flows in chunks: any split of frames gives the draw of the whole utterance."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.contract import DataSpec, FeatureSpec
from distill.distributions import Logistic, Normal
from distill.models import Flow, iaf, standardization, wavenet_iaf, whitening
from distill.networks import FrameEncoder, HarmonicEncoder

HOP, FRAMES = 4, 53
MEL, F0 = FeatureSpec("frames", 5), FeatureSpec("frames", 2, (5.0, 0.5), (0.2, 0.5))
SPEAKER = FeatureSpec("label", 3)


# Power of five bands, by an affine map of a mel of five.
ENVELOPE = {"fft": 64, "knots": [2.0, 8, 15, 23, 30], "weight": [1.0] * 5, "bias": [-3.0] * 5}


def student(features, base=Normal, encoder=FrameEncoder, flow=None, **settings) -> Flow:
    more = {"sample_rate": 8000, "hop": HOP, "settings": {"envelope": ENVELOPE}}
    spec = DataSpec(None, (0.1,), (0.3,), features, **more)
    sizes = {"kernel": 3, "channels": 6, "last_scale": 0.5, **(flow or {})}
    made = partial(encoder, **settings)
    return wavenet_iaf(spec, [3, 2], 3, base=base(), encoder=made, **sizes)


CASES = {
    "transposed": lambda: student({"mel": MEL}, layers=2, channels=6, look_ahead=2),
    "transposed, logistic, speakers": lambda: student(
        {"mel": MEL, "speaker": SPEAKER}, Logistic, rates=[2], look_ahead=1
    ),
    "linear, speakers": lambda: student(
        {"speaker": SPEAKER, "mel": MEL}, mode="linear", layers=1, channels=6
    ),
    "repeat, logistic": lambda: student(
        {"mel": MEL, "f0": F0}, Logistic, mode="repeat", layers=1, channels=6, look_ahead=3
    ),
    "repeat, no layers": lambda: student({"mel": MEL}, mode="repeat"),
    "harmonics": lambda: student(
        {"mel": MEL, "f0": F0, "phase": F0},
        encoder=HarmonicEncoder,
        mode="repeat",
        layers=1,
        channels=6,
        look_ahead=1,
        harmonics=2,
    ),
    "harmonics, blocks with pitch taps": lambda: student(
        {"f0": F0, "phase": F0},
        encoder=HarmonicEncoder,
        flow={"block": HOP, "pitch_taps": 3, "pitch_periods": 2},
        mode="repeat",
        look_ahead=1,
        harmonics=2,
    ),
    "blocks that the rows divide": lambda: student({"mel": MEL}, flow={"block": HOP}, rates=[2, 2]),
    "an outer bijector": lambda: student({"mel": MEL}, flow={"outer": standardization}),
    "whitened, blocks": lambda: student(
        {"mel": MEL}, flow={"outer": partial(whitening, order=6), "block": 2}, look_ahead=2
    ),
    "label only": lambda: student({"speaker": SPEAKER}),
    "unconditional": lambda: student({}),
    "unconditional, logistic": lambda: student({}, Logistic),
}


@pytest.fixture(scope="module", params=CASES, name="flow")
def _flow(request) -> Flow:
    torch.manual_seed(0)
    flow = CASES[request.param]().double().eval().requires_grad_(False)
    for parameter in flow.bijector.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    assert flow.spec.sites is None
    return flow


def inputs(flow: Flow, frames: int = FRAMES, batch: int = 2):
    torch.manual_seed(1)
    noise = torch.randn(batch, frames * HOP, dtype=torch.float64)
    made = {
        "mel": torch.randn(batch, frames, 5, dtype=torch.float64),
        "f0": torch.rand(batch, frames, 2, dtype=torch.float64).round(decimals=1) * 5,
        "phase": torch.randn(batch, frames, 2, dtype=torch.float64),
        "speaker": torch.arange(batch) % 3,
    }
    return noise, {name: made[name] for name in flow.spec.features} or None


def in_chunks(flow: Flow, noise, features, cuts):
    frames = noise.shape[1] // HOP
    ahead = getattr(flow.encoder, "latency", 0)
    framed = {k for k, f in flow.spec.features.items() if f.kind == "frames"}

    def part(a, b):
        return features and {
            k: torch.cat([v, v[:, -1:].expand(-1, ahead, -1)], 1)[:, a:b] if k in framed else v
            for k, v in features.items()
        }

    state = flow.start(noise, part(0, max(1, ahead)))
    edges = sorted({0, frames, *(c for c in cuts if 0 < c < frames)})
    draws = []
    for a, b in pairwise(edges):
        draw, state = flow.run(state, noise[:, a * HOP : b * HOP], part(a + ahead, b + ahead))
        draws.append(draw)
    return torch.cat([d.x for d in draws], 1), torch.cat([d.log_prob for d in draws], 1)


def check(flow: Flow, cuts, frames: int = FRAMES) -> None:
    noise, features = inputs(flow, frames)
    draw = flow.draw(noise, features)
    x, log_prob = in_chunks(flow, noise, features, cuts)
    torch.testing.assert_close(x, draw.x, rtol=0, atol=1e-10)
    torch.testing.assert_close(log_prob, draw.log_prob, rtol=0, atol=1e-10)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 50])
def test_chunks_of_frames_equal_the_whole_utterance(flow: Flow, chunk: int):
    check(flow, range(chunk, FRAMES, chunk))


@settings(max_examples=10, deadline=None)
@given(frames=st.integers(1, 20), cuts=st.sets(st.integers(1, 19)))
def test_random_splits_equal_the_whole_utterance(flow: Flow, frames: int, cuts: set[int]):
    check(flow, cuts, frames)


def test_chunks_depend_on_those_before():
    torch.manual_seed(0)
    flow = CASES["unconditional"]().double().eval().requires_grad_(False)
    noise, _ = inputs(flow)
    fresh, _ = flow.run(flow.start(noise), noise[:, HOP:])
    assert (fresh.x - flow.draw(noise).x[:, HOP:]).abs().max() > 1e-3


def test_values_of_fixed_sites_are_one_chunk_without_a_state():
    flow = iaf(DataSpec(sites=3), 2, [8])
    noise = flow.noise(4, seed=0)
    assert flow.start(noise) == ()
    draw, state = flow.run((), noise)
    assert state == ()
    assert torch.equal(draw.x, flow.draw(noise).x)
