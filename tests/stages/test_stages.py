"""Whole stages through the command line, on small data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import distill
from distill.cli import main

QUICK = [
    "debug=two_steps",
    "data=banana",
    "data.count=400",
    "teacher.hidden=[8]",
    "student.hidden=[8]",
    "teacher.layers=2",
    "student.layers=2",
    "evaluation.count=200",
    "evaluation.watch_count=100",
    "evaluation.resolution=12",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "banana"
    assert main(["pipeline", f"run={folder}", "benchmark.student=[eager,exports]", *QUICK]) == 0
    return folder


def test_the_pipeline_writes_every_stage(run: Path) -> None:
    for stage in ("teacher", "student", "evaluate", "export", "benchmark"):
        assert (run / stage / "config.yaml").is_file(), stage
        numbers = json.loads((run / stage / "metrics.json").read_text())
        assert numbers
        assert all(isinstance(v, float | int | None) for v in numbers.values())
        assert list((run / stage).rglob("events.out.tfevents.*")), stage
    for stage in ("teacher", "student"):
        assert (run / stage / "figures" / "density.png").is_file()
        assert (run / stage / "figures" / "layers_before.png").is_file()
    assert {path.suffix for path in (run / "export").glob("student.*")} >= {".pt2", ".onnx"}
    assert "student/student/kl_reverse" not in json.loads((run / "metrics.json").read_text())


def test_tensorboard_has_losses_health_and_pictures(run: Path) -> None:
    events = EventAccumulator(str(run / "student")).Reload()
    tags = events.Tags()
    assert {"train/loss", "train/kl", "train/gradient_norm", "kl_reverse"} <= set(tags["scalars"])
    assert {"density", "layers"} <= set(tags["images"])
    (told,) = events.Tensors("config/text_summary")
    assert "_target_: distill.models.iaf" in told.tensor_proto.string_val[0].decode()
    (told,) = events.Tensors("hparams/text_summary")
    assert "| student_trainer.steps | 2 |" in told.tensor_proto.string_val[0].decode()


def test_what_the_stages_trained_is_loaded_in_python(run: Path) -> None:
    teacher, student = distill.load(run / "teacher"), distill.load(run / "student")
    draw = student.draw(student.base.sample((64, 2)))
    kl = (draw.log_prob.sum(-1) - teacher.log_prob(draw.x).sum(-1)).mean()
    assert torch.isfinite(kl)
    assert teacher.sample(10).shape == (10, 2)


def test_a_finished_folder_is_not_overwritten(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "teacher" / "checkpoint.pt").read_bytes()
    assert main(["teacher", f"run={run}", *QUICK]) == 2
    error = capsys.readouterr().err
    assert "resume=true" in error
    assert "Traceback" not in error
    assert (run / "teacher" / "checkpoint.pt").read_bytes() == before


def test_a_folder_of_another_experiment_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["teacher", f"run={run}", "resume=true", *QUICK, "teacher.layers=3"]) == 2
    assert "teacher.layers=3 in place of 2" in capsys.readouterr().err
    assert main(["student", f"run={run}", "overwrite=true", *QUICK, "data=rings"]) == 2
    assert "was made with other data" in capsys.readouterr().err


def test_resuming_a_finished_pipeline_keeps_it(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "student" / "checkpoint.pt").read_bytes()
    words = ["pipeline", f"run={run}", "resume=true", "benchmark.student=[eager,exports]", *QUICK]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.count("finished, kept") == 4
    assert out.count("of this student, kept") == 2
    assert (run / "student" / "checkpoint.pt").read_bytes() == before


def test_the_precision_is_recorded_and_holds_for_the_run(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((run / "teacher" / "manifest.json").read_text())
    assert record["made"]["precision"] == "float32"
    words = ["teacher", f"run={run}", "resume=true", *QUICK]
    assert main([*words, "teacher_trainer.precision=bfloat16"]) == 2
    assert "teacher_trainer.precision=bfloat16 in place of float32" in capsys.readouterr().err
    assert main([*words, "teacher_trainer.precision=float32"]) == 0
    assert "finished, kept" in capsys.readouterr().out


def test_samples_go_to_a_file_and_are_reproducible(run: Path, tmp_path: Path) -> None:
    for name, role in (("a.npy", ""), ("b.npy", ""), ("c.csv", "/teacher")):
        words = ["sample", f"run={run}{role}", f"output={tmp_path / name}", "count=7", "seed=5"]
        assert main(words) == 0
    first, second = np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy")
    assert first.shape == (7, 2)
    assert np.array_equal(first, second)
    assert np.loadtxt(tmp_path / "c.csv", delimiter=",").shape == (7, 2)


def test_a_teacher_draws_the_same_by_rounds(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", f"run={run}/teacher", "count=9", "seed=5"]
    rounds = ["sampler=jacobi", "sampler.tolerance=0"]
    assert main([*words, f"output={tmp_path / 'steps.npy'}"]) == 0
    assert main([*words, *rounds, f"output={tmp_path / 'rounds.npy'}"]) == 0
    assert "rounds for 4 steps, exact" in capsys.readouterr().out
    steps, rounds_ = (np.load(tmp_path / f"{name}.npy") for name in ("steps", "rounds"))
    assert np.allclose(steps, rounds_, atol=1e-5)
    few = [*words, *rounds, "sampler.rounds=1", f"output={tmp_path / 'few.npy'}"]
    assert main(few) == 0
    assert "not converged: layer 1 of 2" in capsys.readouterr().err
    assert main([*words, *rounds, "sampler.window=0"]) == 2
    assert "jacobi.window: wanted a whole number of 1 or more" in capsys.readouterr().err


def test_evaluate_takes_the_data_of_the_run_and_prints_its_table(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", f"run={run}", "overwrite=true"]) == 0
    out = capsys.readouterr().out
    assert (run / "evaluate" / "summary.md").read_text() in out
    assert f"{run / 'evaluate'}: the tables as .md" in out
    config = (run / "evaluate" / "metrics.json").read_text()
    assert "student/kl_reverse/standard_error" in config
    read = OmegaConf.load(run / "evaluate" / "config.yaml")
    assert set(read) == {"name", "run", "seed", "part", "data", "evaluation"}


def test_export_prints_a_table_of_its_files(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", f"run={run}", "overwrite=true"]) == 0
    out = capsys.readouterr().out
    table = (run / "export" / "summary.md").read_text()
    assert table in out
    assert f"{run / 'export'}: the tables as .md" in out
    assert [row.split(" | ")[-1] for row in table.splitlines()[2:]] == [
        "student.pt2 |",
        "student.onnx |",
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["+export@exports.mine=onnx", "exports.mine.opset=20", "~exports.pt2"],
            "exports.mine: would be written to student.onnx, as exports.onnx is. Leave one out "
            "(~exports.onnx), or change exports.onnx itself.",
        ),
        (["~exports.pt2", "~exports.onnx"], "exports: no format is left"),
        (["exports=null"], "exports: no format is left"),
    ],
)
def test_formats_without_a_file_of_their_own_are_refused_before_anything_is_written(
    run: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in sorted((run / "export").rglob("*"))}
    capsys.readouterr()
    assert main(["export", f"run={run}", "overwrite=true", *words]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(error) == 1
    assert says in error[0]
    after = {path: path.stat().st_mtime_ns for path in sorted((run / "export").rglob("*"))}
    assert after == before


def test_a_pipeline_without_a_format_is_refused_before_it_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["exports=null"], ["exports.onnx=null", "exports.pt2=null"]):
        assert main(["pipeline", f"run={tmp_path / 'new'}", *words, *QUICK]) == 2
        assert "exports: no format is left" in capsys.readouterr().err
    assert not (tmp_path / "new" / "teacher").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["teacher", "teacher.layer=3"], "layer"),
        (["teacher", "experiment=mons"], "moons"),
        (["teacher", "teacher_trainer.steps=many"], "steps"),
        (["teacher", "device=tpu"], "auto, cpu, cuda, cuda:N"),
        (["teacher", "data=points", "data.path=nowhere.npy"], "nowhere.npy"),
        (["student", "run=NOWHERE"], "distill teacher"),
        (["sample", "run=NOWHERE"], "distill student"),
        (["taecher"], "teacher"),
    ],
)
def test_mistakes_end_in_one_clear_line(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.replace("NOWHERE", str(tmp_path / "nowhere")) for word in words]
    if not any(word.startswith("run=") for word in words):
        words.append(f"run={tmp_path / 'run'}")
    assert main(words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.strip().splitlines()) == 1
    assert "Traceback" not in error
    assert not list((tmp_path).rglob("checkpoint.pt"))


def test_a_checkpoint_cut_short_is_refused_by_the_command_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "student"
    broken.mkdir()
    content = (run / "student" / "checkpoint.pt").read_bytes()
    (broken / "checkpoint.pt").write_bytes(content[: len(content) // 2])
    assert main(["sample", f"run={tmp_path}"]) == 2
    assert "not a readable checkpoint" in capsys.readouterr().err
