"""Frames of another scale: refused by every entrance where impossible, else remarked on."""

from __future__ import annotations

import json
import math
import types
import warnings
from io import BufferedReader, BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from websockets.sync.client import connect

from distill.cli import main
from distill.contract import DataSpec, FeatureSpec
from distill.data.audio import LogMel, read_inputs
from distill.data.audio.given_frames import MelWatch
from distill.export import Exported
from distill.export.graph import SamplingGraph
from distill.export.stream import UnusualWarning
from distill.export.vocoder import Vocoder
from distill.stages import stream

from .client import npy, post
from .conftest import BANDS, HOP, RATE, spec, tiny

USUAL = FeatureSpec("frames", BANDS, (-6.0,) * BANDS, (2.0,) * BANDS)
F0 = FeatureSpec("frames", 2)
FRAMES = 90


def mel(frames: int = FRAMES) -> np.ndarray:
    noise = np.random.default_rng(0).normal(-6, 2, (frames, BANDS))
    return noise.clip(-11.5, 2).astype(np.float32)


NATURAL, LOG10, MAGNITUDES = mel(), mel() / np.float32(math.log(10)), np.exp(mel())
SCALES = {"log10": LOG10, "magnitudes without a logarithm": MAGNITUDES}
LINE = np.stack([np.linspace(4.7, 5.3, FRAMES), np.ones(FRAMES)], 1).astype(np.float32)


def eager(**features: FeatureSpec) -> Exported:
    graph = SamplingGraph(tiny(spec(**features)))
    return Exported(graph.metadata, torch.no_grad()(graph.forward), "student.onnx")


@pytest.fixture(scope="module")
def sampler() -> Exported:
    return eager(mel=USUAL)


@pytest.fixture
def usual() -> DataSpec:
    return spec(mel=USUAL)


