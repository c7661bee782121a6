"""Spectral distances, level, pitch, STOI, Griffin-Lim: what they say of known sounds."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
import torch

from distill.data.audio import LogMel, Tones
from distill.evaluation.audio import Comparator
from distill.evaluation.audio import perceived as module
from distill.evaluation.audio.clips import held_out_clips
from distill.evaluation.audio.griffin_lim import griffin_lim
from distill.evaluation.audio.perceived import pesq, stoi
from distill.evaluation.audio.pitch import PitchErrors, Track, track
from distill.evaluation.audio.spectra import level_difference, log_mel_distance, stft_distance

RATE = 8000
MEL = LogMel(bands=40, fft=512, window=400, hop=80, high=None)


def tone(hertz: float, seconds: float = 0.4) -> torch.Tensor:
    at = torch.arange(int(seconds * RATE)) / RATE
    return 0.1 * sum(torch.sin(2 * torch.pi * k * hertz * at) / k for k in (1, 2, 3))


def test_a_sound_is_at_no_distance_from_itself_and_noise_is_far():
    x = tone(200)
    noise = 0.1 * torch.randn(len(x), generator=torch.Generator().manual_seed(0))
    near = x + 0.01 * noise
    assert log_mel_distance(x, x, RATE, MEL) == (0.0, 0.0)
    assert stft_distance(x, x, RATE) == pytest.approx(0, abs=1e-6)
    for mine in (
        lambda y: log_mel_distance(y, x, RATE, MEL)[0],
        lambda y: log_mel_distance(y, x, RATE, MEL)[1],
        lambda y: stft_distance(y, x, RATE),
    ):
        assert 0 < mine(near) < mine(noise)


def test_log_mel_distance_of_a_louder_copy_is_its_gain_in_nepers():
    x = tone(200) + 0.01 * torch.randn(3200, generator=torch.Generator().manual_seed(0))
    mae, rmse = log_mel_distance(2 * x, x, RATE, MEL)
    assert mae == pytest.approx(math.log(2), abs=1e-3)
    assert rmse == pytest.approx(math.log(2), abs=1e-3)


def test_level_is_that_of_the_part_where_the_reference_is_heard():
    x = torch.cat([tone(200), torch.zeros(4000)])
    hiss = torch.cat([torch.zeros(3200), 0.05 * torch.ones(4000)])
    assert level_difference(0.5 * x + hiss, x, RATE) == pytest.approx(-6.02, abs=0.01)
    assert level_difference(torch.zeros_like(x), x, RATE) < -60


def test_pitch_is_followed_within_a_few_cents():
    for hertz in (110.0, 233.0):
        found = track(tone(hertz), RATE, MEL)
        inner = slice(4, -4)
        assert found.voiced[inner].all()
        cents = 1200 * np.log2(found.f0[inner] / hertz)
        assert np.abs(cents).max() < 15


def test_pitch_errors_count_cents_and_voices():
    reference = Track.of_truth(np.array([100.0, 100.0, 100.0, 100.0, 0.0, np.nan]))
    factor = 2 ** (30 / 1200)
    copy = Track.of_truth(np.array([100.0, 100.0 * factor, 200.0, 0.0, 0.0, 120.0]))
    numbers = PitchErrors.between(copy, reference).scalars()
    assert numbers["voicing_agreement"] == pytest.approx(4 / 6)
    assert numbers["f0_within_20_cents"] == pytest.approx(1 / 3)
    assert numbers["f0_within_50_cents"] == pytest.approx(2 / 3)
    assert numbers["f0_found_within_50_cents"] == pytest.approx(2 / 4)
    assert numbers["f0_median_cents"] == pytest.approx(30)
    assert numbers["f0_refined_within_20_cents"] == pytest.approx(1 / 3)
    assert numbers["f0_refined_within_50_cents"] == pytest.approx(2 / 3)


def test_refined_pitch_follows_a_glide_closer_than_the_tracker():
    time = torch.arange(2 * RATE) / RATE
    hertz = 240 * 2 ** (0.5 * torch.sin(5 * math.pi * time))
    turns = torch.cumsum(hertz.double() / RATE, 0)
    x = sum(torch.sin(2 * math.pi * k * turns) / k for k in range(1, 9)).float() * 0.1
    noise = torch.randn(len(x), generator=torch.Generator().manual_seed(0))
    found = track(x + 0.002 * noise, RATE, MEL)
    middle = (torch.arange(len(found.f0)) * MEL.hop + MEL.hop // 2).clamp(max=len(x) - 1)
    numbers = PitchErrors.between(found, Track.of_truth(hertz[middle])).scalars()
    assert numbers["f0_refined_within_20_cents"] > 0.9
    assert numbers["f0_within_20_cents"] < numbers["f0_refined_within_20_cents"] - 0.05


def test_a_whisper_loses_its_voice():
    x = tone(150)
    noise = 0.1 * torch.randn(len(x), generator=torch.Generator().manual_seed(0))
    numbers = PitchErrors.between(track(noise, RATE, MEL), track(x, RATE, MEL)).scalars()
    assert numbers["voicing_agreement"] < 0.3
    assert numbers["f0_found_within_50_cents"] == 0


@pytest.mark.parametrize("sites", [1, 30, 100, 400])
def test_silence_and_short_clips_break_nothing(sites):
    silent, short = torch.zeros(sites), tone(200)[:sites]
    for copy in (silent, short, torch.full((sites,), torch.nan)):
        assert math.isfinite(log_mel_distance(copy, short, RATE, MEL)[0])
        track(copy, RATE, MEL)
    assert math.isnan(stft_distance(short, silent, RATE))
    assert math.isnan(level_difference(short, silent, RATE))
    assert not track(silent, RATE, MEL).voiced.any()
    assert stoi(short, short, RATE) is None
    assert pesq(short, short, RATE) is None


def test_stoi_is_one_for_the_same_sound_and_left_out_for_silence():
    pytest.importorskip("pystoi")
    x = tone(150, seconds=1.0) * (1 + torch.sin(torch.arange(8000) / 300))
    noise = torch.randn(8000, generator=torch.Generator().manual_seed(0))
    same, worse = stoi(x, x, RATE), stoi(x + 0.3 * noise, x, RATE)
    assert same == pytest.approx(1, abs=1e-3)
    assert worse is not None
    assert worse < same


def test_missing_packages_are_named_and_give_nothing(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("pystoi", "pesq") else real(name)
    )
    assert module.missing_measures() == ["pystoi", "pesq"]
    assert stoi(tone(200, 1.0), tone(200, 1.0), RATE) is None
    assert pesq(tone(200, 1.0), tone(200, 1.0), RATE) is None


@pytest.mark.parametrize(
    "mel",
    [
        MEL,
        LogMel(bands=40, fft=512, window=400, hop=80, high=None, align="start", log="log10"),
        LogMel(bands=40, fft=512, window=400, hop=80, high=None, power=2.0),
        LogMel(bands=40, fft=512, window=400, hop=80, high=None, log="decibel", preemphasis=0.9),
    ],
    ids=["hifigan", "start log10", "power", "decibel"],
)
def test_griffin_lim_gives_back_pitch_level_and_mel(mel):
    x = tone(200) + 0.002 * torch.randn(3200, generator=torch.Generator().manual_seed(0))
    y = griffin_lim(mel(x[None], RATE)[0], len(x), RATE, mel, steps=30)
    assert y.shape == x.shape
    # Undoing the filterbank smears a pure harmonic, which costs a little level.
    assert abs(level_difference(y, x, RATE)) < 3
    numbers = PitchErrors.between(track(y, RATE, mel), track(x, RATE, mel)).scalars()
    assert numbers["f0_within_50_cents"] > 0.8


def test_a_comparator_holds_copies_against_the_truth_as_well():
    data = Tones(count=20, seconds=0.4, kinds=["tone"])
    clips = held_out_clips(data, 2, 10.0)
    compare = Comparator(clips, data.spec)
    good = compare([0.5 * clip.x for clip in clips]).scalars
    assert good["level_db"] == pytest.approx(-6.02, abs=0.05)
    assert good["level_off_db"] == pytest.approx(6.02, abs=0.05)
    assert good["truth_f0_within_20_cents"] > 0.95
    assert good["voicing_agreement"] > 0.95
    assert all(math.isfinite(value) for value in good.values())
    bad = compare([torch.zeros_like(clip.x) for clip in clips]).scalars
    assert bad["truth_f0_found_within_50_cents"] == 0
    assert "f0_median_cents" not in bad
    assert bad["stft"] > good["stft"]
