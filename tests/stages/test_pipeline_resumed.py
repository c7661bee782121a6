"""A pipeline that goes on: what is whole is kept, and nothing else is called so."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from distill.benchmark import batches, streams
from distill.cli import main
from distill.export import Backend
from distill.export.metadata import digest
from distill.export.verify import Limit, Verification
from distill.files import write_json
from distill.models import Flow
from distill.stages import benchmark as stage
from distill.stages import benchmarked, export
from distill.stages.manifest import read_manifest
from distill.stages.reads import PIPELINE
from distill.training import read_checkpoint
from distill.training.trainer import Trainer
from tests.benchmark.conftest import small_calibrator

QUICK = ["data=banana", "data.count=80", "threads=1", "~exports.pt2"]
QUICK += ["evaluation.pictures=false", "evaluation.count=60", "evaluation.watch_count=20"]
QUICK += ["benchmark.student=[eager]", "benchmark.teacher=[plain]", "benchmark.batch_sizes=[1]"]
QUICK += ["benchmark.repeats=2"]
for _role in ("teacher", "student"):
    QUICK += [f"{_role}.layers=1", f"{_role}.hidden=[4]"]
    QUICK += [f"{_role}_trainer.steps=2", f"{_role}_trainer.batch_size=8"]
QUICK += ["teacher_trainer.steps=4"]


def accept(
    backend: Backend, model: Flow, folder: Path, config: object
) -> tuple[Path, Verification]:
    """Write the hash of the weights in place of a graph."""
    path = folder / f"student{backend.suffix}"
    path.write_text(digest(model.state_dict()))
    found = Verification("fake", Limit(), (1,), (), (), *[0.0] * 6, None, *[0.0] * 3)
    write_json(path.with_name(f"{path.name}.json"), {"verification": found.to_dict()})
    return path, found


def load(path: Path) -> SimpleNamespace:
    return SimpleNamespace(
        path=path, metadata=SimpleNamespace(weights=path.read_text(), precision="full")
    )


@contextmanager
def quickly() -> Iterator[None]:
    """Let the machine be measured for a moment only, and no graph be traced."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "accept", accept)
        patch.setattr(benchmarked, "load", load)
        for room, name in ((batches, "benchmark"), (streams, "benchmark_streams")):
            patch.setattr(stage, name, partial(getattr(room, name), calibrator=small_calibrator))
        yield


@pytest.fixture(autouse=True)
def _quick():
    with quickly():
        yield


@pytest.fixture(name="finished", scope="module")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "banana"
    with quickly():
        assert main(["pipeline", f"run={folder}", *QUICK]) == 0
    return folder


@pytest.fixture(name="run")
def _run(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "banana")


def content(run: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != ".lock"}


def made_from(run: Path, name: str) -> dict[str, str]:
    record = read_manifest(run / name)
    assert record is not None
    assert record.state == "complete"
    return record.made_from


def weights(run: Path, role: str) -> str:
    record = read_manifest(run / role)
    assert record is not None
    return record.made["weights"]


def check_consistent(run: Path) -> None:
    """Everything in the run is of the teacher and the student that it holds."""
    teacher, student = weights(run, "teacher"), weights(run, "student")
    assert made_from(run, "student")["teacher"] == teacher
    for name in ("evaluate", "benchmark"):
        assert made_from(run, name)["teacher"] == teacher, name
        assert made_from(run, name)["student"] == student, name
    assert made_from(run, "export")["student"] == student
    everything = json.loads((run / "metrics.json").read_text())
    for name in PIPELINE:
        numbers = json.loads((run / name / "metrics.json").read_text())
        assert {k: everything[f"{name}/{k}"] for k in numbers} == numbers, name


def test_a_pipeline_replaced_and_interrupted_calls_nothing_of_the_old_finished(
    run, capsys, monkeypatch
):
    old = {role: weights(run, role) for role in ("teacher", "student")}
    rate = Trainer.rate

    def interrupted(self: Trainer, step: int) -> float:
        if step == 3:
            signal.raise_signal(signal.SIGTERM)
        return rate(self, step)

    longer = ["pipeline", f"run={run}", *QUICK, "teacher_trainer.steps=6", "seed=1"]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "rate", interrupted)
        assert main([*longer, "overwrite=true"]) == 143
    assert read_manifest(run / "teacher").state == "stopped"
    # Numbers of the old teacher don't stand beside the new one.
    assert not (run / "teacher" / "metrics.json").exists()
    assert not (run / "metrics.json").exists()
    capsys.readouterr()
    assert main([*longer, "resume=true"]) == 0
    out = capsys.readouterr().out
    assert "teacher: goes on from step 4" in out
    assert "kept" not in out
    assert read_checkpoint(run / "teacher").training["step"] == 6
    assert {role: weights(run, role) for role in old}.items().isdisjoint(old.items())
    check_consistent(run)


