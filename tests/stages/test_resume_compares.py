"""A training goes on by the settings that it was begun with, or says which one differs."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from distill.cli import main
from distill.training import read_checkpoint

from .test_stages import QUICK

SMALL = [*QUICK, "data.count=80", "evaluation.count=60", "evaluation.watch_count=20"]
SMALL += ["evaluation.pictures=false", "student.layers=1", "teacher.layers=1"]


@pytest.fixture(name="run", scope="module")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "banana"
    for role in ("teacher", "student"):
        assert main([role, f"run={folder}", *SMALL]) == 0
    return folder


def state(folder: Path) -> dict[str, str]:
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


SET = "student_trainer"
CASES = [
    ("student", "objective=reverse_kl", "objective.beta"),
    ("student", f"{SET}.ema=0.9", f"{SET}.ema=0.9 in place of (default)"),
    ("student", f"{SET}.warmup_steps=7", f"{SET}.warmup_steps=7 in place of (default)"),
    ("student", f"{SET}.learning_rate=0.5", f"{SET}.learning_rate=0.5 in place of (default)"),
    ("student", f"++{SET}.optimizer.weight_decay=0.1", f"{SET}.optimizer.weight_decay=0.1 in"),
    ("student", f"++{SET}.optimizer.eps=0.1", f"{SET}.optimizer.eps=0.1 in"),
    ("student", "min_log_scale=-5", "min_log_scale=-5 in place of -7.0"),
    ("student", "seed=3", "seed=3 in place of 0"),
    ("teacher", "seed=3", "seed=3 in place of 0"),
    ("teacher", "teacher_trainer.ema=0.9", "teacher_trainer.ema=0.9 in place of (default)"),
]


@pytest.mark.parametrize(("role", "word", "says"), CASES)
def test_a_training_resumed_by_another_setting_is_refused(run, role, word, says, capsys):
    before = state(run)
    more = f"{role}_trainer.steps=4"  # finished or not
    assert main([role, f"run={run}", *SMALL, more, word, "resume=true"]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert len(error) < 400
    assert state(run) == before


def test_what_does_not_bend_the_curve_may_change(run, capsys):
    words = [f"student_trainer.{name}" for name in ("steps=3", "log_every=1", "save_every=2")]
    assert main(["student", f"run={run}", *SMALL, *words, "threads=1", "resume=true"]) == 0
    assert "student: goes on from step 2" in capsys.readouterr().out
    assert read_checkpoint(run / "student").training["step"] == 3


@pytest.mark.parametrize("steps", ["many", None, True, 2.5])
def test_a_checkpoint_whose_steps_were_changed_by_hand_is_refused(run, tmp_path, steps, capsys):
    folder = tmp_path / "run"
    shutil.copytree(run / "teacher", folder / "teacher")
    saved = read_checkpoint(folder / "teacher")
    saved.config["teacher_trainer"]["steps"] = steps
    saved.save(folder / "teacher")
    capsys.readouterr()
    assert main(["teacher", f"run={folder}", *SMALL, "resume=true"]) == 2
    error = capsys.readouterr().err
    assert f"wanted a whole number as teacher_trainer.steps, got {steps!r}" in error
    assert error.count("\n") == 1
