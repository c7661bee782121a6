"""Sweeps have a folder a job, and paths are typed as they are."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from distill.cli import main
from distill.cli.quoting import readable
from distill.cli.recorded import recorded_overrides
from distill.cli.sweeps import job_folder, swept_keys
from distill.stages.manifest import read_manifest

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
    assert swept_keys(["seed=0,1", "run=a,b"]) == []
    assert swept_keys(["experiment=moons,rings"]) == []
    assert swept_keys(["experiment=moons,rings", "run=r"]) == ["experiment"]
    names = {job_folder("r", ["a"], [f"a=[{i},2]"]) for i in range(3)}
    assert len(names) == 3
    assert all("[" not in name for name in names)


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