def test_what_was_made_of_a_teacher_trained_anew_is_made_again(run, capsys):
    old = weights(run, "student")
    anew = ["teacher_trainer.learning_rate=0.05"]
    assert main(["teacher", f"run={run}", *QUICK, *anew, "overwrite=true"]) == 0
    capsys.readouterr()
    assert main(["pipeline", f"run={run}", *QUICK, *anew, "resume=true"]) == 0
    out = capsys.readouterr().out
    assert out.count("finished, kept") == 1
    assert "teacher: finished, kept" in out
    assert "student: what it was made from has changed, so it is made again" in out
    assert "evaluate: done again, since its student has changed" in out
    assert "benchmark: done again, since its exports have changed" in out
    assert "of this student, kept" not in out
    assert weights(run, "student") != old
    check_consistent(run)


def test_numbers_of_a_replaced_student_are_stale_and_leave_the_runs_own(run, capsys):
    other = ["student_trainer.steps=3", "student.layers=2"]
    assert main(["student", f"run={run}", "overwrite=true", *other]) == 0
    assert not (run / "metrics.json").exists()
    capsys.readouterr()
    assert main(["compare", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "| state | evaluate stale, export stale, benchmark stale |" in shown
    assert main(["evaluate", f"run={run}", "overwrite=true"]) == 0
    capsys.readouterr()
    assert main(["compare", str(run)]) == 0
    assert "| state | export stale, benchmark stale |" in capsys.readouterr().out
    assert main(["teacher", f"run={run}", *QUICK, "seed=1", "overwrite=true"]) == 0
    capsys.readouterr()
    assert main(["compare", str(run)]) == 0
    assert "| state | student stale, evaluate stale," in capsys.readouterr().out


def test_numbers_measured_anew_and_alike_leave_those_of_the_run(run):
    assert main(["evaluate", f"run={run}", "overwrite=true"]) == 0
    assert (run / "metrics.json").is_file()
    assert main(["evaluate", f"run={run}", "overwrite=true", "evaluation.count=50"]) == 0
    assert not (run / "metrics.json").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["student.layers=7"], "student.layers=7 in place of 1"),
        (["seed=9"], "seed=9 in place of 0"),
        (["student.layers=7", "seed=9"], "seed=9 in place of 0"),
        (["objective=forward_kl"], "objective._target_=distill.objectives.ForwardKL in place of"),
    ],
)
def test_a_finished_pipeline_refuses_other_settings(run, words, says, capsys):
    before = content(run)
    assert main(["pipeline", f"run={run}", *QUICK, "resume=true", *words]) == 2
    out, error = capsys.readouterr()
    assert says in error
    assert error.count("\n") == 1
    assert "kept" not in out
    assert content(run) == before


def test_a_finished_pipeline_measures_again_what_is_asked_for_in_another_way(run, capsys):
    more = ["evaluation.count=70", "benchmark.batch_sizes=[2]"]
    assert main(["pipeline", f"run={run}", *QUICK, "resume=true", *more]) == 0
    out = capsys.readouterr().out
    assert out.count("finished, kept") == 2
    assert "evaluate: done again, since evaluation.count=70 in place of 60" in out
    assert "benchmark: done again, since benchmark.batch_sizes=[2] in place of [1]" in out
    check_consistent(run)


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"nll": 0.1}'])
def test_numbers_cut_short_or_exchanged_are_made_again_and_stand_in_those_of_the_run(
    run, content, capsys
):
    for name in PIPELINE:
        (run / name / "metrics.json").write_text(content)
    (run / "metrics.json").write_text(content)
    assert main(["pipeline", f"run={run}", *QUICK, "resume=true"]) == 0
    out = capsys.readouterr().out
    assert "finished, kept" not in out
    assert "student.onnx: of this student, kept" in out  # its check is known from beside it
    assert "onnx/error_x" in json.loads((run / "export" / "metrics.json").read_text())
    check_consistent(run)


def test_a_killed_export_keeps_what_it_had_made_and_what_lay_beside(run, capsys, monkeypatch):
    made = read_manifest(run / "export").made
    assert made.keys() == {"onnx"}

    def killed(*_: object, **__: object) -> None:
        record = read_manifest(run / "export")
        assert (record.state, record.made) == ("running", made)
        shutil.copy(run / "export" / "manifest.json", run / "left.json")
        raise KeyboardInterrupt

    pt2 = ["~exports.onnx"]
    with monkeypatch.context() as patch:
        patch.setattr(export, "accept", killed)
        assert main(["export", f"run={run}", *pt2]) == 130
    (run / "left.json").replace(run / "export" / "manifest.json")  # as a kill leaves it
    capsys.readouterr()
    assert main(["export", f"run={run}", *pt2]) == 0
    assert "removed" not in capsys.readouterr().out
    assert read_manifest(run / "export").made.keys() == {"onnx", "pt2"}


def test_a_benchmark_of_the_pipeline_is_that_of_the_stage_alone(run, capsys):
    own = [word for word in QUICK if word.startswith(("benchmark", "threads"))]
    assert main(["benchmark", f"run={run}", *own, "resume=true"]) == 0
    assert "benchmark: finished, kept" in capsys.readouterr().out
    assert "seed" not in read_manifest(run / "export").config
