"""Stretches at random speeds, from which an estimate of F0 learns."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from distill.data.audio import LogMel, Pitch, Tones
from distill.data.audio.clips import Clips
from distill.data.audio.practice import Practice
from distill.data.audio.preparation import Clip, Loaded
from distill.models import wavenet
from distill.networks import HarmonicEncoder
from distill.objectives import Likelihood

RATE = 8000
MEL = LogMel(bands=40, fft=512, window=400, hop=80, high=None)
PITCH = Pitch()


def glide(seconds: float, low: float = 150.0, high: float = 260.0, align: str = "middle") -> Loaded:
    """Return a voice whose F0 rises evenly in its logarithm, with its true F0."""
    mel = LogMel(bands=40, fft=512, window=400, hop=80, high=None, align=align)
    sites = int(seconds * RATE)
    line = np.log(low) + (np.log(high) - np.log(low)) * np.arange(sites) / sites
    turns = np.cumsum(np.exp(line)) / RATE
    x = sum(0.03 * np.cos(2 * np.pi * h * turns) for h in range(1, 12))
    x += 1e-3 * np.random.default_rng(0).standard_normal(sites)
    samples = torch.from_numpy(np.rint(x * 2**15).astype(np.int16))
    frames = mel(samples[None] / 2**15, RATE)[0]
    at = (np.arange(len(frames)) + (0.5 if align == "middle" else 0.0)) * 80
    f0 = np.stack([np.interp(at, np.arange(sites), line), np.ones(len(frames))], 1)
    return Loaded(samples, {"mel": frames, "f0": torch.from_numpy(f0.astype(np.float32))}, {})


def practice(loaded: Loaded, given: bool = False, align: str = "middle") -> Practice:
    mel = LogMel(bands=40, fft=512, window=400, hop=80, high=None, align=align)
    clips = Clips.of([Clip("a", len(loaded.samples), lambda: loaded)])
    return Practice(clips, RATE, mel, PITCH, given)


def known(made: dict[str, torch.Tensor]) -> torch.Tensor:
    return ~made["f0"].isnan().any(-1)


@pytest.mark.parametrize("align", ["middle", "start"])
def test_f0_of_a_stretch_is_where_its_mel_has_it(align: str) -> None:
    """Compare with voices made at that F0: of their mels the nearest is the one of the same F0."""
    loaded = glide(2.0, align=align)
    made = practice(loaded, align=align)(0, 0, 0, 8)
    candidates = np.linspace(-0.12, 0.12, 13)
    off = []
    for row in range(8):
        inside = torch.nonzero(known({k: v[row] for k, v in made.items()}))[:, 0]
        frame = int(inside[len(inside) // 2])
        line = float(made["f0"][row, frame, 0])
        distances = []
        for shift in candidates:
            f = math.exp(line + shift)
            t = np.arange(4000) / RATE
            x = sum(0.03 * np.cos(2 * np.pi * h * f * t) for h in range(1, int(4000 / f)))
            other = MEL(torch.from_numpy(x)[None], RATE)[0][20].numpy()
            # Harmonics that are resolved tell F0; loudness and what a file lacks above do not.
            apart = (made["mel"][row, frame].numpy() - other)[:16]
            distances.append(np.abs(apart - apart.mean()).sum())
        off.append(candidates[int(np.argmin(distances))])
    assert np.abs(off).max() <= 0.021
    assert not np.allclose(made["f0"][:, :, 0].nan_to_num(), made["f0"][0, :, 0].nan_to_num())


def test_a_stretch_at_its_own_speed_is_that_of_the_clip() -> None:
    loaded = glide(2.0)
    made = practice(loaded, given=True)(0, 0, 0, 4)
    for mel, f0 in zip(made["mel"], made["f0"], strict=True):
        there = ~f0.isnan().any(-1)
        match = (loaded.frames["f0"][:, None, 0] == f0[there][None, :, 0]).nonzero()[:, 0]
        assert torch.equal(loaded.frames["mel"][match], mel[there])


def test_a_row_does_not_depend_on_which_rows_are_made() -> None:
    rows = practice(glide(1.0))
    whole, part = rows(3, 1, 0, 6), rows(3, 1, 2, 5)
    for name in whole:
        torch.testing.assert_close(whole[name][2:5], part[name], rtol=0, atol=0, equal_nan=True)
    other = rows(4, 1, 0, 6)
    assert not torch.equal(whole["mel"], other["mel"])


def test_a_clip_shorter_than_a_stretch_repeats_its_ends_without_f0() -> None:
    made = practice(glide(0.2), given=True)(0, 0, 0, 5)
    there = known(made)
    assert there.sum(1).tolist() == [20] * 5
    for mel, row in zip(made["mel"], there, strict=True):
        inside = row.nonzero()[:, 0]
        first, last = int(inside[0]), int(inside[-1])
        assert torch.equal(mel[:first], mel[first].expand(first, -1))
        assert torch.equal(mel[last + 1 :], mel[last].expand(len(mel) - last - 1, -1))


def test_f0_out_of_range_and_half_known_voicing_are_left_out() -> None:
    loaded = glide(2.0, low=500.0, high=599.0)
    loaded.frames["f0"][::7, 1] = 0
    made = practice(loaded)(0, 0, 0, 16)
    voiced = made["f0"][..., 1] == 1
    line = made["f0"][..., 0][voiced]
    assert len(line) > 0
    assert float(line.max()) <= math.log(600)
    faster = made["f0"][known(made)]
    # Unvoiced frames are known only where both neighbors are: never, beside single ones.
    assert bool((faster[:, 1] == 1).float().mean() > 0.9)


def test_batches_of_data_without_f0_afterwards_carry_stretches_row_by_row() -> None:
    data = Tones(
        count=12, seconds=0.5, crop=1024, conditions=["mel"], optional=["f0", "phase"], held_out=0.2
    )
    batch = data.train_batch(5, 4, 1)
    assert batch.practice is not None
    assert list(batch.practice) == ["mel", "f0"]
    assert batch.practice["mel"].shape[0] == 4
    for part in (batch.part(1, 3), data.train_rows(5, 4, 1, 1, 3)):
        assert part.practice is not None
        for name, value in part.practice.items():
            whole = batch.practice[name][1:3]
            torch.testing.assert_close(value, whole, rtol=0, atol=0, equal_nan=True)
    assert Tones(count=12, seconds=0.5, crop=1024).train_batch(0, 2, 0).practice is None


def test_an_encoder_learns_its_estimates_from_practice_alone() -> None:
    data = Tones(
        count=12, seconds=0.5, crop=1024, conditions=["mel"], optional=["f0", "phase"], held_out=0.2
    )
    model = wavenet(
        data.spec, layers=2, channels=4, encoder=partial(HarmonicEncoder, mode="repeat")
    )
    batch, losses = data.train_batch(0, 2, 0), {}
    assert batch.practice is not None
    assert batch.features is not None
    spoiled = {"f0": batch.features["f0"] + 0.2}
    for name, other in {
        "as it is": batch,
        "another crop's f0": replace(batch, features={**batch.features, **spoiled}),
        "no practice": replace(batch, practice=None),
    }.items():
        torch.manual_seed(0)
        losses[name] = Likelihood(model, loss_warmup=8)(other, 0.0).parts["pitch"]
    assert losses["as it is"] == losses["another crop's f0"]
    assert losses["as it is"] != losses["no practice"]
