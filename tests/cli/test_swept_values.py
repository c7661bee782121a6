"""A value means the same alone and in a sweep, and texts are what was typed."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from omegaconf import DictConfig

from distill.cli import main
from distill.cli.overrides import checked
from distill.cli.quoting import split_at_commas


@pytest.fixture(name="ran")
def _ran(monkeypatch, tmp_path) -> list[DictConfig]:
    """Stages that only note what they would run with."""
    configs: list[DictConfig] = []

    def run(config: DictConfig) -> dict[str, float]:
        configs.append(config)
        return {}

    for stage in ("teacher", "sample", "evaluate"):
        monkeypatch.setitem(sys.modules, f"distill.stages.{stage}", SimpleNamespace(run=run))
    monkeypatch.chdir(tmp_path)
    return configs


@pytest.mark.parametrize("values", ["2024_06,1_0", "'2024_06','1_0'", "choice(2024_06,1_0)"])
def test_a_swept_run_is_named_as_it_is_alone(ran, values):
    assert main(["teacher", "run=2024_06"]) == 0
    assert main(["teacher", "-m", f"run={values}"]) == 0
    assert [config.run for config in ran] == ["2024_06", "2024_06", "1_0"]


def test_a_name_that_looks_like_a_number_stays_as_it_is(ran):
    assert main(["teacher", "name=2024_06"]) == 0
    assert main(["teacher", "-m", "name=2024_06,b", "seed=1,2"]) == 0
    names = [
        "runs/2024_06",
        *(f"runs/{name}/seed-{i}" for name in ("2024_06", "b") for i in (1, 2)),
    ]
    assert [config.run for config in ran] == names
    ran.clear()
    assert main(["sample", "run=r", "output=2024", "input=1.50"]) == 0
    assert (ran[0].output, ran[0].input) == ("2024", "1.50")


@pytest.mark.parametrize("text", ["name=null", "name=NULL", "student_encoder=null"])
def test_null_is_no_text(ran, capsys, text):
    assert main(["teacher", text]) == 2
    assert f"{text.partition('=')[0]}: wanted a text, got None." in capsys.readouterr().err
    assert ran == []


def test_paths_that_want_quotes_are_swept_one_by_one(ran):
    assert main(["teacher", "-m", "run=é,it's,x (1)"]) == 0
    assert [config.run for config in ran] == ["é", "it's", "x (1)"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["seed=1,b"], "seed: wanted a whole number, got 'b'"),
        (["teacher.layers=1,2.5"], "teacher.layers: wanted a whole number, got 2.5"),
        (["teacher.layers=choice(1,2.5)"], "teacher.layers: wanted a whole number, got 2.5"),
        (["teacher.layers=range(1,2,0.5)"], "teacher.layers: wanted a whole number, got 1.0"),
        (["teacher_trainer.clip=1,nan"], "teacher_trainer.clip: "),
        (["teacher=maf,nice", "teacher.layers=2,x"], "teacher.layers: wanted a whole number"),
        (["seed=glob(*)"], "seed=glob(*): name the values one by one"),
    ],
)
def test_a_swept_value_of_another_type_is_refused_before_anything_runs(ran, capsys, words, says):
    assert main(["teacher", "-m", *words]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert ran == []


def test_a_swept_text_of_a_part_is_quoted_where_it_is_alone():
    words = ["data=points", "data.path=2024_06,a"]
    assert checked("teacher", words, multirun=True)[1] == "data.path='2024_06',a"
    assert checked("teacher", ["data=points", "data.path=2024_06"])[1] == "data.path='2024_06'"


def test_commas_within_quotes_and_brackets_divide_nothing():
    assert split_at_commas(r"'a\'b,c',[1,{x:2,y:(3,4)}],it's,") == [
        *(r"'a\'b,c'", "[1,{x:2,y:(3,4)}]", "it's", "")
    ]


@pytest.mark.parametrize(
    ("words", "good"),
    [
        (["run=p", "seed=1,2"], False),
        (["run=p", "seed=1,2", "overwrite=true"], False),
        (["run=p", "seed=1,2", "output=a.npy,b.npy"], False),
        (["run=p,q", "output=a.npy"], False),
        (["run=p", "input=a.wav,b.wav", "output=c.wav"], False),
        (["run=p", "seed=1,2", "output=x-${seed}.npy"], True),
        (["run=p", "seed=1,2", "output=x-${hydra:job.num}.npy"], True),
        (["run=p", "output=a.npy,b.npy"], True),
        (["run=p", "input=a.wav,b.wav", "output=copies"], True),
        (["run=p", "model=teacher,student"], True),
        (["run=p,q"], True),
        (["run=jobs", "seed=1,2"], True),
    ],
)
def test_jobs_of_a_sweep_write_no_file_of_each_other(ran, capsys, tmp_path, words, good):
    (tmp_path / "p" / "student").mkdir(parents=True)
    (tmp_path / "p" / "student" / "checkpoint.pt").touch()
    assert main(["sample", "-m", *words]) == (0 if good else 2)
    assert len(ran) == (2 if good else 0)
    said = capsys.readouterr().err
    assert good or ("several values" in said and said.count("\n") == 1)


@pytest.mark.parametrize("name", ["[1] talk.csv", "{a}.csv", '"q" s.csv', "'it' is.csv"])
def test_a_name_that_begins_with_a_bracket_or_a_quote_needs_no_quotes(ran, name):
    assert main(["sample", "run=r", f"input={name}"]) == 0
    assert ran[0].input == name


@pytest.mark.parametrize("text", ["input=[a", "input='a", "input={a: b"])
def test_a_bracket_or_quote_that_is_not_closed_is_told(ran, capsys, text):
    assert main(["sample", "run=r", text]) == 2
    assert ran == []
    assert "can't read the override" in capsys.readouterr().err
