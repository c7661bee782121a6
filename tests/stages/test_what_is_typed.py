"""What is typed beside a run is taken or refused, and never only recorded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from distill.cli import main
from distill.evaluation import PointsEvaluator, Report
from distill.stages import evaluate
from distill.stages.manifest import read_manifest
from tests.stages.test_pipeline_resumed import content, quickly

MINE = """
# @package _global_
defaults:
  - override /data: banana
name: mine
threads: 1
data: {count: 80}
teacher: {layers: 1, hidden: [4]}
student: {layers: 1, hidden: [4]}
teacher_trainer: {steps: 2, batch_size: 8}
student_trainer: {steps: 2, batch_size: 8}
evaluation: {pictures: false, count: 60, watch_count: 20}
benchmark: {student: [eager], teacher: [plain], batch_sizes: [1], repeats: 2}
"""
NAMES = {"sample": "student.npy."}


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with quickly():
        yield


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment of one's own, and a run of it."""
    place = tmp_path_factory.mktemp("typed")
    (place / "conf" / "experiment").mkdir(parents=True)
    experiment(place, MINE)
    with quickly():
        assert main([*own("pipeline", place), "~exports.pt2"]) == 0
    return place


@pytest.fixture(name="copy")
def _copy(place: Path, tmp_path: Path) -> Path:
    return shutil.copytree(place, tmp_path / "copy")


def experiment(place: Path, text: str, name: str = "mine") -> None:
    (place / "conf" / "experiment" / f"{name}.yaml").write_text(text)


def own(stage: str, place: Path, name: str = "mine") -> list[str]:
    config = ["--config-dir", str(place / "conf")]
    return [stage, *config, f"run={place / 'run'}", f"experiment={name}"]


