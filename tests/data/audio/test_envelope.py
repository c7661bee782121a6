"""The map from mel to log-power in the specs of audio data."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch

from distill.bijectors import LinearPrediction
from distill.contract import Context, DataSpec
from distill.data.audio import AudioCorpus, LogMel, Tones
from distill.data.audio.envelope import envelope_of
from distill.networks import Envelope

BENT = LogMel(20, 256, 256, 64, high=None, log="decibel", preemphasis=0.97)
PLAIN = LogMel(20, 256, 256, 64, high=None)


def tones(mel: LogMel = PLAIN, **settings: object) -> Tones:
    return Tones(**{"count": 12, "seconds": 0.5, "mel": mel, "crop": 1024, **settings})  # type: ignore[arg-type]


def kind_of(spec: DataSpec) -> str:
    return spec.settings["envelope"]["kind"]


@pytest.mark.parametrize("mel", [PLAIN, BENT])
@pytest.mark.parametrize("envelope", ["auto", "formula", "fit"])
def test_the_setting_chooses_formula_or_fit(mel, envelope):
    wanted = {"auto": "fit" if mel is BENT else "formula"}.get(envelope, envelope)
    spec = tones(mel, envelope=envelope).spec
    assert kind_of(spec) == wanted
    assert DataSpec.from_dict(json.loads(json.dumps(spec.to_dict()))).settings == spec.settings


@pytest.mark.parametrize(("floor", "kind"), [(1e-5, "formula"), (1e-2, "fit")])
def test_a_high_floor_is_a_bend(floor, kind):
    mel = LogMel(20, 256, 256, 64, high=None, floor=floor, log="log10")
    assert kind_of(tones(mel).spec) == kind


@pytest.mark.parametrize(("mel", "envelope"), [(PLAIN, "formula"), (PLAIN, "fit"), (BENT, "fit")])
def test_held_out_tones_come_out_near_unit_variance_and_likelier_than_by_level(mel, envelope):
    data = tones(mel, count=30, envelope=envelope)
    (batch,) = data.held_out(3)
    prediction = Envelope(data.spec, 12)(batch.features["mel"])
    x = batch.x.double()
    e, log_det = LinearPrediction(12).inverse(x, Context(prediction=prediction))
    white = torch.distributions.Normal(0.0, 1.0).log_prob(e) + log_det
    level = torch.distributions.Normal(0.0, data.spec.scale[0]).log_prob(x)
    assert white.mean() > level.mean() + 1
    assert 0.5 < e.var() < 1.5


def test_without_a_mel_there_is_no_envelope():
    assert "envelope" not in tones(conditions=("label",)).spec.settings
    with pytest.raises(ValueError, match=r"Add mel to data.conditions"):
        Envelope(tones(conditions=("label",)).spec, 8)


def test_other_data_may_have_fitted_another_envelope():
    one, other = tones(BENT), tones(BENT, seed=5)
    assert one.spec.settings["envelope"] != other.spec.settings["envelope"]
    other.check_matches(one.spec)
    old = DataSpec.from_dict(one.spec.to_dict())
    del old.settings["envelope"]
    other.check_matches(old)


def test_an_unknown_envelope_is_refused_before_anything_is_read(tmp_path):
    for build in (lambda: tones(envelope="lpc"), lambda: AudioCorpus("none", envelope="lpc")):
        with pytest.raises(ValueError, match="wanted envelope among auto, formula, fit, got 'lpc'"):
            build()


def test_a_corpus_is_fitted_to_its_training_clips(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(4):
        soundfile.write(tmp_path / f"{i}.wav", 0.1 * rng.normal(size=4000), 8000)
    data = AudioCorpus(str(tmp_path), sample_rate=8000, crop=640, mel=BENT, cache=None)
    assert data.spec.settings["envelope"] == envelope_of(BENT, 8000, "fit", data._train)
