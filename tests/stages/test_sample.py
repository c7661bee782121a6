"""`distill sample` and `distill classifier` on sounds, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from omegaconf import OmegaConf

from distill.cli import main
from distill.contract import DataSpec, FeatureSpec
from distill.files import sha256_of
from distill.models.classifier import Classifier
from distill.stages.manifest import read_manifest
from distill.stages.sampling.outputs import SoundsOutput, TableOutput, output_for
from distill.stages.sampling.requests import requests_of
from distill.stages.work import alone_at
from distill.training import load

AUDIO = [
    "debug=two_steps",
    "data=tones",
    "data.count=20",
    "data.seconds=0.3",
    "data.crop=1024",
    "teacher=wavenet",
    "student=wavenet_iaf",
    "teacher.layers=2",
    "teacher.channels=8",
    "student.flows=[2]",
    "student.channels=8",
    "evaluation=audio",
    "evaluation.watch_count=2",
    "evaluation.watch_seconds=0.1",
]


def sound(path: Path, rate: int = 8000, sites: int = 2000) -> None:
    soundfile.write(path, 0.1 * np.sin(np.arange(sites) * 0.2), rate, subtype="PCM_16")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with a teacher, a student, and a classifier that the student listened to."""
    folder = tmp_path_factory.mktemp("runs") / "tones"
    heard = [word for word in AUDIO if not word.startswith(("teacher", "student"))]
    assert main(["classifier", f"run={folder}", *heard, "classifier_trainer.steps=2"]) == 0
    for words in (["teacher"], ["student", "objective=perceptual"]):
        assert main([*words, f"run={folder}", *AUDIO]) == 0
    return folder


def test_the_classifier_stage_writes_a_classifier_and_its_accuracy(run):
    assert isinstance(load(run / "classifier"), Classifier)
    numbers = json.loads((run / "classifier" / "metrics.json").read_text())
    assert 0 <= numbers["accuracy"] <= 1
    assert numbers["error_rate"] == pytest.approx(1 - numbers["accuracy"])


def test_a_student_can_be_trained_to_please_the_classifier(run):
    numbers = json.loads((run / "student" / "metrics.json").read_text())
    assert numbers["skipped_steps"] == 0


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_copies_of_a_folder_of_sounds(run, role, tmp_path, capsys):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    sound(tmp_path / "in" / "a.wav")
    sound(tmp_path / "in" / "deep" / "b.flac", rate=16_000, sites=3000)
    (tmp_path / "in" / "broken.wav").write_bytes(b"RIFF")
    out = tmp_path / "out"
    words = ["sample", f"run={run}/{role}", f"input={tmp_path / 'in'}", f"output={out}"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "real time" in printed
    assert "broken.wav" in printed
    for name, sites in (("a.wav", 2000), ("deep/b.wav", 1500)):
        made = soundfile.info(out / name)
        assert (made.samplerate, made.subtype, made.channels) == (8000, "PCM_16", 1)
        assert sites <= made.frames < sites + 64
    before = (out / "a.wav").read_bytes()
    assert main(words) == 2
    assert "overwrite=true" in capsys.readouterr().err
    assert main([*words, "overwrite=true"]) == 0
    assert (out / "a.wav").read_bytes() == before
    assert main([*words, "overwrite=true", "seed=7"]) == 0
    assert (out / "a.wav").read_bytes() != before


def test_a_mel_becomes_a_sound_and_a_manifest_says_of_what(run, tmp_path, capsys):
    for name in ("front_end.npy", "other.npy"):
        np.save(tmp_path / name, np.full((10, 64), -5.0, np.float32))
        words = ["sample", f"run={run}", f"input={tmp_path / name}", f"output={tmp_path / 'out'}"]
        assert main([*words, "seed=3"]) == 0
    assert soundfile.info(tmp_path / "out" / "front_end.wav").frames == 10 * 64
    record = read_manifest(tmp_path / "out")
    assert (record.stage, record.state) == ("sample", "complete")
    assert record.made_from["student"] == read_manifest(run / "student").made["weights"]
    assert record.config["seed"] == 3
    # What an earlier call left there is still recorded.
    assert sorted(record.made) == ["front_end.wav", "other.wav"]
    for name, entry in record.made.items():
        assert entry["sha256"] == sha256_of(tmp_path / "out" / name)
        assert entry["input"] == sha256_of((tmp_path / name).with_suffix(".npy"))
        assert entry["student"] == record.made_from["student"]
        assert (entry["seed"], entry["count"]) == (3, 1)
    # A record of something else is not replaced.
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "manifest.json").write_text("{}")
    capsys.readouterr()
    assert main([*words[:-1], f"output={tmp_path / 'theirs'}", "overwrite=true"]) == 2
    assert "is not of `distill sample`" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["manifest.json"]


def test_two_calls_never_write_one_output_at_once(run, tmp_path, capsys):
    np.save(tmp_path / "mel.npy", np.full((10, 64), -5.0, np.float32))
    out = tmp_path / "out"
    words = ["sample", f"run={run}", f"input={tmp_path / 'mel.npy'}", f"output={out}"]
    with alone_at(out / "manifest.json"):
        assert main(words) == 2
        assert "another distill is at work there" in capsys.readouterr().err
        assert [path.suffix for path in out.iterdir()] == [".lock"]
    assert main(words) == 0
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "mel.wav"]


