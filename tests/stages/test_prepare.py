"""The stage that looks through a corpus."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hydra import compose, initialize_config_dir

from distill.cli import main
from distill.data.audio import AudioCorpus, AudioData
from distill.instantiate import build

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    folder = tmp_path / "audio"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        soundfile.write(folder / f"{i}_ann_0.wav", 0.1 * rng.normal(size=6000), 8000)
    (folder / "5_ann_0.wav").write_bytes(b"")
    return folder


def test_prepare_reports_and_resumes(
    audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["prepare", "data=digits", f"data.path={audio}", f"run={run}"]
    words.append(f"data.cache={tmp_path / 'cache'}")
    assert main(words) == 0
    shown = capsys.readouterr().out
    report = (run / "prepare" / "report.md").read_text()
    assert report.strip() in shown
    assert "| 5_ann_0 | empty: 0 bytes |" in report
    assert "8000 Hz (5)" in report
    numbers = json.loads((run / "prepare" / "metrics.json").read_text())
    assert (numbers["files"], numbers["clips"], numbers["rejects"]) == (6, 5, 1)
    assert numbers["hours"] == pytest.approx(5 * 0.75 / 3600)
    assert numbers["recalled"] == 0
    assert main(words) == 0
    again = json.loads((run / "prepare" / "metrics.json").read_text())
    assert again["recalled"] == 5
    assert again["scale"] == numbers["scale"]


def test_prepare_of_what_cannot_be_prepared_says_why(
    audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "data=moons", f"run={tmp_path}"]) == 2
    assert "data: wanted audio, got Moons" in capsys.readouterr().err
    for path in audio.glob("[0-4]*"):
        path.unlink()
    assert main(["prepare", "data=audio", f"data.path={audio}", f"run={tmp_path}"]) == 2
    assert "5_ann_0: empty: 0 bytes" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["audio", "digits", "ljspeech", "tones"])
def test_data_of_audio_builds_from_its_yaml(name: str, audio: Path) -> None:
    if name == "ljspeech":
        audio = audio.rename(audio.parent / "wavs").parent
    own = [f"data.path={audio}", "+data.cache=null", "data.sample_rate=8000", "data.crop=4096"]
    words = ["+data.count=9"] if name == "tones" else own
    words = [f"data={name}", "features@data.mel=mel_8k", *words]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        data = build(compose("prepare", words).data)
    assert isinstance(data, AudioData)
    assert isinstance(data, AudioCorpus) == (name != "tones")
    assert data.spec.features["mel"].size == 64
    assert data.train_batch(0, 2, 0).features["mel"].shape[0] == 2