@pytest.mark.parametrize("kind", SCALES)
def test_python_warns_of_a_mel_that_is_likely_of_another_scale(sampler, kind):
    for speak in (sampler.synthesize, Vocoder(sampler)):
        with pytest.warns(UnusualWarning, match=rf"student.onnx: the mel is .* in {kind}\."):
            speak(SCALES[kind])
    flow = sampler.stream(seed=0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for begin in range(0, FRAMES, 3):
            flow.push(SCALES[kind][begin : begin + 3])
        flow.finish()
    assert [warning.category for warning in told] == [UnusualWarning]
    assert kind in flow.remark


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shift", [-4.0, 0.0, 2.3])  # 20 dB louder
def test_nobody_is_told_of_a_quiet_a_usual_or_a_loud_mel(sampler, shift):
    given = (NATURAL + np.float32(shift)).clip(-11.5)
    sampler.synthesize(given)
    flow = sampler.stream()
    for frame in given[:50]:
        flow.push(frame[None])
    flow.finish()
    assert flow.remark is None


def test_a_stream_of_a_few_frames_is_judged_at_its_end(sampler):
    flow = sampler.stream()
    flow.push(LOG10[:20])
    assert flow.remark is None
    with pytest.warns(UnusualWarning, match="log10"):
        flow.finish()


def test_silence_and_models_that_know_no_scale_are_not_remarked_on(usual):
    silence = LogMel.of(usual).silence(RATE).expand(1, 50, BANDS)
    assert MelWatch(usual).whole(silence) is None
    assert MelWatch(spec()).whole(torch.from_numpy(MAGNITUDES)[None]) is None


def test_what_is_sampled_from_such_a_file_is_said(tmp_path: Path, usual, capsys):
    for name, values in (("log10", LOG10), ("natural", NATURAL)):
        np.save(tmp_path / f"{name}.npy", values)
    read_inputs(tmp_path, usual)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{tmp_path / 'log10.npy'}: the mel is 1.")


@pytest.mark.parametrize("entrance", ["file", "stdin"])
def test_what_is_streamed_is_said_in_a_line(tmp_path: Path, monkeypatch, sampler, capfd, entrance):
    monkeypatch.setattr(stream, "exported_of", lambda _: sampler)
    np.save(tmp_path / "mel.npy", LOG10)
    pipe = types.SimpleNamespace(buffer=BufferedReader(BytesIO(LOG10.tobytes())))
    monkeypatch.setattr(stream.sys, "stdin", pipe)
    given = tmp_path / "mel.npy" if entrance == "file" else "-"
    assert main(["stream", f"input={given}", f"output={tmp_path / 'a.wav'}"]) == 0
    out, error = capfd.readouterr()
    assert f"{given}: the mel is 1." in out
    assert "Warning" not in error


def test_the_server_says_it_beside_the_sound(serving, sampler):
    with serving(sampler=sampler) as address:
        for words in ({}, {"stream": "true"}):
            assert "log10" in post(address, npy(LOG10), **words).headers["X-Remark"]
            assert "X-Remark" not in post(address, npy(NATURAL), **words).headers
        with connect(f"ws://{address}/stream", proxy=None) as line:
            line.send("{}")
            line.recv()
            line.send(LOG10.tobytes())
            line.recv()
            line.send('{"type": "end"}')
            line.recv()
            assert "log10" in json.loads(line.recv())["remark"]


DECIBELS = 20 * NATURAL / np.float32(math.log(10))
LOW = LINE - np.array([[4.0, 0.0]], np.float32)
WRONG = {
    "decibels": (DECIBELS, LINE, r"mel: wanted values from -11.5 .* got a mean of -"),
    "Hz": (NATURAL, np.exp(LINE), r"f0: wanted 20 to 2000 Hz in voiced frames, got .* in frame 0"),
    "an octave of octaves": (NATURAL, LOW, r"f0: wanted 20 to 2000 Hz in voiced frames, got 2.014"),
    "half voiced": (NATURAL, LINE * [[1, 0.5]], r"f0: wanted a voicing of 0 or 1, got 0.5"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_frames_that_no_sound_has_are_refused_in_python(kind):
    given, f0, says = WRONG[kind]
    sampler = eager(mel=USUAL, f0=F0)
    both = np.concatenate([given, f0], 1).astype(np.float32)
    with pytest.raises(ValueError, match=f"student.onnx: {says}"):
        sampler.synthesize({"mel": given, "f0": f0.astype(np.float32)})
    with pytest.raises(ValueError, match=f"student.onnx: {says}"):
        sampler.stream().push(both)
    batch = np.stack([np.concatenate([NATURAL, LINE], 1), both])
    with pytest.raises(ValueError, match=says):
        sampler.synthesize(batch)


def test_raw_frames_of_another_scale_are_refused_on_stdin(tmp_path, monkeypatch, sampler, capfd):
    monkeypatch.setattr(stream, "exported_of", lambda _: sampler)
    pipe = types.SimpleNamespace(buffer=BufferedReader(BytesIO(DECIBELS.tobytes())))
    monkeypatch.setattr(stream.sys, "stdin", pipe)
    assert main(["stream", "input=-", f"output={tmp_path / 'a.wav'}"]) == 2
    assert "mel: wanted values from -11.5" in capfd.readouterr().err
    assert not (tmp_path / "a.wav").exists()


def test_raw_frames_of_another_scale_are_refused_on_the_websocket(serving, sampler):
    with serving(sampler=sampler) as address, connect(f"ws://{address}/stream", proxy=None) as line:
        line.send("{}")
        line.recv()
        line.send(DECIBELS[:2].tobytes())
        said = json.loads(line.recv())
    assert said["type"] == "error"
    assert "mel: wanted values from -11.5" in said["error"]


def test_a_fifth_of_impossible_values_are_another_scale(usual):
    tens = LogMel(bands=BANDS, fft=256, window=256, hop=HOP, high=None, log="log10")
    with pytest.raises(ValueError, match=r"log=log10.*got a mean of -5.*from -10.9"):
        tens.check_scale(torch.from_numpy(NATURAL + 0.6), RATE, "mel")
    tens.check_scale(torch.from_numpy(LOG10), RATE, "mel")