def test_a_killed_call_leaves_no_word_of_files_that_it_was_to_replace(run, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        sound(tmp_path / "in" / f"{name}.wav")
    words = ["sample", f"run={run}", f"input={tmp_path / 'in'}", f"output={tmp_path / 'out'}"]
    assert main(words) == 0
    before = read_manifest(tmp_path / "out").made
    write, left = SoundsOutput.write, []

    def killed(self: SoundsOutput, name: str, x: torch.Tensor) -> Path:
        left.append(read_manifest(tmp_path / "out").made)  # what a kill would leave
        if name == "b":
            raise KeyboardInterrupt
        return write(self, name, x)

    monkeypatch.setattr(SoundsOutput, "write", killed)
    assert main([*words, "seed=9", "overwrite=true"]) == 130
    assert left == [{}, {}]
    after = read_manifest(tmp_path / "out").made
    assert after["b.wav"] == before["b.wav"]
    assert (after["a.wav"]["seed"], before["a.wav"]["seed"]) == (9, 0)
    assert after["a.wav"]["sha256"] == sha256_of(tmp_path / "out" / "a.wav")


def test_a_temperature_of_zero_is_silent_before_training_has_moved_the_location(run, tmp_path):
    sound(tmp_path / "a.wav")
    for name, temperature in (("cold", 0.0), ("warm", 1.0)):
        words = ["sample", f"run={run}", f"input={tmp_path / 'a.wav'}"]
        assert main([*words, f"output={tmp_path / name}", f"temperature={temperature}"]) == 0
    cold, warm = (soundfile.read(tmp_path / name / "a.wav")[0] for name in ("cold", "warm"))
    assert np.abs(cold).max() < 0.1 * np.abs(warm).max()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "input="),
        (["input=nowhere.wav"], "nowhere.wav"),
        (["input=BAD"], "64"),
        (["input=GOOD", "output=out.wav"], "folder"),
    ],
)
def test_mistakes_end_in_one_clear_line(run, words, says, tmp_path, capsys):
    np.save(tmp_path / "bad.npy", np.zeros((10, 7), np.float32))
    sound(tmp_path / "good.wav")
    words = [w.replace("BAD", str(tmp_path / "bad.npy")) for w in words]
    words = [w.replace("GOOD", str(tmp_path / "good.wav")) for w in words]
    assert main(["sample", f"run={run}", *words]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.strip().splitlines()) == 1
    assert "bug" not in error


def test_a_table_of_conditions_is_read_by_its_names(tmp_path):
    settings = {"columns": ["x"], "conditions": ["a", "b"]}
    spec = DataSpec(1, features={"condition": FeatureSpec("vector", 2)}, settings=settings)
    words = {"input": str(tmp_path / "t.csv"), "temperature": 1.0, "seconds": 1.0}
    config = OmegaConf.create({**words, "count": None, "speaker": None, "label": None})
    for text in ("a,b\n1.5,2.5\n", "b,a\n2.5,1.5\n", "1.5,2.5\n"):
        (tmp_path / "t.csv").write_text(text)
        (request,) = requests_of(config, spec, "student")
        assert request.features["condition"].tolist() == [[1.5, 2.5]]
    (tmp_path / "t.csv").write_text("a,c\n1.5,2.5\n")
    with pytest.raises(ValueError, match="condition columns a, b, got a, c"):
        requests_of(config, spec, "student")


def test_models_without_frames_draw_freely(tmp_path):
    words = [f"run={tmp_path / 'run'}", *AUDIO, "data.conditions=[label]"]
    assert main(["teacher", *words]) == 0
    given = ["sample", f"run={tmp_path / 'run'}/teacher", "seconds=0.1", f"output={tmp_path}"]
    assert main(given) == 2
    assert main([*given, "label=pluck", "count=2"]) == 0
    first, second = (soundfile.read(tmp_path / f"teacher_{i}.wav")[0] for i in range(2))
    assert len(first) == len(second) == 800
    assert not np.array_equal(first, second)


def test_a_sound_that_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="temperature"):
        SoundsOutput(tmp_path, 8000).write("a", torch.full((1, 10), torch.nan))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.csv", "a.npy"])
def test_a_row_that_is_not_finite_is_not_written(tmp_path, name):
    with pytest.raises(ValueError, match=r"of the 2 values that the model drew 1 are not finite"):
        TableOutput(tmp_path / name).write("student", torch.tensor([[0.0, 1.0], [torch.inf, 0.0]]))
    assert not (tmp_path / name).exists()


def test_what_is_louder_than_full_scale_is_cut_off(tmp_path):
    file = SoundsOutput(tmp_path, 8000).write("a", torch.tensor([[0.0, 3.0, -3.0]]))
    assert soundfile.read(file)[0] == pytest.approx([0, 1, -1], abs=1e-4)


def test_the_kind_of_output_follows_the_data(tmp_path):
    assert isinstance(output_for(DataSpec(sites=2), None, tmp_path, "teacher"), TableOutput)
    sounds = output_for(DataSpec(sites=None, sample_rate=8000), None, tmp_path, "teacher")
    assert isinstance(sounds, SoundsOutput)
    assert sounds.path == tmp_path / "teacher"
    with pytest.raises(ValueError, match="npy or"):
        output_for(DataSpec(sites=2), "samples.txt", tmp_path, "teacher")
