"""F0 moved to where the harmonics are."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from distill.data.audio import AudioCorpus, LogMel, Pitch
from distill.data.audio.pitch_refinement import refine

RATE, MEL = 8000, LogMel(bands=20, fft=512, window=400, hop=64, high=None)


def voice(sites: int = 8000) -> tuple[Tensor, Tensor]:
    """Return a wave of 14 harmonics whose pitch bends, and its frequency at frame centers."""
    time = torch.arange(sites, dtype=torch.float64) / RATE
    hertz = 170 + 30 * torch.sin(2 * math.pi * 1.5 * time)
    turns = torch.cumsum(hertz, 0) / RATE
    wave = sum((torch.cos(2 * math.pi * h * turns + h * h) / h for h in range(1, 15)), 0 * time)
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=sites))
    at = MEL.centers(MEL.frames(sites)).clamp(max=sites - 1)
    return 0.1 * wave + 0.005 * noise, hertz[at].float()


def cents(found: Tensor, truth: Tensor) -> Tensor:
    return 1200 * (found.double() / truth.double()).log2()


def test_a_coarse_and_biased_pitch_becomes_the_true_one() -> None:
    x, truth = voice()
    grid = 2 ** ((12 * truth.log2()).round() / 12)  # semitones: up to 50 cents off
    near = truth * 2 ** (cents(grid, truth).float() * 0.6 / 1200)
    found = refine(near, x, RATE, MEL.centers(len(near)), 0.03)
    before, after = cents(near, truth)[3:-3], cents(found, truth)[3:-3]
    assert before.abs().median() > 10
    assert after.abs().median() < 3
    assert after.abs().max() < 12


def test_a_pitch_that_is_right_stays_and_its_jitter_does_not_grow() -> None:
    x, truth = voice()
    rng = torch.Generator().manual_seed(0)
    rough = truth * 2 ** (8 * torch.randn(len(truth), generator=rng) / 1200)
    found = refine(rough, x, RATE, MEL.centers(len(rough)), 0.03)

    def jitter(hertz: Tensor) -> float:
        return float(cents(hertz, truth)[3:-3].diff().square().mean().sqrt())

    assert jitter(found) < 0.5 * jitter(rough)
    kept = refine(truth, x, RATE, MEL.centers(len(truth)), 0.03)
    assert cents(kept, truth)[3:-3].abs().median() < 3


def test_frames_without_a_voice_stay_without_and_do_not_pull_at_others() -> None:
    x, truth = voice()
    hertz = truth.clone()
    hertz[40:60] = 0
    found = refine(hertz, x, RATE, MEL.centers(len(hertz)), 0.03)
    assert torch.equal(found > 0, hertz > 0)
    assert cents(found[60:70], truth[60:70]).abs().max() < 12
    silent = torch.zeros(50)
    assert torch.equal(refine(silent, x, RATE, MEL.centers(50), 0.03), silent)


def test_frequencies_stay_within_the_share_even_of_silence_and_very_high_voices() -> None:
    hertz = torch.full((30,), 590.0)
    for x in (torch.zeros(1900), torch.randn(1900)):
        found = refine(hertz, x, RATE, MEL.centers(30), 0.02)
        assert found.isfinite().all()
        assert cents(found, hertz).abs().max() <= 1200 * math.log2(math.e) * 0.02 * 1.1


def test_a_share_of_zero_refines_nothing() -> None:
    x, truth = voice()
    assert torch.equal(Pitch(refine=0).refined(truth, x, RATE, MEL), truth)
    with pytest.raises(ValueError, match="wanted refine, a share from 0 to"):
        Pitch(refine=0.5)


def test_what_the_tracker_found_is_kept_however_it_is_refined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "audio").mkdir()
    for name in ("a", "b"):
        soundfile.write(tmp_path / "audio" / f"{name}.wav", voice(4000)[0].numpy(), RATE)
    tracked: list[int] = []
    track = Pitch.__call__
    monkeypatch.setattr(
        Pitch, "__call__", lambda self, x, *rest: tracked.append(len(x)) or track(self, x, *rest)
    )

    def f0(share: float) -> Tensor:
        data = AudioCorpus(
            str(tmp_path / "audio"),
            sample_rate=RATE,
            crop=1024,
            conditions=("mel", "f0", "phase"),
            mel=MEL,
            pitch=Pitch(refine=share),
            cache=str(tmp_path / "cache"),
        )
        features = next(data.held_out(1)).features
        assert features is not None
        return features["f0"]

    rough = f0(0.0)
    assert len(tracked) == 2
    fine = f0(0.03)
    assert len(tracked) == 2
    assert not torch.equal(rough, fine)
    assert torch.equal(rough[..., 1], fine[..., 1])
