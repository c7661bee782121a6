import math

import pytest
import torch
from torch.autograd.functional import jacobian

from distill.contract import DataSpec, FeatureSpec
from distill.networks import FrameEncoder, HarmonicEncoder, WaveNet

SPEC = DataSpec(
    sites=None,
    sample_rate=8000,
    hop=12,
    features={
        "mel": FeatureSpec("frames", 4, loc=(1.0,) * 4, scale=(2.0,) * 4),
        "f0": FeatureSpec("frames", 2),
        "phase": FeatureSpec("frames", 2),
        "speaker": FeatureSpec("label", 3),
        "style": FeatureSpec("vector", 2),
    },
)
CASES = {
    "transposed": {"mode": "transposed"},
    "transposed, part of the way, after convolutions": {
        "mode": "transposed",
        "rates": [3],
        "layers": 1,
        "channels": 5,
    },
    "transposed, odd rates, no look-ahead": {"rates": [3, 4], "look_ahead": 0},
    "linear": {"mode": "linear", "layers": 1, "channels": 5, "look_ahead": 2},
    "repeat": {"mode": "repeat"},
    "repeat, centered convolutions": {
        "mode": "repeat",
        "layers": 2,
        "channels": 5,
        "look_ahead": 2,
    },
    "repeat, looking further than its convolutions": {"mode": "repeat", "look_ahead": 3},
    "harmonic": {"harmonics": 3, "mode": "repeat", "layers": 1, "channels": 5},
    "harmonic, above frame rate": {"harmonics": 2, "rates": [4], "look_ahead": 2},
}


@pytest.fixture(params=CASES)
def encoder(request):
    torch.manual_seed(0)
    settings = dict(CASES[request.param])
    kind = HarmonicEncoder if "harmonics" in settings else FrameEncoder
    return kind(SPEC, **settings).double()


def features(frames=7, batch=2):
    return {
        "mel": torch.randn(batch, frames, 4, dtype=torch.float64),
        "f0": torch.randn(batch, frames, 2, dtype=torch.float64),
        "phase": torch.randn(batch, frames, 2, dtype=torch.float64),
        "speaker": torch.tensor([0, 2])[:batch],
        "style": torch.randn(batch, 2, dtype=torch.float64),
    }