def refused(capsys: pytest.CaptureFixture[str], place: Path, *words: str) -> str:
    """Run what must be refused in one line and change nothing; return the line."""
    before = content(place)
    capsys.readouterr()
    assert main([word.replace("PLACE", str(place)) for word in words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    (line,) = [line for line in lines if line.startswith("distill ")]
    assert "bug" not in line
    assert content(place) == before
    return line


@pytest.mark.parametrize("stage", ["student", "evaluate", "benchmark"])
@pytest.mark.parametrize("typed", ["experiment=rings", "data=rings"])
def test_other_data_than_the_runs_is_refused_by_every_later_stage(place, capsys, stage, typed):
    words = [stage, "--config-dir", "PLACE/conf", "run=PLACE/run", "overwrite=true", typed]
    line = refused(capsys, place, *words)
    assert f"{typed}: {place / 'run'} was made with other data" in line


def test_a_student_wants_the_experiment_that_its_run_was_made_with(copy, capsys):
    line = refused(capsys, copy, "student", "run=PLACE/run", "overwrite=true")
    assert f"experiment=mine: {copy / 'run'} was made with it, and there is none of that" in line
    assert main(["evaluate", f"run={copy / 'run'}", "resume=true"]) == 0  # which models settle


def test_an_experiment_that_was_edited_is_measured_by_as_it_is_now(copy, capsys):
    words = [*own("pipeline", copy), "~exports.pt2", "resume=true"]
    assert main(words) == 0
    assert capsys.readouterr().out.count("finished, kept") == 4
    experiment(copy, MINE.replace("count: 60", "count: 70"))
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "evaluate: done again, since evaluation.count=70 in place of 60" in out
    assert out.count("finished, kept") == 3
    experiment(copy, MINE.replace("count: 80", "count: 90"))
    assert "data.count=90 in place of 80" in refused(capsys, copy, *words)
    line = refused(capsys, copy, *own("evaluate", copy), "overwrite=true")
    assert "was made with other data: here data.count=90 in place of 80" in line


def test_a_record_holds_the_name_and_the_data_that_a_run_was_made_with(copy):
    experiment(copy, MINE.replace("name: mine", "name: other"), "other")
    for stage in ("evaluate", "export", "benchmark", "sample"):
        assert main([*own(stage, copy, "other"), "overwrite=true"]) == 0
        record = read_manifest(copy / "run" / stage, f"{NAMES.get(stage, '')}manifest.json")
        assert record is not None
        assert record.config["name"] == "mine"
    words = [*own("benchmark", copy), "overwrite=true"]
    assert main([*words, "data.count=90"]) == 0  # this student reads none
    assert OmegaConf.load(copy / "run" / "benchmark" / "config.yaml").data.count == 80


def test_samples_are_of_the_model_whose_folder_is_named(copy, capsys):
    sample = ["sample", f"run={copy / 'run' / 'student'}", "count=5"]
    line = refused(capsys, copy, *sample, f"output={copy / 't.npy'}", "model=teacher")
    assert "model=teacher: " in line
    assert "names the student" in line
    assert main([*sample, f"output={copy / 's.npy'}", "model=student"]) == 0
    # A run may be called so itself.
    shutil.move(copy / "run", copy / "student")
    words = ["sample", f"run={copy / 'student'}", "count=5", "model=teacher"]
    assert main([*words, f"output={copy / 't.npy'}"]) == 0
    record = read_manifest(copy, "t.npy.manifest.json")
    assert record is not None
    assert "teacher" in record.made_from


CASES = {
    "a speaker where there are none": (["sample", "speaker=anna"], "speaker: this model takes"),
    "a label where there are none": (["sample", "label=3"], "label: this model takes none"),
    "seconds of a point": (["sample", "seconds=9"], "seconds: each value of this model has 2"),
    "export on a device": (["export", "device=banana"], "device: export does not read it"),
    "export in threads": (["export", "threads=-3"], "threads: export does not read it"),
    "compare on a device": (["compare", "device=banana"], "device: compare does not read it"),
    "compare in threads": (["compare", "threads=-1"], "threads: compare does not read it"),
    "prepare on a device": (["prepare", "device=banana"], "device: prepare does not read it"),
    "prepare resumed": (["prepare", "resume=true"], "resume: prepare does not read it"),
    "prepare with layers": (["prepare", "teacher.layers=1"], "teacher.layers: prepare does not"),
    "classifier with layers": (["classifier", "student.layers=1"], "classifier does not read it"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_would_change_nothing_is_refused(place, capsys, case):
    (stage, *words), says = CASES[case]
    assert says in refused(capsys, place, stage, "run=PLACE/run", *words)


@pytest.mark.parametrize(
    ("stage", "word", "says"),
    [
        ("sample", "count=1e1", "count: wanted a whole number"),
        ("benchmark", "benchmark.repeats=1e0", "benchmark.repeats: wanted a whole number"),
        (
            "benchmark",
            "benchmark.batch_sizes=[1e1]",
            "benchmark.batch_sizes: wanted a whole number",
        ),
    ],
)
def test_a_whole_number_written_as_a_float_is_told_how_to_write_it(
    place, capsys, stage, word, says
):
    told = refused(capsys, place, stage, "run=PLACE/run", word, "overwrite=true")
    assert says in told
    assert "Write 1" in told


def test_a_format_of_null_is_left_out(copy):
    assert main(["export", f"run={copy / 'run'}", "exports.onnx=null", "overwrite=true"]) == 0
    assert list(OmegaConf.load(copy / "run" / "export" / "config.yaml").exports) == ["pt2"]
    record = read_manifest(copy / "run" / "export")
    assert record is not None
    assert list(record.config["exports"]) == ["pt2"]


def test_clips_of_an_earlier_evaluation_go_once_there_are_new_ones(copy, monkeypatch):
    def heard(self: PointsEvaluator, *given: object) -> Report:
        return Report({"a": 1.0}, audio={"teacher/0": (torch.zeros(80), 8000)})

    audio = copy / "run" / "evaluate" / "audio"
    audio.mkdir()
    (audio / "student_5.wav").write_bytes(b"RIFF")
    monkeypatch.setattr(PointsEvaluator, "evaluate", heard)
    assert main(["evaluate", f"run={copy / 'run'}", "overwrite=true"]) == 0
    assert [path.name for path in audio.iterdir()] == ["teacher_0.wav"]


def test_values_that_were_trained_on_are_never_called_kept_back(tmp_path, capsys):
    values = np.random.default_rng(0).normal(size=(300, 3))
    np.savetxt(tmp_path / "t.csv", values, delimiter=",")
    np.savetxt(tmp_path / "c.csv", values[:6, :1], delimiter=",")
    quick = ["evaluation.pictures=false", "evaluation.count=60", "evaluation.watch_count=20"]
    for role in ("teacher", "student"):
        quick += [f"{role}.layers=1", f"{role}.hidden=[4]"]
    data = ["data=points", f"data.path={tmp_path / 't.csv'}", "data.condition=[2]"]
    run = f"run={tmp_path / 'run'}"
    assert main(["teacher", run, *data, *quick, "debug=two_steps"]) == 0
    assert main(["student", run]) == 0
    for typed in ("data.seed=1", "data.held_out=0.5"):
        line = refused(capsys, tmp_path, "evaluate", run, typed)
        assert f"{typed}: splits the data of" in line
        assert "name other data with data.path=." in line
    assert main(["evaluate", run, "data.held_out=0.1"]) == 0  # as it is by default
    # Beside an input, which says how many and how long.
    sample = ["sample", run, f"input={tmp_path / 'c.csv'}", f"output={tmp_path / 'out.csv'}"]
    assert "count: the input says" in refused(capsys, tmp_path, *sample, "count=7")
    assert "seconds: the input says" in refused(capsys, tmp_path, *sample, "seconds=99")


def test_data_made_from_another_seed_is_other_data_and_more_or_less_of_the_same_is_not(
    copy, capsys
):
    run = f"run={copy / 'run'}"
    for typed in ("data.held_out=0.5", "data.count=160"):
        line = refused(capsys, copy, "evaluate", run, typed)
        assert f"{typed}: splits the data of" in line
        assert "name other data with data.seed=." in line
    assert main(["evaluate", run, "data.seed=1", "data.count=160"]) == 0
    assert "other data, so into" in capsys.readouterr().out


def test_another_split_of_named_clips_is_measured_where_none_was_trained_on():
    node = {"path": "clips", "seed": 0}
    saved = SimpleNamespace(config={"data": node}, made_from={"data": {"train": ["a", "b"]}})
    check = partial(evaluate._check_kept_back, Path("run"), saved, {**node, "seed": 1})
    check({"held_out": ["c"], "validation": ["b"]}, "held_out")
    with pytest.raises(ValueError, match="would count as kept back"):
        check({"held_out": ["c"], "validation": ["b"]}, "validation")
    # Whatever has moved them.
    check = partial(evaluate._check_kept_back, Path("run"), saved, {**node, "validation": 0.2})
    with pytest.raises(ValueError, match=r"data.validation=0.2: splits the data of run"):
        check({"held_out": ["b"]}, "held_out")
