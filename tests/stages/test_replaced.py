"""What a stage makes anew leaves nothing of what it replaces, and says how long all of it took."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from distill.cli import main
from distill.contract import DataSpec
from distill.files import write_json
from distill.models.checkpoint import Checkpoint, read_checkpoint
from distill.stages.finished import measure
from distill.stages.manifest import read_manifest
from distill.stages.work import numbers_of
from distill.training.retention import Kept
from tests.stages.test_pipeline_resumed import quickly

QUICK = ["data=banana", "data.count=80", "evaluation.pictures=false", "evaluation.count=60"]
QUICK += ["evaluation.watch_count=20", "threads=1", "teacher.layers=1", "teacher.hidden=[4]"]
STUDENT = ["student.layers=1", "student.hidden=[4]", "student_trainer.steps=2"]


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_training_anew_keeps_its_own_checkpoints_and_none_of_the_former(tmp_path):
    words = ["teacher", f"run={tmp_path}", *QUICK, "teacher_trainer.save_every=2"]
    kept = ["teacher_trainer.keep=2", "overwrite=true"]
    teacher = tmp_path / "teacher"
    best = ["teacher_trainer.keep_best=true", "teacher_trainer.watch_every=2"]
    assert main([*words, *kept, *best, "teacher_trainer.steps=8"]) == 0
    assert {"step_00000006.pt", "step_00000008.pt", "best.pt"} <= files(teacher)
    (teacher / "figures").mkdir()
    (teacher / "figures" / "density.png").touch()
    (teacher / "notes.md").touch()
    assert main([*words, *kept, "teacher_trainer.steps=4"]) == 0
    steps = {name for name in files(teacher) if name.endswith((".pt", ".png", ".md"))}
    assert steps == {"checkpoint.pt", "step_00000002.pt", "step_00000004.pt", "notes.md"}
    more = ["teacher_trainer.keep=2", "resume=true", "teacher_trainer.steps=6"]
    assert main([*words, *more]) == 0
    assert {"step_00000004.pt", "step_00000006.pt"} <= files(teacher)


def test_the_best_of_a_former_training_goes_before_the_best_of_the_new_one(tmp_path):
    checkpoint = Checkpoint("model", {}, DataSpec(sites=2), {"w": torch.zeros(1)})
    Kept(tmp_path, 3, resumed=False).save_best(checkpoint)
    Kept(tmp_path, 3, resumed=True).save(checkpoint, 5)
    assert files(tmp_path) == {"best.pt", "checkpoint.pt", "step_00000005.pt"}
    anew = Kept(tmp_path, 3, resumed=False)
    anew.save_best(checkpoint)
    assert files(tmp_path) == {"best.pt", "checkpoint.pt"}
    anew.save(checkpoint, 2)
    assert files(tmp_path) == {"best.pt", "checkpoint.pt", "step_00000002.pt"}
    Kept(None, 3, resumed=False).save(checkpoint, 5)


def test_a_measurement_anew_leaves_no_picture_or_table_of_the_former(tmp_path):
    config = OmegaConf.create({"resume": False, "overwrite": True})

    def run(_: object, *names: str) -> dict[str, float]:
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("x")
        write_json(tmp_path / "metrics.json", {"a": 1.0})
        return {"a": 1.0}

    names = ("growth.md", "figures/growth.png", "figures/speed.png", "audio/a.wav")
    measure(config, "benchmark", tmp_path, {}, {}, lambda work: run(work, *names))
    assert set(names) <= files(tmp_path)
    measure(config, "benchmark", tmp_path, {}, {}, lambda work: run(work, "figures/speed.png"))
    assert not files(tmp_path) & (set(names) - {"figures/speed.png"})
    assert "figures/speed.png" in files(tmp_path)


def test_the_time_of_a_resumed_training_is_that_of_all_its_parts(tmp_path):
    words = ["teacher", f"run={tmp_path}", *QUICK, "teacher_trainer.batch_size=8"]
    assert main([*words, "teacher_trainer.steps=2"]) == 0
    teacher = tmp_path / "teacher"
    saved = read_checkpoint(teacher)
    assert 0 < saved.training["seconds"] <= numbers_of(teacher)["seconds"]
    saved.training["seconds"] = 1000.0
    saved.save(teacher)
    assert main([*words, "teacher_trainer.steps=4", "resume=true"]) == 0
    numbers = numbers_of(teacher)
    assert 1000 < numbers["seconds"] <= numbers["stage_seconds"] < 1100


def test_a_benchmark_in_other_threads_is_another(tmp_path, capsys):
    run, trained = f"run={tmp_path}", ["teacher_trainer.steps=2", "teacher_trainer.batch_size=8"]
    assert main(["teacher", run, *QUICK, *trained]) == 0
    assert main(["student", run, *STUDENT]) == 0
    quick = ["benchmark.student=[eager]", "benchmark.teacher=[plain]", "benchmark.batch_sizes=[1]"]
    words = ["benchmark", run, *quick, "benchmark.repeats=2", "resume=true"]
    with quickly():
        assert main([*words, "threads=1"]) == 0
        assert main([*words, "threads=1"]) == 0
        assert "finished, kept" in capsys.readouterr().out
        assert main([*words, "threads=2"]) == 0
        assert "done again, since threads=2 in place of 1" in capsys.readouterr().out
        assert main(["sample", f"{run}/teacher", "count=2"]) == 0
        main([*words[:2], "check=true"])  # which may well be slower
        assert "is of another" not in capsys.readouterr().err
        assert main(["student", run, *STUDENT, "student.layers=2", "overwrite=true"]) == 0
        main([*words[:2], "check=true"])
    assert "is of another student than the run holds now" in capsys.readouterr().err
    record = read_manifest(tmp_path / "sample", "teacher.npy.manifest.json")
    assert record is not None
    assert record.config["model"] == "teacher"


def test_a_training_goes_on_from_a_checkpoint_put_back_and_measures_again_without_numbers(
    tmp_path, capsys
):
    words = ["teacher", f"run={tmp_path}", *QUICK, "teacher_trainer.steps=4"]
    words += ["teacher_trainer.save_every=2", "teacher_trainer.keep=2", "resume=true"]
    teacher = tmp_path / "teacher"
    assert main(words) == 0
    numbers, record = numbers_of(teacher), read_manifest(teacher)
    shutil.copy(teacher / "step_00000002.pt", teacher / "checkpoint.pt")
    assert main(words) == 0
    assert "goes on from step 2" in capsys.readouterr().out
    assert record is not None
    assert getattr(read_manifest(teacher), "made", None) == record.made
    (teacher / "metrics.json").unlink()
    assert main(words) == 0
    again = numbers_of(teacher)
    assert again["held_out_nll"] == numbers["held_out_nll"]
    capsys.readouterr()
    assert main(words) == 0
    assert "finished, kept" in capsys.readouterr().out


@pytest.mark.parametrize("changed", ["all", "step", "optimizer", "watched"])
def test_a_checkpoint_without_a_training_is_not_gone_on_from(tmp_path, capsys, changed):
    words = ["teacher", f"run={tmp_path}", *QUICK, "teacher_trainer.steps=2"]
    teacher = tmp_path / "teacher"
    assert main(words) == 0
    saved = read_checkpoint(teacher)
    saved.training = {} if changed == "all" else {**saved.training, changed: "x"}  # as best.pt
    saved.save(teacher)
    held = (teacher / "checkpoint.pt").read_bytes()
    capsys.readouterr()
    assert main([*words, "teacher_trainer.steps=4", "resume=true"]) == 2
    said = capsys.readouterr().err
    assert "holds a model to use and no training to go on from, as best.pt does" in said
    assert said.count("\n") == 1
    assert (teacher / "checkpoint.pt").read_bytes() == held
