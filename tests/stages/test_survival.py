"""Records that are true: what is whole, stale, half trained, another's, or in use."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from distill.cli import main
from distill.stages.manifest import Manifest, read_manifest
from distill.stages.work import alone_in
from distill.training import read_checkpoint
from distill.training.trainer import Trainer

ROOT = Path(__file__).parents[2]
DATA = ["data=points", "evaluation.pictures=false", "evaluation.watch_count=50"]
SMALL = [*DATA, "teacher.layers=1", "teacher.hidden=[4]", "evaluation.count=60", "threads=1"]
STEPS = ["teacher_trainer.steps=4", "teacher_trainer.batch_size=8"]
STUDENT = ["student.layers=1", "student.hidden=[4]", "student_trainer.steps=2"]
STUDENT += ["student_trainer.batch_size=8"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).normal(size=(80, 2))
    np.savetxt(tmp_path / "table (1).csv", values, delimiter=",", header="x,y", comments="")
    return tmp_path / "mine (1)"


def words(run: Path, *more: str) -> list[str]:
    """A path with spaces and parentheses needs no quotes."""
    return [f"run={run}", f"data.path={run.parent / 'table (1).csv'}", *SMALL, *more]


def refused(capsys: pytest.CaptureFixture[str], *typed: str) -> str:
    assert main(typed) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    lines = [line for line in lines if line.startswith("distill ")]  # progress aside
    assert len(lines) == 1
    return lines[0]


def test_a_run_knows_what_is_whole_and_what_is_stale(run, capsys):
    assert main(["teacher", *words(run, *STEPS, *STUDENT)]) == 0
    # What the teacher was told of the student holds for the run; its name has parentheses.
    assert main(["student", f"run={run}"]) == 0
    record = read_manifest(run / "student")
    assert record is not None
    assert record.state == "complete"
    assert record.config["student_trainer"]["steps"] == 2
    assert record.made_from["teacher"] == read_manifest(run / "teacher").made["weights"]
    assert "torch" in record.versions
    assert main(["evaluate", f"run={run}"]) == 0
    before = (run / "evaluate" / "metrics.json").read_bytes()
    assert "overwrite=true" in refused(capsys, "evaluate", f"run={run}")
    assert main(["evaluate", f"run={run}", "resume=true"]) == 0
    assert "evaluate: finished, kept" in capsys.readouterr().out
    # Numbers that are gone are measured again.
    (run / "evaluate" / "metrics.json").unlink()
    assert main(["evaluate", f"run={run}", "resume=true"]) == 0
    assert (run / "evaluate" / "metrics.json").read_bytes() == before
    # Other data has a folder of its own.
    other = run.parent / "elsewhere.csv"
    np.savetxt(other, np.random.default_rng(1).normal(size=(60, 2)), delimiter=",")
    assert main(["evaluate", f"run={run}", f"data.path={other}"]) == 0
    (folder,) = run.glob("evaluate-elsewhere-*")
    assert (folder / "metrics.json").is_file()
    assert (run / "evaluate" / "metrics.json").read_bytes() == before
    # The names of the columns come back.
    assert main(["sample", f"run={run}", "count=3", f"output={run.parent / 'out.csv'}"]) == 0
    assert (run.parent / "out.csv").read_text().startswith("x,y\n")
    made = read_manifest(run.parent, "out.csv.manifest.json")
    assert made.state == "complete"
    assert made.made["out.csv"]["student"] == read_manifest(run / "student").made["weights"]
    assert (made.made["out.csv"]["count"], made.made_from["input"]) == (3, None)
    # Another teacher makes the student stale, and what was measured of it.
    capsys.readouterr()
    assert main(["teacher", *words(run, *STEPS, "seed=0", "overwrite=true", "loss_warmup=1")]) == 0
    assert "distilled from another teacher" in refused(
        capsys, "student", f"run={run}", "resume=true", *STUDENT
    )
    assert main(["evaluate", f"run={run}"]) == 2
    error = capsys.readouterr().err
    assert "was distilled from another teacher than" in error
    assert "its teacher has changed" in error
    # The checkpoint of another training in this one's place.
    folder = run / "student"
    checkpoint = read_checkpoint(folder)
    checkpoint.weights = {name: value + 1 for name, value in checkpoint.weights.items()}
    checkpoint.save(folder)
    assert main(["sample", f"run={folder}", "count=2", f"output={run.parent / 'other.csv'}"]) == 0
    assert "is not the one that its training left" in capsys.readouterr().err
    # The data changes under the run.
    table = run.parent / "table (1).csv"
    table.write_text(table.read_text() + "9,9\n")
    line = refused(capsys, "teacher", *words(run, *STEPS, "loss_warmup=1", "resume=true"))
    assert "the data has changed since it was trained" in line
    assert "81 rows in place of 80" in line
    assert len(line) < 300


def test_exports_of_another_student_are_refused_and_made_again(run, capsys):
    assert main(["teacher", *words(run, *STEPS, *STUDENT)]) == 0
    assert main(["student", f"run={run}"]) == 0
    only = "~exports.pt2"
    assert main(["export", f"run={run}", only]) == 0
    made = (run / "export" / "student.onnx").read_bytes()
    assert main(["export", f"run={run}", only]) == 0
    assert "of this student, kept" in capsys.readouterr().out
    assert (
        main(["student", f"run={run}", "overwrite=true", "student_trainer.learning_rate=0.1"]) == 0
    )
    capsys.readouterr()
    assert "of another student" in refused(capsys, "export", f"run={run}", only)
    assert "of another student" in refused(capsys, "serve", f"run={run}")
    assert "of another student" in refused(capsys, "benchmark", f"run={run}")
    assert (run / "export" / "student.onnx").read_bytes() == made
    assert main(["export", f"run={run}", only, "overwrite=true"]) == 0
    assert (run / "export" / "student.onnx").read_bytes() != made


@pytest.mark.parametrize(
    "changed",
    [{"state": 5}, {"config": []}, {"made_from": None}, {"made": "x"}, {"process": 1}, {"more": 1}],
)
def test_a_record_that_is_none_is_not_believed(tmp_path, changed):
    manifest = Manifest.begin("teacher", {}, {})
    manifest.write(tmp_path)
    assert read_manifest(tmp_path) == manifest
    values = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(values | changed))
    assert read_manifest(tmp_path) is None


def test_a_half_trained_teacher_is_never_called_finished(run, capsys, monkeypatch):
    goal = words(run, *STEPS, "resume=true")
    rate = Trainer.rate

    def interrupted(self: Trainer, step: int) -> float:
        if step == 2:
            signal.raise_signal(signal.SIGTERM)
        return rate(self, step)

    monkeypatch.setattr(Trainer, "rate", interrupted)
    assert main(["teacher", *words(run, *STEPS)]) == 143
    assert "stopped after step 3 of 4, and saved" in capsys.readouterr().err
    monkeypatch.undo()
    record = read_manifest(run / "teacher")
    assert (record.state, read_checkpoint(run / "teacher").training["step"]) == ("stopped", 3)
    assert "half trained (step 3, stopped)" in refused(capsys, "teacher", *words(run, *STEPS))
    assert main(["sample", f"run={run}/teacher", "count=2"]) == 0
    assert "half trained" in capsys.readouterr().err
    for other, name in (
        ("teacher_trainer.batch_size=9", "batch_size"),
        ("loss_warmup=1", "loss_warmup"),
    ):
        assert name in refused(capsys, "teacher", *goal, other)
    assert "begun with teacher_trainer.steps=4" in refused(
        capsys, "teacher", *goal, "teacher_trainer.steps=3"
    )
    assert main(["teacher", *goal, "teacher_trainer.log_every=1"]) == 0
    assert "goes on from step 3" in capsys.readouterr().out
    assert read_manifest(run / "teacher").state == "complete"
    assert main(["teacher", *goal]) == 0
    assert "finished, kept" in capsys.readouterr().out
    assert main(["teacher", *goal, "teacher_trainer.steps=6"]) == 0
    assert read_checkpoint(run / "teacher").training["step"] == 6


def test_a_failure_before_anything_is_replaced_leaves_the_old_record(run, capsys):
    assert main(["teacher", *words(run, *STEPS)]) == 0
    before = {p: p.read_bytes() for p in (run / "teacher").iterdir() if p.is_file()}
    high = ["overwrite=true", "teacher_trainer.learning_rate=1e30", "teacher_trainer.steps=200"]
    line = refused(capsys, "teacher", *words(run, *STEPS, *high))
    assert "learning_rate" in line
    kept = ("checkpoint.pt", "metrics.json", "manifest.json", "config.yaml", "overrides.json")
    assert all((run / "teacher" / n).read_bytes() == before[run / "teacher" / n] for n in kept)
    events = sorted(p for p in before if p.name.startswith("events"))
    assert sorted((run / "teacher").glob("events*")) == events


def test_two_at_work_in_one_folder_are_told_apart(run, capsys):
    (run / "teacher").mkdir(parents=True)
    with FileLock(run / "teacher" / ".lock"):
        line = refused(capsys, "teacher", *words(run, *STEPS))
    assert "another distill" in line
    assert not (run / "teacher" / "checkpoint.pt").exists()
    with alone_in(run / "teacher"):
        pass


def test_a_sweep_has_a_folder_a_job_and_later_stages_find_them(run, capsys):
    typed = ["teacher", *words(run, *STEPS, *STUDENT), "-m", "seed=0,1"]
    assert main(typed) == 0
    assert sorted(path.name for path in run.iterdir()) == ["seed-0", "seed-1"]
    weights = [read_checkpoint(run / f"seed-{i}" / "teacher").weights for i in (0, 1)]
    assert any(not torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert main(["student", f"run={run / 'seed-1'}"]) == 0
    assert read_checkpoint(run / "seed-1" / "student").config["seed"] == 1


def killed_and_resumed(run: Path, steps: int, kills: int, seed: int) -> list[int]:
    """Kill a training at random moments, resume it each time; return the steps it had reached."""
    typed = words(run, f"teacher_trainer.steps={steps}", "teacher_trainer.batch_size=8")
    typed += ["teacher_trainer.save_every=1", "teacher_trainer.watch_every=5", "resume=true"]
    command = [sys.executable, "-m", "distill", "teacher", *typed]
    moments, reached = random.Random(seed), []
    for _ in range(kills):
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        file = run / "teacher" / "checkpoint.pt"
        old = file.stat().st_ino if file.is_file() else None
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            if file.is_file() and file.stat().st_ino != old:
                time.sleep(moments.uniform(0, 0.3))
                break
            time.sleep(0.01)
        process.kill()
        process.wait()
        reached.append(read_checkpoint(run / "teacher").training["step"])
    assert main(["teacher", *typed]) == 0
    return reached


def check_killed(run: Path, steps: int, kills: int, seed: int) -> None:
    straight = run.with_name("straight")
    typed = words(straight, f"teacher_trainer.steps={steps}", "teacher_trainer.batch_size=8")
    typed += ["teacher_trainer.save_every=1", "teacher_trainer.watch_every=5"]
    assert main(["teacher", *typed]) == 0
    reached = killed_and_resumed(run, steps, kills, seed)
    assert reached[0] >= 1
    assert not [p for p in (run / "teacher").iterdir() if re.search(r"\.part", p.name)]
    numbers = [json.loads((r / "teacher/metrics.json").read_text()) for r in (straight, run)]
    for key in numbers[0].keys() - {"seconds", "stage_seconds"}:
        assert numbers[0][key] == numbers[1][key], key
    first, second = (read_checkpoint(r / "teacher").weights for r in (straight, run))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_killed_training_resumes_to_the_same_numbers(run):
    check_killed(run, steps=150, kills=1, seed=0)


@pytest.mark.slow
def test_a_training_killed_again_and_again_resumes_to_the_same_numbers(run):
    check_killed(run, steps=1500, kills=12, seed=1)
