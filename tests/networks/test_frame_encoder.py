import pytest
import torch
from torch.autograd.functional import jacobian

from distill.contract import DataSpec, FeatureSpec
from distill.networks import FrameEncoder, WaveNet

SPEC = DataSpec(
    sites=None,
    hop=12,
    features={
        "mel": FeatureSpec("frames", 4, loc=(1.0,) * 4, scale=(2.0,) * 4),
        "f0": FeatureSpec("frames", 2),
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
}


@pytest.fixture(params=CASES)
def encoder(request):
    torch.manual_seed(0)
    return FrameEncoder(SPEC, **CASES[request.param]).double()


def features(frames=7, batch=2):
    return {
        "mel": torch.randn(batch, frames, 4, dtype=torch.float64),
        "f0": torch.randn(batch, frames, 2, dtype=torch.float64),
        "speaker": torch.tensor([0, 2])[:batch],
        "style": torch.randn(batch, 2, dtype=torch.float64),
    }


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_the_context_covers_every_site_for_the_wavenet(encoder, frames):
    context = encoder(features(frames))
    assert context.shape == (2, frames * 12 // encoder.hop, encoder.channels)
    net = WaveNet(
        2, 2, channels=3, context_channels=encoder.channels, context_hop=encoder.hop
    ).double()
    x = torch.zeros(2, 12 * frames, dtype=torch.float64)
    assert net(x, context).shape == (2, 12 * frames, 2)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_chunks_of_frames_equal_the_whole_after_the_latency(encoder, chunk):
    given = features()
    whole = encoder(given)
    held = {
        k: torch.cat([v, v[:, -1:].expand(-1, encoder.latency, -1)], 1) if k in ("mel", "f0") else v
        for k, v in given.items()
    }
    state, parts = encoder.zero_state(given), []
    for start in range(0, 7 + encoder.latency, chunk):
        piece = {
            k: v[:, start : start + chunk] if k in ("mel", "f0") else v for k, v in held.items()
        }
        rows, state = encoder.run(state, piece)
        parts.append(rows)
    due = torch.cat(parts, 1)[:, encoder.latency * encoder.rows_per_frame :]
    torch.testing.assert_close(due, whole, atol=1e-12, rtol=0)


def test_a_frame_is_not_seen_more_than_the_latency_ahead(encoder):
    given = features(batch=1)
    given["speaker"] = given["speaker"][:1]

    def of_frames(mel):
        rows = encoder(given | {"mel": mel})
        return rows.unflatten(1, (7, -1)).square().sum((0, 2, 3))

    seen = jacobian(of_frames, given["mel"]).abs().sum((1, 3)) > 0
    assert not seen.triu(encoder.latency + 1).any()
    assert torch.diagonal(seen, encoder.latency).all()


def test_every_parameter_gets_a_gradient_and_labels_count(encoder):
    given = features()
    encoder(given).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
    other = encoder(given | {"speaker": torch.tensor([1, 2])})
    assert not torch.equal(other[0], encoder(given)[0])
    assert torch.equal(other[1], encoder(given)[1])


def test_repetition_without_layers_passes_standardized_frames():
    encoder = FrameEncoder(SPEC, mode="repeat", look_ahead=0).double()
    given = features()
    rows = encoder(given)
    torch.testing.assert_close(rows[..., :4], (given["mel"] - 1) / 2)
    assert torch.equal(rows[..., 4:6], given["f0"])
    assert encoder.hop == 12


def test_linear_interpolation_goes_straight_from_frame_to_frame():
    spec = DataSpec(sites=None, hop=4, features={"f0": FeatureSpec("frames", 1)})
    rows = FrameEncoder(spec, mode="linear")({"f0": torch.tensor([[[0.0], [4.0], [0.0]]])})
    expected = [1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert rows.flatten().tolist() == expected


def test_transposed_convolutions_start_near_interpolation_not_near_zero():
    torch.manual_seed(0)
    spec = DataSpec(sites=None, hop=256, features={"mel": FeatureSpec("frames", 20)})
    rows = FrameEncoder(spec)({"mel": torch.randn(1, 50, 20)})
    assert rows.std() > 0.3


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
