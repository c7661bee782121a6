"""Log-mel spectrograms against librosa."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from distill.contract import DataSpec
from distill.data.audio import LogMel
from distill.instantiate import build

CONF = Path(__file__).parents[3] / "conf"
RATES = {"hifigan": 22050, "tacotron2": 22050, "tacotron": 22050, "clarinet": 24000, "mel_8k": 8000}


def named(name: str) -> LogMel:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build(compose("prepare", ["data=audio", f"features@data.mel={name}"]).data.mel)


def wave(sites: int, rate: int) -> np.ndarray:
    t = np.arange(sites) / rate
    sweep = np.sin(2 * np.pi * (100 + 900 * t) * t)
    return 0.3 * sweep + 0.01 * np.random.default_rng(0).normal(size=sites)


def by_librosa(x: np.ndarray, rate: int, mel: LogMel) -> np.ndarray:
    """Compute what the settings say with librosa alone."""
    if mel.preemphasis:
        x = librosa.effects.preemphasis(x, coef=mel.preemphasis, zi=[0.0])
    shared = {
        "sr": rate,
        "n_fft": mel.fft,
        "hop_length": mel.hop,
        "win_length": mel.window,
        "n_mels": mel.bands,
        "fmin": mel.low,
        "fmax": mel.high or rate / 2,
        "power": mel.power,
        "htk": mel.htk,
        "norm": "slaney" if mel.normalize else None,
        "dtype": np.float64,
    }
    if mel.align == "start":
        energies = librosa.feature.melspectrogram(y=x, center=True, pad_mode="reflect", **shared)
    else:
        side = (mel.fft - mel.hop) // 2
        x = np.pad(x, (side, mel.fft - mel.hop - side), mode="reflect")
        energies = librosa.feature.melspectrogram(y=x, center=False, **shared)
    energies = np.maximum(energies, mel.floor)
    if mel.log == "natural":
        out = np.log(energies)
    elif mel.log == "log10":
        out = np.log10(energies)
    else:
        out = np.clip((20 * np.log10(energies) - mel.reference + mel.span) / mel.span, 0, 1)
    return out.T


def test_every_config_of_features_is_compared() -> None:
    assert {path.stem for path in (CONF / "features").glob("*.yaml")} == set(RATES)


@pytest.mark.parametrize("name", RATES)
def test_mel_equals_that_of_librosa(name: str) -> None:
    mel, rate = named(name), RATES[name]
    x = wave(40 * mel.hop, rate)
    mine = mel(torch.from_numpy(x)[None], rate)[0].numpy()
    expected = by_librosa(x, rate, mel)[:40]
    assert mine.shape == (40, mel.bands)
    assert np.abs(mine - expected).max() < 1e-8
    assert expected.std() > 0.05


def test_mel_with_settings_of_htk_and_energies_equals_that_of_librosa() -> None:
    mel = LogMel(40, 512, 400, 100, low=50, high=3800, htk=True, normalize=False, power=2.0)
    mel = replace(mel, log="log10", floor=1e-10)
    x = wave(3000, 8000)
    mine = mel(torch.from_numpy(x)[None], 8000)[0].numpy()
    assert np.abs(mine - by_librosa(x, 8000, mel)).max() < 1e-8


@pytest.mark.parametrize("align", ["middle", "start"])
@pytest.mark.parametrize("hop", [64, 75, 100])
def test_every_hop_sites_have_one_frame_of_their_own(align: str, hop: int) -> None:
    mel = LogMel(20, 512, 400, hop, high=None, align=align)
    x = torch.randn(2, 12 * hop)
    assert mel(x, 8000).shape == (2, 12, 20)
    assert torch.equal(mel(x[:, : 11 * hop + 1], 8000)[:, :8], mel(x, 8000)[:, :8])
    assert mel.frames(11 * hop + 1) == 12
    # A click is loudest in the frame whose window is centered on it.
    click = torch.zeros(1, 40 * hop)
    at = int(mel.centers(40)[23])
    click[0, at] = 1.0
    assert int(mel(click, 8000)[0].sum(1).argmax()) == 23
    assert at // hop == 23


def test_a_waveform_shorter_than_the_window_has_frames() -> None:
    frames = LogMel(20, 512, 400, 64, high=None)(torch.randn(1, 10), 8000)
    assert frames.shape == (1, 1, 20)
    assert frames.isfinite().all()


def test_silence_is_the_floor_with_a_finite_gradient() -> None:
    mel = LogMel(20, 512, 400, 64, high=None)
    x = torch.zeros(1, 640, requires_grad=True)
    out = mel(x, 8000)
    assert torch.allclose(out, torch.tensor(1e-5).log())
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert torch.equal(mel.silence(8000), out[0, 3])


def test_settings_travel_through_a_spec_and_json() -> None:
    mel = LogMel(20, 512, 400, 64, high=None, align="start")
    spec = DataSpec(sites=None, settings={"mel": asdict(mel)})
    assert LogMel.of(DataSpec.from_dict(json.loads(json.dumps(spec.to_dict())))) == mel
    with pytest.raises(ValueError, match="no mel settings"):
        LogMel.of(DataSpec(sites=2))


def test_settings_without_sense_raise() -> None:
    with pytest.raises(ValueError, match="hop <= fft / 2"):
        LogMel(fft=512, window=512, hop=300)
    with pytest.raises(ValueError, match="align among middle, start, got 'center'"):
        LogMel(align="center")
    with pytest.raises(ValueError, match="log among"):
        LogMel(log="ln")
    with pytest.raises(ValueError, match="floor"):
        LogMel(floor=0)
    with pytest.raises(ValueError, match="4000 Hz, half the sample rate; got low=0, high=8000"):
        LogMel()(torch.zeros(1, 2000), 8000)
    with pytest.raises(ValueError, match="bands cover no point"):
        LogMel(bands=200, fft=256, window=256, hop=64, high=None)(torch.zeros(1, 2000), 8000)
    with pytest.raises(ValueError, match=r"\(B, T\)"):
        LogMel()(torch.zeros(2000), 22050)