def numbers_of(context):
    """Return what of a context depends on weights: rows, and a source where there is one."""
    return [part for part in (context.rows, context.source) if part is not None]


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_the_context_covers_every_site_for_the_wavenet(encoder, frames):
    context = encoder(features(frames))
    source = getattr(encoder, "source_channels", 0)
    assert context.hop == encoder.hop
    assert context.rows.shape == (2, frames * 12 // encoder.hop, encoder.channels)
    assert (context.source is None) == (context.lag is None) == (source == 0)
    if source:
        assert context.source.shape == (2, frames * 12, source)
        assert context.lag.shape == (2, frames * 12)
    net = WaveNet(
        2, 2, channels=3, context_channels=encoder.channels, source_channels=source
    ).double()
    x = torch.zeros(2, 12 * frames, dtype=torch.float64)
    assert net(x, context).shape == (2, 12 * frames, 2)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_chunks_of_frames_equal_the_whole_after_the_latency(encoder, chunk):
    given = features()
    whole = encoder(given)
    later = {
        k: torch.cat([v, v[:, -1:].expand(-1, encoder.latency, -1)], 1)[:, encoder.latency :]
        if k in ("mel", "f0", "phase")
        else v
        for k, v in given.items()
    }
    state, parts = encoder.start(given), []
    for start in range(0, 7, chunk):
        piece = {
            k: v[:, start : start + chunk] if k in ("mel", "f0", "phase") else v
            for k, v in later.items()
        }
        context, state = encoder.run(state, piece)
        parts.append(context)
    for name in ("rows", "source", "lag"):
        wanted = getattr(whole, name)
        if wanted is not None:
            got = torch.cat([getattr(part, name) for part in parts], 1)
            torch.testing.assert_close(got, wanted, atol=1e-12, rtol=0)


def test_a_frame_is_not_seen_more_than_the_latency_ahead(encoder):
    given = features(batch=1)
    given["speaker"] = given["speaker"][:1]

    def of_frames(mel):
        return sum(
            part.unflatten(1, (7, -1)).square().sum((0, 2, 3))
            for part in numbers_of(encoder(given | {"mel": mel}))
        )

    seen = jacobian(of_frames, given["mel"]).abs().sum((1, 3)) > 0
    assert not seen.triu(encoder.latency + 1).any()
    assert torch.diagonal(seen, encoder.latency).all()


def test_every_parameter_gets_a_gradient_and_labels_count(encoder):
    given = features()
    sum(part.square().sum() for part in numbers_of(encoder(given))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
    other = encoder(given | {"speaker": torch.tensor([1, 2])})
    for changed, same in zip(numbers_of(other), numbers_of(encoder(given)), strict=True):
        assert not torch.equal(changed[0], same[0])
        assert torch.equal(changed[1], same[1])


def test_repetition_without_layers_passes_standardized_frames():
    encoder = FrameEncoder(SPEC, mode="repeat", look_ahead=0).double()
    given = features()
    rows = encoder(given).rows
    torch.testing.assert_close(rows[..., :4], (given["mel"] - 1) / 2)
    assert torch.equal(rows[..., 4:6], given["f0"])
    assert torch.equal(rows[..., 6:8], given["phase"])
    assert encoder.hop == 12


def test_linear_interpolation_goes_straight_from_frame_to_frame():
    spec = DataSpec(sites=None, hop=4, features={"f0": FeatureSpec("frames", 1)})
    context = FrameEncoder(spec, mode="linear")({"f0": torch.tensor([[[0.0], [4.0], [0.0]]])})
    expected = [1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert context.rows.flatten().tolist() == expected


def test_transposed_convolutions_start_near_interpolation_not_near_zero():
    torch.manual_seed(0)
    spec = DataSpec(sites=None, hop=256, features={"mel": FeatureSpec("frames", 20)})
    assert FrameEncoder(spec)({"mel": torch.randn(1, 50, 20)}).rows.std() > 0.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mel": None}, "'mel' wanted shape .*got none"),
        ({"mel": torch.zeros(2, 7, 5)}, r"frames, 4\), got \(2, 7, 5\)"),
        ({"speaker": torch.zeros(2, 3)}, r"'speaker' wanted shape \(batch\,?\)"),
    ],
)
def test_features_of_another_shape_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FrameEncoder(SPEC)(features() | change)


def test_rates_must_divide_the_hop():
    with pytest.raises(ValueError, match=r"divides the hop 12, got \[5\]"):
        FrameEncoder(SPEC, rates=[5])


def test_no_frames_is_refused_with_the_way_out():
    spec = DataSpec(sites=None, features={"digit": FeatureSpec("label", 3)})
    with pytest.raises(ValueError, match="use VectorEncoder"):
        FrameEncoder(spec)


def pitched(hertz, voiced, spec):
    """Return features of a constant pitch whose phase starts at 0."""
    frames = len(voiced)
    turns = hertz / spec.sample_rate * spec.hop * torch.arange(frames, dtype=torch.float64)
    voicing = torch.tensor(voiced, dtype=torch.float64)
    phase = torch.stack([(2 * math.pi * turns).cos(), (2 * math.pi * turns).sin()], 1)
    f0 = torch.stack([torch.full_like(voicing, math.log(hertz)), voicing], 1)
    return {"f0": f0[None], "phase": (phase * voicing[:, None])[None]}


PITCHED = DataSpec(
    None,
    features={"f0": FeatureSpec("frames", 2), "phase": FeatureSpec("frames", 2)},
    sample_rate=8000,
    hop=5,
)


def test_the_source_is_the_waves_of_the_pitch_where_it_is_voiced():
    encoder = HarmonicEncoder(PITCHED, harmonics=3, voices=0, mode="repeat", look_ahead=0).double()
    context = encoder(pitched(400, [1, 1, 1, 1, 0, 0], PITCHED))
    source = context.source.reshape(30, 3, 2)
    turns = 400 / 8000 * torch.arange(30, dtype=torch.float64)
    for h in (1, 2, 3):
        angle = 2 * math.pi * h * turns
        expected = torch.stack([angle.cos(), angle.sin()], 1)
        torch.testing.assert_close(source[:20, h - 1], expected[:20], atol=1e-9, rtol=0)
    assert not source[20:].any()


def test_the_lag_is_the_period_where_it_is_voiced():
    encoder = HarmonicEncoder(PITCHED, harmonics=1, voices=0, mode="repeat", look_ahead=0).double()
    lag = encoder(pitched(300, [1, 1, 0, 1], PITCHED)).lag
    expected = torch.tensor([8000 / 300, 8000 / 300, 0, 8000 / 300], dtype=torch.float64)
    torch.testing.assert_close(lag, expected.repeat_interleave(5)[None])


def test_harmonics_above_half_the_rate_are_silent():
    encoder = HarmonicEncoder(PITCHED, harmonics=3, voices=0, mode="repeat").double()
    source = encoder(pitched(1500, [1, 1, 1], PITCHED)).source.reshape(15, 3, 2)
    assert source[:, :2].abs().amax(0).min() > 0.5
    assert not source[:, 2].any()


def test_voices_are_weighted_sums_of_the_waves():
    torch.manual_seed(0)
    encoder = HarmonicEncoder(PITCHED, harmonics=3, voices=2, mode="repeat", look_ahead=0).double()
    context = encoder(pitched(400, [1, 1, 1, 1, 0, 0], PITCHED))
    own, source = context.rows, context.source.reshape(6, 5, 8)
    weights = encoder.mixing(own).reshape(6, 1, 2, 6)
    gain = (4 * torch.tanh(encoder.loudness(own) / 4)).exp().reshape(6, 1, 2)
    expected = (weights * source[:, :, None, :6]).sum(-1) * gain
    torch.testing.assert_close(source[..., 6:], expected)
    assert source[:4, :, 6:].abs().amax() > 0
    assert not source[4:, :, 6:].any()


def test_a_source_without_pitch_is_refused_with_the_way_out():
    spec = DataSpec(None, features={"mel": FeatureSpec("frames", 2)}, sample_rate=8000)
    with pytest.raises(ValueError, match=r"conditions=\[mel,f0,phase\]"):
        HarmonicEncoder(spec)


def test_a_stream_begins_with_the_frames_that_it_looks_ahead():
    encoder = FrameEncoder(SPEC, mode="repeat", look_ahead=3)
    with pytest.raises(ValueError, match="wanted the first 3 frames or more, got 2"):
        encoder.start(
            {k: v.float() if v.is_floating_point() else v for k, v in features(2).items()}
        )


@pytest.mark.parametrize("kind", [FrameEncoder, HarmonicEncoder])
def test_encoders_are_exported_and_compiled_in_one_graph(kind):
    both = FeatureSpec("frames", 2, optional=True)
    features = {"mel": FeatureSpec("frames", 4), "f0": both, "phase": both}
    encoder = kind(DataSpec(None, features=features, hop=4, sample_rate=8000)).eval()
    rows = RowsOf(encoder)
    mel = torch.randn(1, 5, 4)
    exported = torch.export.export(rows, (mel,), strict=True).module()
    compiled = torch.compile(rows, backend="eager", fullgraph=True)
    for made in (exported, compiled):
        torch.testing.assert_close(made(mel), rows(mel))


class RowsOf(torch.nn.Module):
    """What an encoder makes of a mel."""

    def __init__(self, encoder: FrameEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        return self.encoder({"mel": mel}).rows
