"""From a mel to linear predictors: Levinson's recursion, the formula, the fit, and the export."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from distill.bijectors import LinearPrediction
from distill.contract import Context, DataSpec
from distill.data.audio import LogMel
from distill.data.audio.envelope import envelope_of
from distill.data.audio.preparation import STEP, Clip, Loaded
from distill.export.quiet import quiet
from distill.networks import Envelope
from distill.networks.levinson import levinson

CONF = Path(__file__).parents[2] / "conf" / "features"
RATES = {"hifigan": 22_050, "tacotron": 22_050, "tacotron2": 22_050, "clarinet": 24_000}
SMALL = LogMel(bands=20, fft=256, window=256, hop=64, high=None)


def autoregressive(sites: int, a: list[float], level: float = 0.05, seed: int = 0) -> torch.Tensor:
    """Noise that follows its own past, `(T,)`, and has a root mean square of `level`."""
    noise = np.random.default_rng(seed).normal(size=sites + 1000)
    x = lfilter([1.0], [1.0, *-np.array(a)], noise)[1000:]
    return torch.from_numpy(level * x / x.std())


AR4 = [1.6, -1.3, 0.75, -0.3]


def clip(x: torch.Tensor, mel: LogMel, rate: int, name: str = "clip") -> Clip:
    samples = (x / STEP).round().clamp(-(2**15), 2**15 - 1).to(torch.int16)
    frames = {"mel": mel((samples.double() * STEP)[None], rate)[0].float()}
    return Clip(name, len(x), lambda: Loaded(samples, frames, {}))


def spec_of(
    mel: LogMel, rate: int, kind: str = "formula", clips: tuple[Clip, ...] = ()
) -> DataSpec:
    settings = {"mel": asdict(mel), "envelope": envelope_of(mel, rate, kind, clips)}
    return DataSpec(None, sample_rate=rate, hop=mel.hop, settings=settings)


def whitened(x: torch.Tensor, spec: DataSpec, order: int) -> torch.Tensor:
    """The excitation of whole frames, without the reflected ends."""
    mel = LogMel(**spec.settings["mel"])
    x = x[: len(x) // mel.hop * mel.hop]
    features = mel(x[None], spec.sample_rate or 0).float()
    prediction = Envelope(spec, order)(features)
    e = LinearPrediction(order).inverse(x[None], Context(prediction=prediction))[0][0]
    return e[mel.fft : -mel.fft]


def yaml(name: str) -> LogMel:
    return instantiate(OmegaConf.load(CONF / f"{name}.yaml"))


def test_levinson_solves_the_normal_equations():
    x = np.random.default_rng(0).normal(size=(5, 400)).cumsum(1)
    r = np.stack([np.correlate(row, row, "full")[399 : 399 + 9] for row in x])
    a, error = levinson(torch.from_numpy(r))
    wanted = np.stack([solve_toeplitz(row[:-1], row[1:]) for row in r])
    np.testing.assert_allclose(a, wanted, rtol=1e-6)
    np.testing.assert_allclose(error, r[:, 0] - (wanted * r[:, 1:]).sum(1), rtol=1e-6)


def test_the_autocorrelation_is_that_of_the_interpolated_power():
    spec = spec_of(SMALL, 8000)
    envelope, mel = Envelope(spec, 6), torch.randn(2, 3, 20)
    entry = spec.settings["envelope"]
    for row, got in zip(
        mel.flatten(0, 1), envelope.autocorrelation(mel).flatten(0, 1), strict=True
    ):
        knots = np.array(entry["weight"]) * row.double().numpy() + np.array(entry["bias"])
        power = np.exp(np.interp(np.arange(129), entry["knots"], knots))
        wanted = np.fft.irfft(power)[:7]
        wanted[0] = wanted[0] * (1 + 1e-4) + 1e-10
        np.testing.assert_allclose(got, wanted, rtol=1e-9)


@pytest.mark.parametrize("power", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("log", ["natural", "log10"])
@pytest.mark.parametrize("normalize", [True, False])
def test_white_noise_of_known_variance_has_its_gain(power, log, normalize):
    mel = LogMel(20, 256, 200, 64, high=None, power=power, log=log, normalize=normalize, floor=1e-9)
    x = 0.05 * torch.randn(40_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    prediction = Envelope(spec_of(mel, 8000), 2)(mel(x[None], 8000))
    # The mean of logarithms lies a little below the logarithm of the mean.
    assert abs(prediction.log_gain.mean().exp() / 0.05 - 1) < 0.06


@pytest.mark.parametrize("preemphasis", [0.0, 0.9])
def test_noise_that_follows_its_own_past_comes_out_white(preemphasis):
    mel = LogMel(32, 256, 256, 64, high=None, preemphasis=preemphasis, floor=1e-9)
    e = whitened(autoregressive(60_000, AR4), spec_of(mel, 8000), 12)
    assert abs(e.var() - 1) < 0.12
    # Flat: neighbors tell nothing of each other any more.
    lags = torch.tensor([(e[:-k] * e[k:]).mean() / e.var() for k in (1, 2, 3, 4)])
    assert lags.abs().max() < 0.08


def test_known_coefficients_are_found_again():
    mel = LogMel(60, 1024, 1024, 256, high=None, floor=1e-9)
    spec = spec_of(mel, 8000)
    prediction = Envelope(spec, 4)(mel(autoregressive(200_000, AR4)[None], 8000))
    np.testing.assert_allclose(prediction.coefficients[0].mean(0), AR4, atol=0.1)


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_every_mel_of_the_configs_whitens_noise(name):
    mel, rate = yaml(name), RATES.get(name, 8000)
    levels = [0.02, 0.05, 0.1, 0.2]
    sounds = [autoregressive(2 * rate, AR4, level, i) for i, level in enumerate(levels)]
    clips = tuple(clip(x, mel, rate) for x in sounds)
    spec = spec_of(mel, rate, "auto", clips)
    assert spec.settings["envelope"]["kind"] == ("fit" if name == "tacotron" else "formula")
    e = whitened(autoregressive(2 * rate, AR4, 0.08, seed=9), spec, 24)
    assert 0.7 < e.var() < 1.3


@pytest.mark.parametrize("kind", ["formula", "fit"])
def test_digital_silence_has_a_gain_of_about_a_16_bit_step(kind):
    quiet = torch.cat([torch.zeros(8000), autoregressive(8000, AR4)]).double()
    spec = spec_of(SMALL, 8000, kind, (clip(quiet, SMALL, 8000),) * 2)
    prediction = Envelope(spec, 8)(SMALL.silence(8000)[None, None])
    assert prediction.coefficients.isfinite().all()
    assert 0.2 < prediction.log_gain.exp().item() / (STEP / 12**0.5) < 20


@pytest.mark.parametrize("level", [-1e4, 1e4])
def test_senseless_mels_stay_finite(level):
    prediction = Envelope(spec_of(SMALL, 8000), 8)(torch.full((1, 2, 20), level))
    assert prediction.coefficients.isfinite().all()
    assert prediction.log_gain.isfinite().all()
    u = torch.randn(1, 128, dtype=torch.float64)
    assert LinearPrediction(8)(u, Context(prediction=prediction))[0].isfinite().all()


def test_a_fit_reaches_where_the_mel_does_not():
    narrow = LogMel(24, 512, 512, 128, low=200.0, high=1800.0)
    clips = [autoregressive(8000, [a], 0.1, i) for i, a in enumerate([0.9, -0.9, 0.5, -0.5])]
    made = tuple(clip(x, narrow, 8000) for x in clips)
    with pytest.raises(ValueError, match=r"50% or more .*got 3\d%.*data.envelope=fit"):
        Envelope(spec_of(narrow, 8000), 8)
    e = whitened(clips[0], spec_of(narrow, 8000, "fit", made), 8)
    assert 0.7 < e.var() < 1.3


def test_a_fit_gives_every_knot_the_power_of_its_clips():
    mel = LogMel(20, 256, 256, 64, high=None, log="decibel", preemphasis=0.97)
    made = tuple(clip(autoregressive(8000, AR4, 0.02 * 2**i, i), mel, 8000) for i in range(4))
    spec = spec_of(mel, 8000, "auto", made)
    entry = spec.settings["envelope"]
    assert np.array(entry["weight"]).shape == (len(entry["knots"]), 20)
    e = torch.cat([whitened(c.load().samples.double() * STEP, spec, 12) for c in made])
    assert 0.9 < e.var() < 1.1


def test_everything_stays_in_float64_whatever_the_module_is_cast_to():
    mel = torch.randn(2, 4, 20)
    envelope = Envelope(spec_of(SMALL, 8000), 8)
    wanted = envelope(mel)
    for cast in (envelope.half(), envelope.float(), copy.deepcopy(envelope).to(torch.bfloat16)):
        got = cast(mel)
        assert got.coefficients.dtype == got.log_gain.dtype == torch.float64
        assert torch.equal(got.coefficients, wanted.coefficients)
    assert not list(envelope.parameters())
    assert not envelope.state_dict()


def test_a_spec_that_went_through_json_gives_the_same_numbers():
    clips = tuple(clip(autoregressive(8000, AR4, seed=i), SMALL, 8000) for i in range(2))
    for kind in ("formula", "fit"):
        spec = spec_of(SMALL, 8000, kind, clips)
        back = DataSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
        mel = torch.randn(1, 4, 20)
        assert torch.equal(Envelope(spec, 8)(mel).coefficients, Envelope(back, 8)(mel).coefficients)


class Plain(torch.nn.Module):
    """An envelope that gives tensors, as exporters want them."""

    def __init__(self, order: int) -> None:
        super().__init__()
        self.envelope = Envelope(spec_of(SMALL, 8000), order)

    def forward(self, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        prediction = self.envelope(mel)
        return prediction.coefficients, prediction.log_gain


def test_an_exported_envelope_equals_eager_for_any_number_of_frames():
    plain = Plain(16)
    dims = {0: torch.export.Dim("batch"), 1: torch.export.Dim("frames")}
    program = torch.export.export(plain, (torch.randn(2, 8, 20),), dynamic_shapes=(dims,))
    mel = torch.randn(3, 5, 20)
    for got, wanted in zip(program.module()(mel), plain(mel), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_silence_keeps_its_floor_in_onnx(tmp_path):
    plain, silent = Plain(2), torch.full((1, 3, 20), -11.5)
    with quiet():
        program = torch.onnx.export(plain, (silent,), dynamo=True, verbose=False)
        program.save(tmp_path / "envelope.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "envelope.onnx")
    got = session.run(None, {session.get_inputs()[0].name: silent.numpy()})
    for value, wanted in zip(got, plain(silent), strict=True):
        torch.testing.assert_close(torch.from_numpy(value), wanted, rtol=1e-9, atol=1e-9)


def test_gradients_reach_the_mel():
    envelope, mel = Envelope(spec_of(SMALL, 8000), 3), torch.randn(1, 2, 20, dtype=torch.float64)

    def flat(mel):
        prediction = envelope(mel)
        return prediction.coefficients, prediction.log_gain

    assert torch.autograd.gradcheck(flat, (mel.requires_grad_(),))


@pytest.mark.parametrize("order", [0, 40, 64])
def test_an_order_that_the_bands_do_not_carry_is_refused(order):
    with pytest.raises(ValueError, match=rf"order from 1 to 39, .*20 bands.*got {order}\. Lower"):
        Envelope(spec_of(SMALL, 8000), order)


def test_a_spec_without_an_envelope_says_what_to_do():
    with pytest.raises(ValueError, match=r"Envelope: wanted a spec with an envelope.*Add mel to"):
        Envelope(DataSpec(None, settings={"mel": asdict(SMALL)}), 8)


def test_a_mel_with_other_bands_is_refused():
    with pytest.raises(ValueError, match=r"wanted a mel \(batch, frames, 20\), got \(1, 4, 21\)"):
        Envelope(spec_of(SMALL, 8000), 8)(torch.zeros(1, 4, 21))
