"""An exported student as a vocoder in Python."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

import distill
from distill.contract import DataSpec
from distill.export import PT2, accept
from distill.models import iaf


def test_every_layout_of_a_mel_gives_what_the_file_synthesizes(signals):
    _, path, _ = signals("pt2-repeat, no layers")
    vocoder = distill.load_voice(path)
    bands = vocoder.exported.metadata.spec.features["mel"].size
    mel = np.random.default_rng(0).normal(size=(6, bands)).astype(np.float32)
    wanted = vocoder.exported.synthesize({"mel": torch.from_numpy(mel)}, seed=3)[0].numpy()
    assert wanted.shape == (6 * vocoder.hop,)
    for given in (mel, mel.T, mel[None], torch.from_numpy(mel.T), mel.astype(">f8")):
        assert np.array_equal(vocoder(given, seed=3), wanted)
    assert not np.array_equal(vocoder(mel, seed=4), wanted)
    assert np.abs(vocoder(mel, seed=3, temperature=0.1)).std() < wanted.std()


def test_what_is_masked_or_gives_no_sound_is_refused(signals):
    _, path, _ = signals("pt2-repeat, no layers")
    vocoder = distill.load_voice(path)
    bands = vocoder.exported.metadata.spec.features["mel"].size
    mel = np.zeros((6, bands), np.float32)
    with pytest.raises(ValueError, match="masked"):
        vocoder(np.ma.masked_array(mel, mel == 0))
    with pytest.raises(ValueError, match="not finite"):
        vocoder(mel, temperature=1e300)
    with pytest.raises(ValueError, match="temperature: wanted a number"):
        vocoder(mel, temperature="1")


def test_labels_and_other_features_go_by_name(signals):
    _, path, _ = signals("pt2-speakers")
    vocoder = distill.load_voice(path)
    mel = np.zeros((5, vocoder.exported.metadata.spec.features["mel"].size), np.float32)
    assert vocoder.labels == ["speaker"]
    one, other = (vocoder(mel, speaker=speaker, seed=0) for speaker in (0, 2))
    assert not np.array_equal(one, other)
    with pytest.raises(ValueError, match="speaker"):
        vocoder(mel)
    with pytest.raises(ValueError, match="'f0'"):
        vocoder(mel, speaker=0, f0=np.zeros((5, 2)))


def test_a_model_that_takes_no_frames_is_refused(tmp_path):
    path, _ = accept(PT2(), iaf(DataSpec(sites=2), 1, [4]), tmp_path / "toy")
    with pytest.raises(ValueError, match="does not turn frames into sound"):
        distill.load_voice(path)


def test_a_loaded_sampler_says_how_other_processes_get_it(signals):
    _, path, _ = signals("pt2-repeat, no layers")
    with pytest.raises(TypeError, match=r"can't be pickled or copied\. Pass its path, and load"):
        pickle.dumps(distill.load_voice(path))
