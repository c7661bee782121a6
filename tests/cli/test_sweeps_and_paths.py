"""Sweeps have a folder a job, and paths are typed as they are."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from distill.cli import main
from distill.cli.quoting import readable
from distill.cli.recorded import recorded_overrides
from distill.cli.sweeps import job_folder, swept_keys
from distill.stages.manifest import read_manifest
from distill.stages.typed_overrides import typed_overrides

from .test_bad_input import QUICK


@pytest.mark.parametrize(
    "value",
    ["table (1).csv", "josé.csv", "~/x.csv", "a=b.csv", "a b", "it's.csv", "日本.csv", "a&b;c.csv"],
)
def test_a_path_needs_no_quotes_of_its_own(value):
    (text,) = readable([f"data.path={value}"])
    parsed = OverridesParser.create().parse_override(text).value()
    assert getattr(parsed, "text", parsed) == value


@pytest.mark.parametrize(
    "text", ["a=[1,2]", "a='b c'", "a={b:1}", "seed=1,2", "+a=b", "~a", "a=[1"]
)
def test_what_can_be_read_or_is_no_plain_value_stays(text):
    assert readable([text]) == [text]


def test_a_job_of_a_sweep_has_a_folder_unless_its_run_names_one():
    assert swept_keys(["seed=0,1", "run=r"]) == ["seed"]
    assert swept_keys(["run=a,b"]) == []
    assert swept_keys(["experiment=moons,rings"]) == []
    assert swept_keys(["experiment=moons,rings", "run=r"]) == ["experiment"]
    assert swept_keys(["seed=0,1", "run='r/${hydra:job.num}'"]) == []
    names = {job_folder("r", ["a"], [f"a=[{i},2]"]) for i in range(3)}
    assert len(names) == 3
    assert all("[" not in name for name in names)


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["seed=0,1", "run='out/${name}'", "experiment=moons"], ["seed"]),
        (["seed=0,1", "run='${oc.env:HOME}/x'"], ["seed"]),
        (["seed=0,1", "run=a,b"], ["seed"]),
        (["seed=0,1", "student.layers=1,2", "run='${seed}/a','${seed}/b'"], ["student.layers"]),
        (["experiment=moons,rings", "run='out/${name}'"], []),
        (["experiment=moons,rings", "name=foo"], ["experiment"]),
        (["experiment=moons,rings", "name=a,b"], ["experiment"]),
    ],
)
def test_a_run_names_the_keys_that_it_refers_to_and_no_others(words, keys):
    assert swept_keys(words) == keys


def test_two_choices_of_one_group_in_two_places_are_two_keys():
    keys = [f"{role}_trainer.optimizer" for role in ("teacher", "student")]
    words = [f"optimizer@{key}=adam,adamw" for key in keys]
    assert swept_keys(words) == keys
    jobs = [[f"optimizer@{keys[0]}={a}", f"optimizer@{keys[1]}=adam"] for a in ("adam", "adamw")]
    assert len({job_folder("r", keys, job) for job in jobs}) == 2


@pytest.fixture(name="jobs")
def _jobs(monkeypatch, tmp_path) -> list[DictConfig]:
    """Stages that only note what they would run with, at work in a folder of the test."""
    configs: list[DictConfig] = []

    def run(config: DictConfig) -> dict[str, float]:
        said = list(HydraConfig.get().overrides.task)
        typed = [str(override.input_line) for override in typed_overrides()]
        configs.append(OmegaConf.create({**config, "said": said, "typed": typed}))
        return {}

    for stage in ("teacher", "student", "sample", "evaluate"):
        monkeypatch.setitem(sys.modules, f"distill.stages.{stage}", SimpleNamespace(run=run))
    monkeypatch.chdir(tmp_path)
    return configs


def test_jobs_never_share_a_folder_that_they_replace(jobs):
    words = ["teacher", "overwrite=true", "-m"]
    assert main([*words, "experiment=moons", "run=out/${name}", "seed=0,1"]) == 0
    assert [job.run for job in jobs] == ["out/moons/seed-0", "out/moons/seed-1"]
    jobs.clear()
    assert main([*words, "experiment=moons,rings", "name=foo"]) == 0
    assert [job.run for job in jobs] == [f"runs/foo/experiment-{e}" for e in ("moons", "rings")]


@pytest.mark.parametrize("run", ["run=null", "run="])
def test_a_sweep_without_a_run_folder_is_refused(jobs, capsys, run):
    assert main(["teacher", run, "-m", "seed=0,1"]) == 2
    assert capsys.readouterr().err.count("run: wanted a folder, got none") == 2
    assert jobs == []


def test_a_swept_experiment_takes_a_setting_that_only_one_of_them_holds(jobs):
    assert main(["teacher", "experiment=moons,rings", "teacher_trainer.steps=2", "-m"]) == 0
    assert [job.teacher_trainer.steps for job in jobs] == [2, 2]


def _record(folder: Path, *said: str) -> None:
    folder.mkdir(parents=True)
    (folder / "overrides.json").write_text(json.dumps(said))


@pytest.mark.parametrize(
    "words",
    [["run=r", "seed=0,1"], ["run=r/seed-0,r/seed-1"], ["run=r/seed-${seed}", "seed=0,1"]],
)
def test_each_job_takes_up_what_its_own_run_was_made_with(jobs, words):
    _record(Path("r/seed-0/teacher"), "experiment=moons", "student.layers=3")
    _record(Path("r/seed-1/teacher"), "data=rings", "student.layers=2")
    assert main(["student", *words, "student_trainer.steps=2", "-m"]) == 0
    assert [job.student.layers for job in jobs] == [3, 2]
    assert [job.run for job in jobs] == ["r/seed-0", "r/seed-1"]
    assert [job.student_trainer.steps for job in jobs] == [2, 2]
    said = [[text.lstrip("+") for text in job.said[:2]] for job in jobs]
    assert said == [["experiment=moons", "student.layers=3"], ["data=rings", "student.layers=2"]]
    assert all("student.layers" not in " ".join(job.typed) for job in jobs)


def test_a_run_that_is_there_is_sampled_by_all_jobs_and_measured_by_none(jobs, capsys):
    (Path("p") / "student").mkdir(parents=True)
    (Path("p") / "student" / "checkpoint.pt").touch()
    output = "output=x-${temperature}.npy"
    assert main(["sample", "run=p", "temperature=0.5,1.0", output, "-m"]) == 0
    assert [(job.run, job.output) for job in jobs] == [("p", "x-0.5.npy"), ("p", "x-1.0.npy")]
    jobs.clear()
    assert main(["evaluate", "run=p", "part=held_out,validation", "-m"]) == 2
    assert jobs == []
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "part: several values, and evaluate wants a run for each, but p is one" in said
    assert main(["evaluate", "run=p,q", "-m"]) == 0


def test_a_quoted_run_is_found(tmp_path):
    run = tmp_path / "mine (1)"
    (run / "teacher").mkdir(parents=True)
    (run / "teacher" / "overrides.json").write_text('["experiment=moons"]')
    for text in (f"run='{run}'", *readable([f"run={run}"])):
        assert recorded_overrides("student", [text]) == ["experiment=moons"]


@pytest.mark.slow
def test_jobs_run_at_once_where_joblib_launches_them(tmp_path, capfd):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ["teacher", "debug=two_steps", "threads=1", f"run={tmp_path / 'r'}", "-m"]
    joblib = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    assert main([*words, *joblib, "seed=0,1"]) == 0
    capfd.readouterr()
    assert main(["compare", str(tmp_path / "r"), "metrics=[held_out_nll]"]) == 0
    head, _, seeds, *rows = capfd.readouterr().out.splitlines()
    assert (head, seeds) == ("| what | seed-0 | seed-1 |", "| seed | 0 | 1 |")
    assert "| state | complete | complete |" in rows
    assert main([*words, *joblib, "seed=0,2"]) == 2
    assert "seed-0/teacher: holds a teacher already" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="names elsewhere are Unicode")
def test_a_table_whose_name_is_no_unicode_goes_through_a_run(tmp_path, capsys):
    table = tmp_path / os.fsdecode(b"\xfe.csv")
    with table.open("w", encoding="utf-8") as file:
        np.savetxt(file, np.random.default_rng(0).normal(size=(40, 2)), delimiter=",")
    data = ["data=points", f"data.path={table}"]
    words = [f"run={tmp_path / 'run'}", *data, *(word for word in QUICK if "data" not in word)]
    assert main(["teacher", *words]) == 0, capsys.readouterr().err
    record = read_manifest(tmp_path / "run" / "teacher")
    assert record is not None
    assert record.config["data"]["path"] == str(table)
    assert main(["teacher", *words, "resume=true"]) == 0, capsys.readouterr().err
    # TensorBoard writes into no folder of such a name.
    other = f"run={tmp_path / os.fsdecode(bytes([114, 255]))}"
    assert main(["teacher", *words[1:], other]) == 2
    assert "run: wanted a folder whose name is UTF-8" in capsys.readouterr().err
