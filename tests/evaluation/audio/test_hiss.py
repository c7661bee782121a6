"""Hiss between the harmonics of steady tones."""

import math

import numpy as np
import pytest
import torch

from distill.data.audio import LogMel, Tones
from distill.evaluation.audio import Comparator
from distill.evaluation.audio.clips import held_out_clips
from distill.evaluation.audio.hiss import hiss
from distill.evaluation.audio.pitch import Track

RATE = 8000
MEL = LogMel(bands=40, fft=512, window=400, hop=80, high=None)


def tone(hertz: np.ndarray, noise: float) -> torch.Tensor:
    turns = np.cumsum(np.repeat(hertz, MEL.hop)) / RATE
    x = 0.1 * sum(np.sin(2 * np.pi * k * turns + k) for k in range(1, 11))
    return torch.from_numpy(x + noise * np.random.default_rng(0).normal(size=len(x)))


def track(hertz: np.ndarray) -> Track:
    return Track.of_truth(hertz)


@pytest.mark.parametrize("noise", [0.1, 0.01, 0.001])
def test_it_is_the_power_of_the_noise_over_that_of_the_harmonics(noise: float) -> None:
    steady = np.full(100, 220.0)
    found = hiss(tone(steady, noise), track(steady), RATE, MEL)
    # A harmonic's power falls on eight bins, what lies within four of it.
    wanted = 10 * math.log10(noise**2 * 8 * 4 / (0.1**2 * round(0.128 * RATE)))
    assert len(found) == 28
    assert found.mean() == pytest.approx(wanted, abs=0.3)


def test_nothing_is_said_of_glides_of_low_pitch_and_of_what_has_no_voice() -> None:
    steady, glide, low = np.full(100, 220.0), np.linspace(200, 240, 100), np.full(100, 70.0)
    for hertz in (glide, low):
        assert not len(hiss(tone(hertz, 0.01), track(hertz), RATE, MEL))
    assert not len(hiss(tone(steady, 0.01), track(0 * steady), RATE, MEL))
    assert not len(hiss(tone(steady, 0.01)[:500], track(steady), RATE, MEL))


def test_windows_beside_the_voice_are_left_out() -> None:
    hertz = np.full(100, 220.0)
    hertz[50:] = 0
    x = tone(np.full(100, 220.0), 0.001)
    x[4000:] = 0
    found = hiss(x, track(hertz), RATE, MEL)
    assert len(found) == 12
    assert found.max() < -45


def test_copies_are_compared_by_it_and_recordings_have_their_own() -> None:
    data = Tones(count=12, seconds=0.6, conditions=["mel"], held_out=0.25)
    clips = held_out_clips(data, 3, 1.0)
    compare = Comparator(clips, data.spec)
    noise = torch.Generator().manual_seed(0)
    hissing = [c.x + 0.02 * torch.randn(len(c.x), generator=noise) for c in clips]
    own = compare.of_references()["hiss_db"]
    assert compare([c.x for c in clips]).scalars["hiss_db"] == own
    assert compare(hissing).scalars["hiss_db"] > own + 10
