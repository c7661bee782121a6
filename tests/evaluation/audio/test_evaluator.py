"""The evaluator of sound, whole, on small models and synthetic tones."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from distill.data import Moons
from distill.data.audio import AudioData, Tones
from distill.evaluation import Evaluator, Report
from distill.evaluation.audio import AudioEvaluator
from distill.instantiate import build
from distill.models import AutoregressiveDensity, Density, Flow, wavenet, wavenet_iaf

CONF = Path(__file__).parents[3] / "conf" / "evaluation" / "audio.yaml"
SMALL = {"count": 2, "seconds": 0.2, "watch_count": 2, "watch_seconds": 0.1, "shown": 2}


@pytest.fixture(scope="module")
def data() -> AudioData:
    return Tones(count=20, seconds=0.3, conditions=("mel", "label"))


@pytest.fixture(scope="module")
def pair(data: AudioData) -> tuple[AutoregressiveDensity, Flow]:
    torch.manual_seed(0)
    teacher = wavenet(data.spec, layers=2, channels=8)
    return teacher, wavenet_iaf(data.spec, flows=[2], channels=8)


@pytest.fixture(scope="module")
def report(data: AudioData, pair: tuple[AutoregressiveDensity, Flow]) -> Report:
    return AudioEvaluator(**SMALL).evaluate(*pair, data, seed=0)


def test_evaluate_puts_teacher_student_and_griffin_lim_side_by_side(report):
    for who in ("teacher", "student", "griffin_lim"):
        for what in ("log_mel_mae", "stft", "level_db", "voicing_agreement"):
            assert f"{who}/{what}" in report.scalars
    assert all(math.isfinite(value) for value in report.scalars.values())
    assert report.scalars["student/kl_reverse/standard_error"] > 0
    assert report.scalars["student/ratio/stft"] == pytest.approx(
        report.scalars["student/stft"] / report.scalars["teacher/stft"]
    )
    # Untrained models hiss, Griffin-Lim knows the magnitudes.
    assert report.scalars["griffin_lim/stft"] < report.scalars["student/stft"]
    assert 0 <= report.scalars["teacher/right_label_wins"] <= 1
    assert report.scalars["student/change_by_label"] == 0  # not trained yet
    assert report.scalars["student/health/flow_0/scale"] == pytest.approx(1)
    assert "| what | reference | teacher | student | griffin_lim |" in report.tables["summary"]


def test_evaluate_keeps_sound_and_spectrograms(report, data, tmp_path):
    assert set(report.figures) == {"spectrograms_0", "spectrograms_1"}
    for number in range(2):
        for who in ("reference", "teacher", "student", "griffin_lim"):
            sound, rate = report.audio[f"{who}_{number}"]
            assert rate == data.spec.sample_rate
            assert sound.shape == report.audio[f"reference_{number}"][0].shape
    for name, figure in report.figures.items():
        figure.savefig(tmp_path / f"{name}.png", dpi=40)
        assert (tmp_path / f"{name}.png").stat().st_size > 1000


def test_watching_a_teacher_and_a_student(data, pair):
    teacher, student = pair
    evaluator = AudioEvaluator(**SMALL)
    first = evaluator.watch(teacher, data, 0)
    assert first.scalars["held_out_nll/per_site"] == first.scalars["held_out_nll"]
    assert "held_out_nll/bits_per_sample" in first.scalars
    assert set(first.audio) == {"reference", "teacher"}
    second = evaluator.watch(student, data, 0, teacher)
    assert second.scalars["kl_reverse/standard_error"] > 0
    assert second.scalars["health/scale/mean"] == pytest.approx(0.1, rel=0.1)
    assert set(second.audio) == {"reference", "teacher", "student"}
    assert set(second.figures) == {"spectrograms"}


def test_the_teacher_runs_freely_only_every_so_often(data, pair):
    teacher, student = pair
    evaluator = AudioEvaluator(**SMALL, teacher_every=2)
    seen = ["teacher" in evaluator.watch(student, data, 0, teacher).audio for _ in range(3)]
    assert seen == [True, False, True]
    never = AudioEvaluator(**SMALL, teacher_every=0).watch(teacher, data, 0)
    assert set(never.audio) == {"reference"}


def test_the_yaml_builds_the_evaluator():
    evaluator = build(OmegaConf.load(CONF))
    assert isinstance(evaluator, AudioEvaluator)
    assert isinstance(evaluator, Evaluator)


def test_unsuitable_settings_and_data_are_refused(pair):
    with pytest.raises(ValueError, match="at least 2"):
        AudioEvaluator(count=1)
    with pytest.raises(ValueError, match="evaluation=points"):
        AudioEvaluator().evaluate(*pair, Moons(), seed=0)


@pytest.mark.parametrize(("share", "part"), [(0.1, "held_out"), (0.4, "validation")])
def test_a_part_of_one_clip_is_told_before_training(share, part):
    shares = {"held_out": share, "validation": 0.1 if part == "validation" else 0.0}
    few = Tones(count=9, seconds=0.3, **shares)
    with pytest.raises(ValueError, match=f"evaluation: wanted 2 clips .* part '{part}' .*got 1"):
        AudioEvaluator(**SMALL).check(few)
    AudioEvaluator(**SMALL).check(Tones(count=9, seconds=0.3, held_out=0.2))


def test_a_classifier_says_what_it_recognizes(data, pair, tmp_path, monkeypatch):
    from distill.models.classifier import Classifier

    classifier = Classifier(data.spec, channels=8, layers=2).eval()
    with torch.no_grad():
        classifier.last.weight.zero_()
        classifier.last.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    monkeypatch.setattr("distill.evaluation.audio.recognition.load", lambda path: classifier)
    evaluator = AudioEvaluator(**SMALL, classifier=tmp_path, griffin_lim=False)
    report = evaluator.evaluate(*pair, data, seed=0)
    labels = next(data.held_out(2)).features["label"]
    share = float((labels == 1).double().mean())
    for who in ("reference", "teacher", "student"):
        assert report.scalars[f"{who}/accuracy"] == share
    assert "| what | reference | teacher | student |" in report.tables["summary"]


def test_a_folder_that_holds_no_classifier_is_refused(data, pair, tmp_path, monkeypatch):
    teacher, student = pair
    loaded: Density = teacher
    monkeypatch.setattr("distill.evaluation.audio.recognition.load", lambda path: loaded)
    evaluator = AudioEvaluator(**SMALL, classifier=tmp_path)
    with pytest.raises(ValueError, match="folder of a classifier"):
        evaluator.evaluate(teacher, student, data, seed=0)


def test_labels_may_stand_beside_what_models_are_conditioned_on(data):
    from distill.evaluation.audio.clips import held_out_clips
    from distill.evaluation.audio.recognition import labels_of

    plain = Tones(count=20, seconds=0.3)
    clips = held_out_clips(plain, 2, 1.0)
    with pytest.raises(ValueError, match="'genre' to recognize"):
        labels_of(clips, "genre", plain)
    plain.held_out_genres = {name: i for i, name in enumerate(plain.held_out_names)}
    assert labels_of(clips, "genre", plain) == [0, 1]
