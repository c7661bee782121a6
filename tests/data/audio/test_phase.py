import math

import pytest
import torch

from distill.data.audio import LogMel, Pitch, Tones

RATE, MEL = 8000, LogMel(bands=20, fft=512, window=400, hop=64, high=None)


def gliding(start=0.3, sites=8000):
    """Return a wave whose pitch glides, its frequency at frame centers, and its phase at starts."""
    hertz = torch.linspace(150, 220, sites, dtype=torch.float64)
    turns = start + torch.cumsum(hertz, 0) / RATE
    wave = sum((2 * math.pi * h * turns).cos() / h for h in (1, 2, 3, 4))
    at = MEL.centers(MEL.frames(sites)).clamp(max=sites - 1)
    angle = 2 * math.pi * turns[::64]
    return wave, hertz[at].float(), torch.stack([angle.cos(), angle.sin()], 1).float()


def test_the_phase_of_the_fundamental_is_found_wherever_it_starts():
    for start in (0.0, 0.3, 0.8):
        wave, hertz, expected = gliding(start)
        found = Pitch().phase(Pitch().contour(hertz), wave, RATE, MEL)
        torch.testing.assert_close(found[4:-4], expected[4:-4], atol=0.06, rtol=0)


def test_where_nothing_is_voiced_there_is_no_phase():
    wave, hertz, _ = gliding()
    hertz[50:70] = 0
    found = Pitch().phase(Pitch().contour(hertz), wave, RATE, MEL).norm(dim=1)
    assert not found[50:70].any()
    torch.testing.assert_close(found[:50], torch.ones(50))


def test_without_a_waveform_the_phase_is_what_the_pitch_adds_up_to():
    contour = Pitch().contour(torch.full((20,), 200.0))
    found = Pitch().integrate(contour, RATE, MEL)
    turns = 200 / RATE * 64 * torch.arange(20, dtype=torch.float64)
    expected = torch.stack([(2 * math.pi * turns).cos(), (2 * math.pi * turns).sin()], 1).float()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["tone", "pluck"])
def test_the_phases_of_a_corpus_follow_its_sounds(kind):
    data = Tones(count=4, kinds=[kind], conditions=["f0", "phase"])
    batch = next(data.held_out(1))
    hertz = batch.features["f0"][0, :, 0].exp()
    phase = batch.features["phase"][0]
    voiced = (batch.features["f0"][0, :, 1] > 0) & (phase.norm(dim=1) > 0)
    turned = torch.atan2(phase[1:, 1], phase[1:, 0]) - torch.atan2(phase[:-1, 1], phase[:-1, 0])
    off = (turned / (2 * math.pi) - hertz[:-1] * 64 / RATE + 0.5) % 1 - 0.5
    inside = voiced[1:] & voiced[:-1]
    assert inside.sum() > 20
    assert off[inside].abs().median() < 0.02
