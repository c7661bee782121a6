"""A line through the frequencies of frames, and the waves and phases along it."""

import math

import pytest
import torch

from distill.contract import DataSpec, FeatureSpec
from distill.data.audio import LogMel, Pitch
from distill.networks import HarmonicEncoder
from distill.networks.pitch_contour import pitch_contour

RATE, HOP = 8000, 16
TWO = FeatureSpec("frames", 2)


def spec(align="middle"):
    return DataSpec(
        None,
        features={"f0": TWO, "phase": TWO},
        sample_rate=RATE,
        hop=HOP,
        settings={"mel": {"align": align}},
    )


def gliding(frames=12, start=200.0, stop=300.0, offset=0.3, at=0.5):
    """Return the features of a pitch that glides evenly, and its turns at every site."""
    time = torch.arange(frames * HOP, dtype=torch.float64) / (frames * HOP)
    seconds = frames * HOP / RATE
    turns = offset + seconds * (start * time + (stop - start) * time**2 / 2)
    f0 = start + (stop - start) * (torch.arange(frames, dtype=torch.float64) + at) / frames
    angle = 2 * math.pi * turns[::HOP]
    features = {
        "f0": torch.stack([f0.log(), torch.ones_like(f0)], 1)[None],
        "phase": torch.stack([angle.cos(), angle.sin()], 1)[None],
    }
    return features, turns


def waves(encoder, features):
    """Return the harmonics as complex numbers `(T, harmonics)`."""
    source = encoder(features).source[0].detach().unflatten(1, (-1, 2))
    return torch.view_as_complex(source.contiguous())


@pytest.mark.parametrize(("align", "at"), [("middle", 0.5), ("start", 0.0)])
def test_waves_follow_a_gliding_pitch_exactly(align, at):
    features, turns = gliding(at=at)
    encoder = HarmonicEncoder(spec(align), harmonics=5, voices=0, mode="repeat").double()
    found = waves(encoder, features)
    inside = slice(HOP, -HOP)  # at the ends of a run the frequency is held
    for order in range(1, 6):
        wanted = torch.polar(torch.ones_like(turns), 2 * math.pi * order * turns)
        torch.testing.assert_close(
            found[inside, order - 1], wanted[inside], atol=1e-9 * order, rtol=0
        )


def test_phase_and_frequency_have_no_jumps_where_measured_phases_are_off():
    features, _ = gliding()
    torch.manual_seed(0)
    turn = 0.3 * torch.randn(12, dtype=torch.float64)
    cosine, sine = features["phase"][0].unbind(-1)
    moved = [cosine * turn.cos() - sine * turn.sin(), cosine * turn.sin() + sine * turn.cos()]
    features["phase"] = torch.stack(moved, 1)[None]
    encoder = HarmonicEncoder(spec(), harmonics=1, voices=0, mode="repeat").double()
    wave = waves(encoder, features)[:, 0]
    steps = (wave[1:] * wave[:-1].conj()).angle() / (2 * math.pi)
    # A cubic's frequency bends by at most 6 / hop^2 turns a site for each turn it makes up for.
    assert (steps - 250 / RATE).abs().max() > 0.01
    assert steps.diff().abs().max() < 6 / HOP**2 * 0.25
    starts = torch.view_as_complex(features["phase"][0].contiguous())
    torch.testing.assert_close(wave[::HOP], starts)


def test_a_repeated_last_frame_holds_its_frequency():
    features, _ = gliding(frames=6, start=211.0, stop=211.0)
    wave = waves(HarmonicEncoder(spec(), 1, 0, mode="repeat").double(), features)[:, 0]
    steps = (wave[1:] * wave[:-1].conj()).angle() / (2 * math.pi)
    torch.testing.assert_close(steps, torch.full_like(steps, 211 / RATE))


def test_frequencies_do_not_glide_across_leaps_and_silence():
    hertz = torch.tensor([100.0, 110.0, 220.0, 0.0, 200.0, 210.0, 0.0])
    line = pitch_contour(hertz, hertz > 0, centered=True)
    assert line.start.tolist() == [105.0, 220.0, 0.0, 200.0, 205.0]
    assert line.end.tolist() == [110.0, 220.0, 0.0, 205.0, 210.0]
    assert line.joined.tolist() == [False, False, False, True, False]
    line = pitch_contour(hertz, hertz > 0, centered=False)
    assert line.start.tolist() == [110.0, 220.0, 0.0, 200.0, 210.0]
    assert line.end.tolist() == [110.0, 220.0, 0.0, 210.0, 210.0]


def test_turns_within_a_frame_arrive_where_the_next_one_starts():
    hertz = torch.tensor([[0.0, 0.02, 0.023, 0.025, 0.0]], dtype=torch.float64)
    line = pitch_contour(hertz, hertz > 0, centered=True)
    sites = torch.arange(HOP + 1, dtype=torch.float64)
    within = line.within(sites, HOP)
    torch.testing.assert_close(within[..., -1], line.turns(HOP))
    slope = (within[..., 1:] - within[..., :-1]).flatten()
    assert (slope.diff() >= -1e-12).all()
    assert slope.diff().max() < 0.0003


def test_the_lag_is_one_period_where_it_is_voiced():
    features, turns = gliding()
    features["f0"][0, 8:, 1] = 0
    features["phase"][0, 8:] = 0
    lag = HarmonicEncoder(spec(), 2, 0, mode="repeat").double()(features).lag[0]
    assert not lag[8 * HOP :].any()
    middle = slice(2 * HOP, 7 * HOP)
    wanted = 2 / (turns[2:] - turns[:-2])
    torch.testing.assert_close(lag[middle], wanted[2 * HOP - 1 : 7 * HOP - 1], rtol=1e-4, atol=0)


@pytest.mark.parametrize("align", ["middle", "start"])
def test_the_integral_of_a_contour_is_that_of_its_gliding_pitch(align):
    features, turns = gliding(offset=0.0, at=0.5 if align == "middle" else 0.0)
    mel = LogMel(bands=8, fft=64, window=64, hop=HOP, high=None, align=align)
    found = Pitch().integrate(features["f0"][0], RATE, mel).double()
    angle = 2 * math.pi * (turns[::HOP] - turns[HOP])
    wanted = torch.stack([angle.cos(), angle.sin()], 1)
    cosine, sine = found[1]  # the first frame has no neighbor to glide from
    turned = torch.stack(
        [found[:, 0] * cosine + found[:, 1] * sine, found[:, 1] * cosine - found[:, 0] * sine], 1
    )
    torch.testing.assert_close(turned[1:], wanted[1:], atol=1e-4, rtol=0)
